"""GGUF files of the decoder families, as llama.cpp's converter lays them out, with the outputs of transformers on the weights that they
hold (dequantised). Names come from gguf-py's own table. Files of a case as in ../models_gguf.py.

    python tools/golden/families/gguf_decoders.py OUTPUT_FOLDER [case ...]
"""
import os
import re
import shutil
import sys

import gguf
import numpy as np
import torch
import transformers
from common import made, outputs_of, randomise, save, seeded

A = gguf.MODEL_ARCH
LLAMA = dict(vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=32, max_position_embeddings=64,
             tie_word_embeddings=False)
SMALL = dict(vocab_size=24, hidden_size=16, intermediate_size=12)  # for matrices that need no blocks of 32
GEMMA = dict(LLAMA, head_dim=8, tie_word_embeddings=True, num_key_value_heads=1)
MEGATRON = dict(vocab_size=40, hidden_size=32, num_attention_heads=4)
FALCON = dict(MEGATRON, num_hidden_layers=2, ffn_hidden_size=64, max_position_embeddings=64)
SMALL_FALCON = dict(FALCON, vocab_size=24, hidden_size=16, ffn_hidden_size=20)
# case: (class, configuration, architecture, type of matrices, outputs)
CASES = {
    "gguf_mistral": ("MistralForCausalLM", dict(LLAMA, sliding_window=4), A.LLAMA, "Q8_0", "plain"),
    "gguf_mixtral": ("MixtralForCausalLM", dict({**LLAMA, **SMALL}, num_hidden_layers=1, num_local_experts=3), A.LLAMA, "F32", "plain grad"),
    "gguf_mixtral_q8_0": ("MixtralForCausalLM", dict(LLAMA, num_hidden_layers=1, num_local_experts=3), A.LLAMA, "Q8_0", "plain"),
    "gguf_qwen2": ("Qwen2ForCausalLM", dict({**LLAMA, **SMALL}, num_hidden_layers=1), A.QWEN2, "F32", "plain grad"),
    "gguf_qwen2_q8_0": ("Qwen2ForCausalLM", LLAMA, A.QWEN2, "Q8_0", "plain"),
    "gguf_qwen3": ("Qwen3ForCausalLM", dict({**LLAMA, **SMALL}, num_hidden_layers=1, head_dim=16), A.QWEN3, "F32", "plain grad"),
    "gguf_qwen3_q4_0": ("Qwen3ForCausalLM", dict(LLAMA, num_hidden_layers=1, head_dim=16, tie_word_embeddings=True), A.QWEN3, "Q4_0", "plain"),
    "gguf_qwen3_moe": ("Qwen3MoeForCausalLM", dict(LLAMA, num_hidden_layers=1, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True),
                       A.QWEN3MOE, "Q8_0", "plain"),
    "gguf_gemma": ("GemmaForCausalLM", dict({**GEMMA, **SMALL}, num_hidden_layers=1), A.GEMMA, "F32", "plain grad"),
    "gguf_gemma_q8_0": ("GemmaForCausalLM", GEMMA, A.GEMMA, "Q8_0", "plain"),
    "gguf_gemma2": ("Gemma2ForCausalLM", dict({**GEMMA, **SMALL}, query_pre_attn_scalar=8, sliding_window=3, attn_logit_softcapping=3.0, final_logit_softcapping=5.0), A.GEMMA2, "F32", "plain"),
    "gguf_gemma3": ("Gemma3ForCausalLM", dict(GEMMA, num_hidden_layers=6, hidden_size=16, intermediate_size=12, num_attention_heads=2, query_pre_attn_scalar=8, sliding_window=3,
                                              rope_scaling=dict(rope_type="linear", factor=4.0)), A.GEMMA3, "F32", "plain"),
    "gguf_gemma3_q8_0": ("Gemma3ForCausalLM", dict(GEMMA, num_hidden_layers=1, query_pre_attn_scalar=8, sliding_window=3), A.GEMMA3, "Q8_0", "plain"),
    "gguf_phi2": ("PhiForCausalLM", dict({**LLAMA, **SMALL}, num_hidden_layers=1, partial_rotary_factor=0.5), A.PHI2, "F32", "plain grad"),
    "gguf_phi3": ("Phi3ForCausalLM", dict({**LLAMA, **SMALL}, pad_token_id=0, num_hidden_layers=1, original_max_position_embeddings=6, rope_scaling=dict(
        type="longrope", short_factor=[1.0, 1.2], long_factor=[2.0, 5.0])), A.PHI3, "F32", "plain grad"),
    "gguf_phi3_q8_0": ("Phi3ForCausalLM", dict(LLAMA, pad_token_id=0, sliding_window=4), A.PHI3, "Q8_0", "plain"),
    "gguf_falcon_7b": ("FalconForCausalLM", dict(SMALL_FALCON, num_hidden_layers=1), A.FALCON, "F32", "plain grad"),
    "gguf_falcon_40b": ("FalconForCausalLM", dict(SMALL_FALCON, num_hidden_layers=1, new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False), A.FALCON, "F32", "plain grad"),
    "gguf_falcon_q8_0": ("FalconForCausalLM", dict(FALCON, num_hidden_layers=1, new_decoder_architecture=True, num_kv_heads=2), A.FALCON, "Q8_0", "plain"),
    "gguf_bloom": ("BloomForCausalLM", dict({**MEGATRON, **SMALL}, n_layer=1, n_head=4), A.BLOOM, "F32", "plain grad"),
    "gguf_gpt_neox": ("GPTNeoXForCausalLM", dict({**MEGATRON, **SMALL}, num_hidden_layers=1, max_position_embeddings=64, rotary_pct=0.5), A.GPTNEOX, "F32", "plain grad"),
    "gguf_stablelm": ("StableLmForCausalLM", dict({**LLAMA, **SMALL}, num_hidden_layers=1, partial_rotary_factor=0.5, use_qkv_bias=True), A.STABLELM, "F32", "plain grad"),
    "gguf_stablelm_normed": ("StableLmForCausalLM", dict({**LLAMA, **SMALL}, num_hidden_layers=1, partial_rotary_factor=0.5, use_parallel_residual=True, qk_layernorm=True), A.STABLELM, "F32",
                             "plain grad"),
    "gguf_starcoder2": ("Starcoder2ForCausalLM", dict(LLAMA, num_hidden_layers=1), A.STARCODER2, "Q8_0", "plain"),
}


