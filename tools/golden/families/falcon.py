"""Falcon, BLOOM, GPT-NeoX, GPT-J. See common.py. Falcon with slopes: the reference's eager attention adds them twice, sdpa once."""
import torch
from common import GENERATION, case, main

FALCON = dict(vocab_size=21, hidden_size=16, num_hidden_layers=1, num_attention_heads=4, ffn_hidden_size=13, max_position_embeddings=64, bos_token_id=11, eos_token_id=11)
NEW = dict(FALCON, new_decoder_architecture=True, num_kv_heads=2)
RW = dict(FALCON, alibi=True, parallel_attn=False, multi_query=False, bias=True)
BLOOM = dict(vocab_size=21, hidden_size=12, n_layer=1, n_head=3, bos_token_id=1, eos_token_id=2, pad_token_id=3)
NEOX = dict(vocab_size=21, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=13, max_position_embeddings=64, bos_token_id=0, eos_token_id=2)
GPTJ = dict(vocab_size=21, n_positions=64, n_embd=16, n_layer=1, n_head=2, n_inner=13, rotary_dim=4, bos_token_id=1, eos_token_id=2)


def long(model):
    generator = torch.Generator().manual_seed(7)
    return dict(input_ids=torch.randint(3, 21, (1, 300), generator=generator))


def holes(model):
    generator = torch.Generator().manual_seed(8)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[0, 3:5] = mask[1, 0] = mask[1, 4] = 0
    return dict(input_ids=torch.randint(4, 21, (2, 9), generator=generator), attention_mask=mask)


def positions(model):
    generator = torch.Generator().manual_seed(6)
    return dict(input_ids=torch.randint(4, 21, (2, 7), generator=generator), position_ids=torch.randint(0, 20, (2, 7), generator=generator))


def shifted(model):
    generator = torch.Generator().manual_seed(9)
    return dict(input_ids=torch.randint(4, 21, (2, 7), generator=generator), position_ids=torch.arange(5, 12).repeat(2, 1))


CASES = {
    "falcon_7b": case("FalconForCausalLM", dict(FALCON, num_hidden_layers=2), "plain right grad position", GENERATION, inputs=dict(position=positions)),
    "falcon_40b": case("FalconForCausalLM", dict(NEW, num_hidden_layers=2), "plain right grad", GENERATION[:1]),
    "falcon_11b": case("FalconForCausalLM", dict(NEW, num_ln_in_parallel_attn=1, tie_word_embeddings=False), "plain grad"),
    "falcon_rw": case("FalconForCausalLM", dict(RW, num_hidden_layers=2), "plain right left grad holes", GENERATION, attention="sdpa", inputs=dict(holes=holes)),
    "falcon_rw_long": case("FalconForCausalLM", dict(RW, num_attention_heads=1, hidden_size=4, ffn_hidden_size=5), "long", attention="sdpa", inputs=dict(long=long)),
    "falcon_queries": case("FalconForCausalLM", dict(FALCON, multi_query=False, activation="gelu_pytorch_tanh"), "plain grad"),
    "falcon_sequential": case("FalconForCausalLM", dict(FALCON, parallel_attn=False, bias=True, rope_theta=300.0), "plain grad"),
    "falcon_model": case("FalconModel", NEW, "plain right"),
    "falcon_classify": case("FalconForSequenceClassification", dict(FALCON, num_labels=3, pad_token_id=0), "right grad"),
    "falcon_tokens": case("FalconForTokenClassification", dict(FALCON, num_labels=3), "right grad"),
    "falcon_answers": case("FalconForQuestionAnswering", FALCON, "right grad"),
    "bloom_base": case("BloomForCausalLM", dict(BLOOM, n_layer=2), "plain right left grad holes", GENERATION, inputs=dict(holes=holes)),
    "bloom_post": case("BloomForCausalLM", dict(BLOOM, n_head=4, apply_residual_connection_post_layernorm=True), "plain grad"),
    "bloom_model": case("BloomModel", BLOOM, "plain right"),
    "bloom_classify": case("BloomForSequenceClassification", dict(BLOOM, num_labels=3), "right grad"),
    "bloom_tokens": case("BloomForTokenClassification", dict(BLOOM, num_labels=3), "right grad"),
    "bloom_answers": case("BloomForQuestionAnswering", BLOOM, "right grad"),
    "gpt_neox_base": case("GPTNeoXForCausalLM", dict(NEOX, num_hidden_layers=2, rotary_pct=0.5), "plain right grad position", GENERATION, inputs=dict(position=shifted)),
    "gpt_neox_sequential": case("GPTNeoXForCausalLM", dict(NEOX, use_parallel_residual=False, attention_bias=False, rotary_pct=1.0, rotary_emb_base=200, hidden_act="relu",
                                                           tie_word_embeddings=True), "plain grad"),
    "gpt_neox_classify": case("GPTNeoXForSequenceClassification", dict(NEOX, num_labels=3, pad_token_id=1), "right grad"),
    "gpt_neox_tokens": case("GPTNeoXForTokenClassification", dict(NEOX, num_labels=3), "right grad"),
    "gpt_neox_answers": case("GPTNeoXForQuestionAnswering", NEOX, "right grad"),
    "gptj_base": case("GPTJForCausalLM", dict(GPTJ, n_layer=2), "plain right grad position", GENERATION, inputs=dict(position=positions)),
    "gptj_gelu": case("GPTJForCausalLM", dict(GPTJ, rotary_dim=8, n_inner=None, n_embd=8, n_head=1, activation_function="gelu"), "plain grad"),
    "gptj_model": case("GPTJModel", GPTJ, "plain right"),
    "gptj_classify": case("GPTJForSequenceClassification", dict(GPTJ, num_labels=3, pad_token_id=0), "right grad"),
    "gptj_answers": case("GPTJForQuestionAnswering", GPTJ, "right grad"),
}

if __name__ == "__main__":
    main(CASES)
