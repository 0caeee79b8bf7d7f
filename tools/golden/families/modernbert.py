"""ModernBERT: every head, global and local layers, both poolings. See common.py."""
from common import case, main
from long import long_right

SMALL = dict(vocab_size=33, hidden_size=12, num_hidden_layers=3, num_attention_heads=2, intermediate_size=9, max_position_embeddings=64,
             local_attention=6, global_attn_every_n_layers=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
             reference_compile=False)
TWO = dict(SMALL, num_hidden_layers=2)

CASES = {
    "modernbert_base": case("ModernBertModel", SMALL, "plain left right"),
    "modernbert_long": case("ModernBertModel", SMALL, "long", inputs=dict(long=long_right)),
    "modernbert_sdpa": case("ModernBertForMaskedLM", TWO, "plain grad", attention="sdpa"),
    "modernbert_biases": case("ModernBertForMaskedLM", dict(TWO, norm_bias=True, attention_bias=True, mlp_bias=True, decoder_bias=False,
                                                           classifier_bias=True, classifier_activation="silu", hidden_activation="gelu_new",
                                                           tie_word_embeddings=False), "plain grad"),
    "modernbert_classify": case("ModernBertForSequenceClassification", dict(TWO, num_labels=3), "right grad"),
    "modernbert_mean": case("ModernBertForSequenceClassification", dict(TWO, num_labels=3, classifier_pooling="mean"), "left right grad"),
    "modernbert_tokens": case("ModernBertForTokenClassification", dict(TWO, num_labels=5), "right grad"),
    "modernbert_answers": case("ModernBertForQuestionAnswering", TWO, "right grad"),
    "modernbert_choice": case("ModernBertForMultipleChoice", TWO, "left right grad"),
}

if __name__ == "__main__":
    main(CASES)
