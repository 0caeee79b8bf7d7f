"""DeBERTa v2 and v3: disentangled attention and its switches, every head. See common.py."""
from common import case, main
from long import long_right

SMALL = dict(vocab_size=33, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=15, max_position_embeddings=16,
             relative_attention=True, pos_att_type="p2c|c2p", type_vocab_size=0)
V3 = dict(SMALL, position_buckets=4, norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False, max_relative_positions=24)
V2 = dict(V3, conv_kernel_size=3, conv_act="gelu")
ONE = dict(V3, num_hidden_layers=1)

CASES = {
    "deberta_v2_base": case("DebertaV2Model", V2, "plain left right"),
    "deberta_v2_long": case("DebertaV2Model", dict(V3, position_buckets=8, max_relative_positions=64, max_position_embeddings=64), "long",
                            inputs=dict(long=long_right)),
    "deberta_v2_lm": case("DebertaV2ForMaskedLM", dict(V2, hidden_size=9), "left grad"),
    "deberta_v2_own_keys": case("DebertaV2ForMaskedLM", dict(SMALL, num_hidden_layers=1, legacy=False, tie_word_embeddings=False, type_vocab_size=2), "plain types grad"),
    "deberta_v2_narrow": case("DebertaV2ForTokenClassification", dict(SMALL, num_hidden_layers=1, embedding_size=7, pos_att_type=["c2p"], num_labels=3,
                                                                     conv_kernel_size=5, conv_groups=2), "right grad"),
    "deberta_v2_absolute": case("DebertaV2ForTokenClassification", dict(SMALL, num_hidden_layers=1, relative_attention=False, pos_att_type=None), "right grad"),
    "deberta_v2_classify": case("DebertaV2ForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "deberta_v2_answers": case("DebertaV2ForQuestionAnswering", ONE, "right grad"),
    "deberta_v2_choice": case("DebertaV2ForMultipleChoice", dict(ONE, pooler_hidden_act="tanh"), "right grad"),
}

if __name__ == "__main__":
    main(CASES)