def grouped(x, heads, keys):
    """Rows in groups of queries, key and value -> all queries, all keys, all values."""
    rest = x.shape[1:]
    g = x.reshape(keys, heads // keys + 2, -1, *rest)
    return np.concatenate([g[:, :-2].reshape(-1, *rest), g[:, -2].reshape(-1, *rest), g[:, -1].reshape(-1, *rest)])


def ungrouped(x, heads, keys):
    rest, d = x.shape[1:], x.shape[0] // (heads + 2 * keys)
    q, k, v = np.split(x, [heads * d, (heads + keys) * d])
    return np.concatenate([q.reshape(keys, heads // keys, d, *rest), k.reshape(keys, 1, d, *rest), v.reshape(keys, 1, d, *rest)], axis=1).reshape(x.shape)


def pairs(x, heads):
    return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def halves(x, heads):
    return x.reshape(heads, -1, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def layouts(kind, key, config):
    """(to the file, back) for a weight, or None."""
    heads = config.num_attention_heads
    keys = getattr(config, "num_key_value_heads", heads)
    if kind.startswith(("Mistral", "Mixtral")) and ("q_proj" in key or "k_proj" in key):
        n = heads if "q_proj" in key else keys
        return (lambda x: pairs(x, n)), (lambda x: halves(x, n))
    if "query_key_value" in key:
        n = config.num_kv_heads if getattr(config, "new_decoder_architecture", False) else 1 if getattr(config, "multi_query", False) else heads
        return (lambda x: grouped(x, heads, n)), (lambda x: ungrouped(x, heads, n))
    if kind.startswith("Gemma") and "norm" in key:
        return (lambda x: x + 1), (lambda x: x - 1)
    return None


def gguf_name(names, key):
    """Name in the file, and the part of a stacked tensor."""
    part = None
    if m := re.search(r"experts\.(\d+)\.(w1|w2|w3|gate_proj|down_proj|up_proj)|_layernorm\.norms\.(\d+)", key):
        part = int(m[1] or m[3])
        if m[3]:
            key = re.sub(r"\.norms\.\d+", "", key)
        else:
            key = re.sub(r"experts\.\d+", "experts", key)
            new = {"w1": "gate", "gate_proj": "gate", "w2": "down", "down_proj": "down", "w3": "up", "up_proj": "up"}[m[2]]
            layer = re.search(r"layers\.(\d+)", key)[1]
            return f"blk.{layer}.ffn_{new}_exps.weight", part
    if key == "transformer.word_embeddings_layernorm.weight" or key == "transformer.word_embeddings_layernorm.bias":
        return "token_embd_norm." + key.rsplit(".", 1)[1], None
    if m := re.fullmatch(r"transformer\.h\.(\d+)\.post_attention_layernorm\.(\w+)", key):  # BLOOM's names, which the table lacks
        return f"blk.{m[1]}.ffn_norm.{m[2]}", None
    name = names.get_name(key, try_suffixes=(".weight", ".bias"))
    assert name, key
    return name, part


def metadata(w, arch, config, kind):
    get = lambda *keys: next((getattr(config, k) for k in keys if getattr(config, k, None) is not None), None)
    heads, hidden = config.num_attention_heads, config.hidden_size
    w.add_block_count(config.num_hidden_layers)
    w.add_context_length(get("max_position_embeddings") or 2048)
    w.add_embedding_length(hidden)
    w.add_feed_forward_length(get("intermediate_size", "ffn_hidden_size") or 4 * hidden)
    w.add_head_count(heads)
    if kind.startswith("Falcon"):
        w.add_head_count_kv(config.num_kv_heads if config.new_decoder_architecture else 1)
    elif get("num_key_value_heads"):
        w.add_head_count_kv(config.num_key_value_heads)
    if eps := get("rms_norm_eps"):
        w.add_layer_norm_rms_eps(eps)
    else:
        w.add_layer_norm_eps(get("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"))
    if get("head_dim"):
        w.add_key_length(config.head_dim)
        w.add_value_length(config.head_dim)
    if get("rope_theta"):
        w.add_rope_freq_base(config.rope_theta)
    if partial := get("rotary_pct", "partial_rotary_factor"):
        w.add_rope_dimension_count(int(hidden // heads * partial))
    if (experts := get("num_local_experts", "num_experts")):
        w.add_expert_count(experts)
        w.add_expert_used_count(config.num_experts_per_tok)
        if get("moe_intermediate_size"):
            w.add_expert_feed_forward_length(config.moe_intermediate_size)
    if kind.startswith(("Mistral", "Phi3", "Gemma2", "Gemma3")) and config.sliding_window:
        w.add_sliding_window(config.sliding_window)
    if kind.startswith("Gemma2"):
        w.add_attn_logit_softcapping(config.attn_logit_softcapping)
        w.add_final_logit_softcapping(config.final_logit_softcapping)
    if kind.startswith(("GPTNeoX", "StableLm")):
        w.add_parallel_residual(config.use_parallel_residual)
    scaling = getattr(config, "rope_scaling", None)
    if scaling and "long_factor" in scaling:
        w.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        ratio = config.max_position_embeddings / config.original_max_position_embeddings
        w.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(ratio) / np.log(config.original_max_position_embeddings))))
        w.add_tensor("rope_factors_long.weight", np.array(scaling["long_factor"], np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(scaling["short_factor"], np.float32))
    elif scaling:
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(scaling["factor"])


def encode(x, kind):
    if kind == "F32" or x.ndim < 2 or x.shape[-1] % 32:
        return x, x, "F32"
    number = gguf.GGMLQuantizationType[kind]
    raw = gguf.quants.quantize(x, number)
    return raw, gguf.quants.dequantize(raw, number), kind


def write_case(root, name, kind, settings, arch, types, files):
    cls = getattr(transformers, kind)
    config = cls.config_class(**settings)
    model = randomise(made(cls, config), name, 0.3)
    folder = os.path.join(root, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    w = gguf.GGUFWriter(os.path.join(folder, "model.gguf"), gguf.MODEL_ARCH_NAMES[arch])
    metadata(w, arch, config, kind)
    names, stacks, on_disk = gguf.get_tensor_name_map(arch, config.num_hidden_layers), {}, {}
    with torch.no_grad():
        for key, p in model.named_parameters():
            new, part = gguf_name(names, key)
            change = layouts(kind, key, config)
            x = np.ascontiguousarray(change[0](p.numpy()) if change else p.numpy())
            raw, values, stored = encode(x, types)
            p.copy_(torch.from_numpy(np.ascontiguousarray(change[1](values) if change else values)))
            on_disk[key] = (new, part, change)
            if part is None:
                w.add_tensor(new, raw, raw_dtype=gguf.GGMLQuantizationType[stored])
            else:
                stacks.setdefault(new, {})[part] = (raw, stored)
        for new, parts in stacks.items():
            w.add_tensor(new, np.stack([parts[i][0] for i in range(len(parts))]), raw_dtype=gguf.GGMLQuantizationType[parts[0][1]])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    generator = seeded(f"inputs of {name}")
    inputs = dict(input_ids=torch.randint(3, config.vocab_size, (2, 9), generator=generator))
    with torch.no_grad():
        y = made(cls, config).eval()
        y.load_state_dict(model.state_dict())
        out = outputs_of(y(**inputs, output_hidden_states=True, return_dict=True), True)
    save(os.path.join(folder, "io_plain.safetensors"), {**inputs, **out})
    if "grad" in files:
        inputs["labels"] = torch.randint(0, config.vocab_size, (2, 9), generator=generator)
        loss = model(**inputs).loss
        loss.backward()
        out, stacked = {"out.loss": loss.detach()}, {}
        for key, p in model.named_parameters():
            new, part, change = on_disk[key]
            g = p.grad if p.grad is not None else torch.zeros_like(p)
            if change and not (kind.startswith("Gemma") and "norm" in key):
                g = torch.from_numpy(np.ascontiguousarray(change[0](g.numpy())))
            if part is None:
                out[f"out.grad.{new}"] = g
            else:
                stacked.setdefault(new, {})[part] = g
        for new, parts in stacked.items():
            out[f"out.grad.{new}"] = torch.stack([parts[i] for i in range(len(parts))])
        save(os.path.join(folder, "io_grad.safetensors"), {**inputs, **out})
    os.chmod(os.path.join(folder, "model.gguf"), 0o644)
    print(f"{name}: {sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)) / 1000:.0f} kB", flush=True)


def main():
    torch.set_num_threads(1)
    for name, spec in CASES.items():
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            write_case(sys.argv[1], name, *spec)


if __name__ == "__main__":
    main()
