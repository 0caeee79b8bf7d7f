"""Qwen2, Qwen3, Qwen3-MoE. See common.py."""
from common import GENERATION, case, main, sizes

BASE = sizes(num_hidden_layers=2)
ONE = sizes(num_hidden_layers=1, pad_token_id=0)
MOE = dict(BASE, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=9, head_dim=6)

CASES = {
    "qwen2_base": case("Qwen2ForCausalLM", dict(BASE, use_sliding_window=True, sliding_window=3, max_window_layers=1), "plain right grad", GENERATION),
    "qwen2_types": case("Qwen2ForCausalLM", dict(BASE, use_sliding_window=True, sliding_window=4, layer_types=["sliding_attention", "full_attention"],
                                                 tie_word_embeddings=True), "plain grad"),
    "qwen2_unused_window": case("Qwen2ForCausalLM", dict(sizes(num_hidden_layers=1), sliding_window=3, max_window_layers=0), "plain"),
    "qwen2_model": case("Qwen2Model", ONE, "plain right"),
    "qwen2_classify": case("Qwen2ForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "qwen2_tokens": case("Qwen2ForTokenClassification", dict(ONE, num_labels=4), "right grad"),
    "qwen2_answers": case("Qwen2ForQuestionAnswering", ONE, "right grad"),
    "qwen3_base": case("Qwen3ForCausalLM", dict(BASE, head_dim=6, use_sliding_window=True, sliding_window=3, max_window_layers=1), "plain right grad", GENERATION),
    "qwen3_bias": case("Qwen3ForCausalLM", dict(ONE, head_dim=4, attention_bias=True, tie_word_embeddings=True, rope_theta=500.0), "plain grad"),
    "qwen3_classify": case("Qwen3ForSequenceClassification", dict(ONE, head_dim=4, num_labels=2), "right grad"),
    "qwen3_answers": case("Qwen3ForQuestionAnswering", dict(ONE, head_dim=4), "right grad"),
    "qwen3_moe_base": case("Qwen3MoeForCausalLM", dict(MOE, norm_topk_prob=True, output_router_logits=True, router_aux_loss_coef=0.3), "plain right grad",
                           [dict(max_new_tokens=10, output_router_logits=False), dict(max_new_tokens=8, num_beams=3, num_return_sequences=2, length_penalty=0.6, output_router_logits=False)]),
    "qwen3_moe_mixed": case("Qwen3MoeForCausalLM", dict(MOE, num_hidden_layers=3, num_experts=3, mlp_only_layers=[0], intermediate_size=11, use_sliding_window=True, sliding_window=4),
                            "plain grad"),
}

if __name__ == "__main__":
    main(CASES)
