"""BERT: every head and input. See common.py."""
from common import GENERATION, case, main

SMALL = dict(vocab_size=33, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=19, max_position_embeddings=16,
             type_vocab_size=3)
ONE = dict(SMALL, num_hidden_layers=1)

CASES = {
    "bert_decoder": case("BertLMHeadModel", dict(ONE, is_decoder=True), "plain right grad", GENERATION),
    "bert_base": case("BertModel", SMALL, "plain right left types"),
    "bert_masked_lm": case("BertForMaskedLM", ONE, "plain types grad"),
    "bert_untied": case("BertForMaskedLM", dict(ONE, tie_word_embeddings=False), "plain grad"),
    "bert_pretraining": case("BertForPreTraining", ONE, "plain grad"),
    "bert_next_sentence": case("BertForNextSentencePrediction", ONE, "plain grad"),
    "bert_classify": case("BertForSequenceClassification", dict(ONE, num_labels=3, hidden_act="gelu_new", layer_norm_eps=0.05), "right grad"),
    "bert_regression": case("BertForSequenceClassification", dict(ONE, num_labels=1, hidden_act="relu"), "right grad"),
    "bert_multi_label": case("BertForSequenceClassification", dict(ONE, num_labels=4, problem_type="multi_label_classification"), "right grad"),
    "bert_tokens": case("BertForTokenClassification", dict(ONE, num_labels=5), "right grad"),
    "bert_answers": case("BertForQuestionAnswering", ONE, "right grad"),
    "bert_relative_key": case("BertForMaskedLM", dict(ONE, position_embedding_type="relative_key"), "right grad"),
    "bert_relative_query": case("BertForTokenClassification", dict(SMALL, position_embedding_type="relative_key_query"), "left right grad"),
    "bert_choice": case("BertForMultipleChoice", ONE, "plain right grad"),
}

if __name__ == "__main__":
    main(CASES)
