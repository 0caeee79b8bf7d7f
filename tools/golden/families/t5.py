"""T5 1.0 and 1.1, mT5, umT5: every head. See common.py."""
from common import case, main

SMALL = dict(vocab_size=33, d_model=14, d_kv=5, d_ff=19, num_layers=2, num_heads=3, relative_attention_num_buckets=8,
             relative_attention_max_distance=6, decoder_start_token_id=0)
ONE = dict(SMALL, num_layers=1)
GATED = dict(ONE, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
RUNS = [dict(max_new_tokens=10), dict(max_new_tokens=8, num_beams=3, num_return_sequences=2, length_penalty=0.6),
        dict(max_new_tokens=8, num_beams=4, early_stopping=True, no_repeat_ngram_size=2)]

CASES = {
    "t5_base": case("T5ForConditionalGeneration", dict(SMALL, num_decoder_layers=1, vocab_size=29), "plain right grad", RUNS),
    "t5_gated": case("T5ForConditionalGeneration", GATED, "plain right grad", RUNS[:1]),
    "t5_silu": case("T5ForConditionalGeneration", dict(ONE, feed_forward_proj="gated-silu"), "plain grad"),
    "t5_model": case("T5Model", ONE, "plain right"),
    "t5_encoder": case("T5EncoderModel", ONE, "plain right"),
    "t5_tokens": case("T5ForTokenClassification", dict(ONE, num_labels=4), "right grad"),
    "t5_classify": case("T5ForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "t5_answers": case("T5ForQuestionAnswering", ONE, "right grad"),
    "umt5_base": case("UMT5ForConditionalGeneration", dict(SMALL, d_model=10, num_heads=2, num_layers=2, num_decoder_layers=2, vocab_size=29), "plain right grad",
                      [dict(max_new_tokens=8)]),
    "umt5_tokens": case("UMT5ForTokenClassification", dict(SMALL, num_labels=4), "right grad"),
    "mt5_base": case("MT5ForConditionalGeneration", GATED, "plain grad"),
}

if __name__ == "__main__":
    main(CASES)
