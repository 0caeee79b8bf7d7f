"""Mixtral. See common.py. The reference cannot generate while it returns router logits."""
from common import GENERATION, case, main, sizes

BASE = sizes(num_hidden_layers=2, hidden_size=12, num_attention_heads=2, num_key_value_heads=1, intermediate_size=11, num_local_experts=4)
ONE = dict(BASE, num_hidden_layers=1, num_local_experts=3, pad_token_id=0)

CASES = {
    "mixtral_base": case("MixtralForCausalLM", dict(BASE, sliding_window=4), "plain right grad", GENERATION),
    "mixtral_balance": case("MixtralForCausalLM", dict(BASE, output_router_logits=True, router_aux_loss_coef=0.4, num_experts_per_tok=3), "plain right grad"),
    "mixtral_classify": case("MixtralForSequenceClassification", dict(ONE, num_labels=3, num_experts_per_tok=1), "right grad"),
    "mixtral_tokens": case("MixtralForTokenClassification", dict(ONE, num_labels=4), "right grad"),
    "mixtral_answers": case("MixtralForQuestionAnswering", ONE, "right grad"),
}

if __name__ == "__main__":
    main(CASES)
