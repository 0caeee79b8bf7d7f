"""RoBERTa, XLM-RoBERTa, CamemBERT: every head; left padding moves positions. See common.py."""
from common import case, main

SMALL = dict(vocab_size=33, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=19, max_position_embeddings=16,
             type_vocab_size=1)
ONE = dict(SMALL, num_hidden_layers=1)

CASES = {
    "roberta_base": case("RobertaModel", dict(SMALL, type_vocab_size=2), "plain left right types"),
    "roberta_masked_lm": case("RobertaForMaskedLM", ONE, "plain left grad"),
    "roberta_untied": case("RobertaForMaskedLM", dict(ONE, tie_word_embeddings=False, hidden_act="relu"), "plain grad"),
    "roberta_classify": case("RobertaForSequenceClassification", dict(ONE, num_labels=3, layer_norm_eps=0.05), "right grad"),
    "roberta_tokens": case("RobertaForTokenClassification", dict(ONE, num_labels=5), "right grad"),
    "roberta_answers": case("RobertaForQuestionAnswering", ONE, "right grad"),
    "roberta_choice": case("RobertaForMultipleChoice", ONE, "right grad"),
    "roberta_relative": case("RobertaForMaskedLM", dict(ONE, position_embedding_type="relative_key_query"), "right grad"),
    "xlm_roberta_masked_lm": case("XLMRobertaForMaskedLM", ONE, "left grad"),
    "xlm_roberta_tokens": case("XLMRobertaForTokenClassification", dict(ONE, num_labels=4), "right grad"),
    "camembert_classify": case("CamembertForSequenceClassification", dict(ONE, num_labels=1), "right grad"),
}

if __name__ == "__main__":
    main(CASES)
