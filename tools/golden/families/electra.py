"""ELECTRA: both pretraining heads and the others. See common.py."""
from common import case, main

SMALL = dict(vocab_size=33, embedding_size=7, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=19,
             max_position_embeddings=16, type_vocab_size=3)
ONE = dict(SMALL, num_hidden_layers=1)

CASES = {
    "electra_base": case("ElectraModel", SMALL, "plain left right types"),
    "electra_discriminator": case("ElectraForPreTraining", ONE, "plain left grad"),
    "electra_generator": case("ElectraForMaskedLM", dict(ONE, hidden_act="relu"), "plain grad"),
    "electra_classify": case("ElectraForSequenceClassification", dict(ONE, embedding_size=12, num_labels=3), "right grad"),
    "electra_tokens": case("ElectraForTokenClassification", dict(ONE, num_labels=5), "right grad"),
    "electra_answers": case("ElectraForQuestionAnswering", ONE, "right grad"),
    "electra_choice": case("ElectraForMultipleChoice", dict(ONE, summary_activation="tanh"), "right grad"),
}

if __name__ == "__main__":
    main(CASES)
