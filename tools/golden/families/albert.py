"""ALBERT: every head, groups of layers. See common.py."""
from common import case, main

SMALL = dict(vocab_size=33, embedding_size=7, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=19,
             max_position_embeddings=16)

CASES = {
    "albert_base": case("AlbertModel", SMALL, "plain left right types"),
    "albert_groups": case("AlbertForMaskedLM", dict(SMALL, num_hidden_groups=2, inner_group_num=2, num_hidden_layers=4, hidden_act="gelu"), "plain grad"),
    "albert_pretraining": case("AlbertForPreTraining", SMALL, "plain grad"),
    "albert_classify": case("AlbertForSequenceClassification", dict(SMALL, num_labels=3), "right grad"),
    "albert_tokens": case("AlbertForTokenClassification", dict(SMALL, num_labels=5), "right grad"),
    "albert_answers": case("AlbertForQuestionAnswering", SMALL, "right grad"),
    "albert_choice": case("AlbertForMultipleChoice", SMALL, "right grad"),
    "albert_relative": case("AlbertForMaskedLM", dict(SMALL, position_embedding_type="relative_key_query"), "plain grad"),
}

if __name__ == "__main__":
    main(CASES)
