"""Llama's heads, Mistral, OLMo, OLMo 2, Granite, SmolLM 3. See common.py; Llama as a language model is in ../models.py."""
from common import GENERATION, case, main, sizes

BASE = sizes(num_hidden_layers=2)
ONE = sizes(num_hidden_layers=1)
BARE = sizes(num_hidden_layers=1, pad_token_id=0)

CASES = {
    "llama_model": case("LlamaModel", ONE, "plain right"),
    "llama_classify": case("LlamaForSequenceClassification", dict(BARE, num_labels=3), "left right grad"),
    "llama_tokens": case("LlamaForTokenClassification", dict(ONE, num_labels=4), "right grad"),
    "llama_answers": case("LlamaForQuestionAnswering", ONE, "right grad"),
    "mistral_base": case("MistralForCausalLM", dict(BASE, sliding_window=4), "plain right grad", GENERATION),
    "mistral_wide": case("MistralForCausalLM", dict(ONE, head_dim=6, sliding_window=None, tie_word_embeddings=True), "plain grad"),
    "mistral_classify": case("MistralForSequenceClassification", dict(BARE, sliding_window=3, num_labels=1), "right grad"),
    "olmo_base": case("OlmoForCausalLM", dict(BASE, clip_qkv=1.5, pad_token_id=1), "plain right grad", GENERATION),
    "olmo2_base": case("Olmo2ForCausalLM", dict(BASE, attention_bias=True), "plain right grad", GENERATION),
    "granite_base": case("GraniteForCausalLM", dict(BASE, embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.6, attention_multiplier=0.2,
                                                    attention_bias=True, mlp_bias=True), "plain right grad", GENERATION),
    "smollm3_base": case("SmolLM3ForCausalLM", dict(sizes(num_hidden_layers=3), pad_token_id=None, no_rope_layers=[1, 0, 1], sliding_window=3, use_sliding_window=True),
                         "plain right grad", GENERATION),
    "smollm3_interval": case("SmolLM3ForCausalLM", dict(BASE, pad_token_id=None, no_rope_layer_interval=2, attention_bias=True, mlp_bias=True), "plain grad"),
}

if __name__ == "__main__":
    main(CASES)
