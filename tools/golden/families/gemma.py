"""Gemma 1, 2 and 3 (text). See common.py."""
import json
import os

from common import GENERATION, case, main, sizes

BASE = sizes(num_hidden_layers=2, head_dim=6, eos_token_id=1, bos_token_id=2, pad_token_id=0)
ONE = dict(BASE, num_hidden_layers=1)
GEMMA3 = dict(BASE, num_hidden_layers=3, query_pre_attn_scalar=9, sliding_window=3, layer_types=["sliding_attention", "full_attention", "sliding_attention"])


def whole_window(folder):
    """The reference saves the window that it has already halved."""
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        config = json.load(f)
    config["sliding_window"] = 6
    with open(path, "w") as f:
        json.dump(config, f, indent=2)


CASES = {
    "gemma_base": case("GemmaForCausalLM", dict(BASE), "plain right grad", GENERATION),
    "gemma_gelu": case("GemmaForCausalLM", dict(ONE, hidden_act="gelu", attention_bias=True, tie_word_embeddings=False), "plain grad"),
    "gemma_classify": case("GemmaForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "gemma_tokens": case("GemmaForTokenClassification", dict(ONE, num_labels=3), "right grad"),
    "gemma2_base": case("Gemma2ForCausalLM", dict(BASE, sliding_window=3, query_pre_attn_scalar=10, attn_logit_softcapping=3.0, final_logit_softcapping=5.0),
                        "plain right grad", GENERATION),
    "gemma2_uncapped": case("Gemma2ForCausalLM", dict(ONE, sliding_window=3, query_pre_attn_scalar=10, attn_logit_softcapping=None, final_logit_softcapping=None), "plain grad"),
    "gemma2_classify": case("Gemma2ForSequenceClassification", dict(ONE, sliding_window=4, num_labels=3), "right grad"),
    "gemma3_base": case("Gemma3ForCausalLM", dict(GEMMA3, rope_local_base_freq=100.0, rope_theta=5000.0, rope_scaling=dict(rope_type="linear", factor=4.0)),
                        "plain right grad", GENERATION),
    "gemma3_pattern": case("Gemma3ForCausalLM", dict(ONE, num_hidden_layers=2, sliding_window=3, sliding_window_pattern=2, final_logit_softcapping=4.0,
                                                     attn_logit_softcapping=2.0, attention_bias=True), "plain grad"),
    "gemma3_model": case("Gemma3TextModel", GEMMA3, "plain right"),
    "gemma3_both_ways": case("Gemma3TextModel", dict(GEMMA3, sliding_window=6, use_bidirectional_attention=True), "plain right", edit=whole_window),
    "gemma3_classify": case("Gemma3TextForSequenceClassification", dict(GEMMA3, num_labels=3), "right grad"),
}

if __name__ == "__main__":
    main(CASES)
