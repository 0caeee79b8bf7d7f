"""StableLM, Starcoder 2, Cohere. See common.py."""
from common import GENERATION, case, main, sizes

BASE = sizes(num_hidden_layers=2)
ONE = sizes(num_hidden_layers=1, pad_token_id=0)

CASES = {
    "stablelm_base": case("StableLmForCausalLM", dict(BASE, partial_rotary_factor=0.5, use_qkv_bias=True), "plain right grad", GENERATION),
    "stablelm_parallel": case("StableLmForCausalLM", dict(ONE, partial_rotary_factor=1.0, use_parallel_residual=True, qk_layernorm=True, tie_word_embeddings=True), "plain grad"),
    "stablelm_classify": case("StableLmForSequenceClassification", dict(ONE, partial_rotary_factor=0.5, num_labels=3), "right grad"),
    "stablelm_tokens": case("StableLmForTokenClassification", dict(ONE, partial_rotary_factor=0.5, num_labels=3), "right grad"),
    "starcoder2_base": case("Starcoder2ForCausalLM", dict(BASE, sliding_window=4), "plain right grad", GENERATION),
    "starcoder2_plain": case("Starcoder2ForCausalLM", dict(ONE, use_bias=False, tie_word_embeddings=False), "plain grad"),
    "starcoder2_classify": case("Starcoder2ForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "cohere_base": case("CohereForCausalLM", dict(BASE, logit_scale=0.4, use_qk_norm=True, pad_token_id=0), "plain right grad", GENERATION),
    "cohere_bias": case("CohereForCausalLM", dict(ONE, attention_bias=True, tie_word_embeddings=False), "plain grad"),
}

if __name__ == "__main__":
    main(CASES)
