"""DistilBERT: every head. See common.py."""
from common import case, main

SMALL = dict(vocab_size=33, dim=12, n_layers=2, n_heads=3, hidden_dim=19, max_position_embeddings=16)
ONE = dict(SMALL, n_layers=1)

CASES = {
    "distilbert_base": case("DistilBertModel", SMALL, "plain left right"),
    "distilbert_masked_lm": case("DistilBertForMaskedLM", dict(ONE, activation="relu"), "plain grad"),
    "distilbert_untied": case("DistilBertForMaskedLM", dict(ONE, tie_word_embeddings=False), "grad"),
    "distilbert_classify": case("DistilBertForSequenceClassification", dict(ONE, num_labels=3, sinusoidal_pos_embds=True), "right grad"),
    "distilbert_tokens": case("DistilBertForTokenClassification", dict(ONE, num_labels=5), "right grad"),
    "distilbert_answers": case("DistilBertForQuestionAnswering", ONE, "right grad"),
    "distilbert_choice": case("DistilBertForMultipleChoice", ONE, "right grad"),
}

if __name__ == "__main__":
    main(CASES)
