"""Writes tests/golden/models/gguf_*/: tiny models as GGUF files, as llama.cpp's converter lays them out, with expected outputs.

    python tools/golden/models_gguf.py OUTPUT_FOLDER LIBGGML_BASE

LIBGGML_BASE is llama.cpp's libggml-base.so, whose quantisers make the block-quantised weights. Expected outputs are those of
transformers in float32 on the weights as the file holds them (dequantised).
"""
import ctypes
import math
import os
import sys

import gguf
import numpy as np
import torch
from golden_common import fresh_folder, gradients, greedy, inputs_for, randomise, run, save
from transformers import GPT2LMHeadModel, LlamaForCausalLM

MERGES = ["\u0120 t", "h e", "\u0120t he", "i n"]
VOCAB = 264
LLAMA = dict(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=19,
             max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=500.0)
WIDE = dict(LLAMA, hidden_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96)
BLOCK_256 = dict(LLAMA, hidden_size=256, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, intermediate_size=256,
                 tie_word_embeddings=True)
GPT2 = dict(vocab_size=VOCAB, n_positions=20, n_embd=16, n_layer=2, n_head=2)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)

LEGACY_MIX = {"attn_q": "Q4_0", "attn_k": "Q4_1", "attn_v": "Q5_0", "attn_output": "Q5_1", "ffn_gate": "IQ4_NL", "ffn_up": "Q4_0",
              "ffn_down": "Q5_1", "token_embd": "Q4_1", "output": "Q8_0"}
K_MIX = {"attn_q": "Q4_K", "attn_k": "Q5_K", "attn_v": "Q6_K", "attn_output": "Q3_K", "ffn_gate": "Q2_K", "ffn_up": "Q4_K",
         "ffn_down": "Q6_K", "token_embd": "Q6_K"}

# case: (class, configuration, type of matrices or a type by part of the name, general.file_type, outputs)
CASES = {
    "gguf_llama_f32": (LlamaForCausalLM, LLAMA, "F32", 0, "plain grad generate"),
    "gguf_llama_f16": (LlamaForCausalLM, dict(LLAMA, num_hidden_layers=1), "F16", 1, "plain"),
    "gguf_llama_bf16": (LlamaForCausalLM, dict(LLAMA, num_hidden_layers=1), "BF16", 32, "plain"),
    "gguf_llama_rope_freqs": (LlamaForCausalLM, dict(LLAMA, num_hidden_layers=1, tie_word_embeddings=True, rope_scaling=LLAMA3), "F32", 0,
                              "plain"),
    "gguf_llama_q8_0": (LlamaForCausalLM, WIDE, "Q8_0", 7, "plain"),
    "gguf_llama_mix_32": (LlamaForCausalLM, WIDE, LEGACY_MIX, 2, "plain"),
    "gguf_llama_mix_k": (LlamaForCausalLM, BLOCK_256, K_MIX, 15, "plain"),
    "gguf_gpt2_f32": (GPT2LMHeadModel, GPT2, "F32", 0, "plain grad generate"),
}
NAMES = {
    "embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}


def gguf_name(key):
    stem, kind = key.rsplit(".", 1)
    layer = next((p for p in stem.split(".") if p.isdigit()), None)
    part = next(new for old, new in sorted(NAMES.items(), key=lambda n: -len(n[0])) if stem.endswith(old))
    return (f"blk.{layer}." if layer else "") + f"{part}.{kind}"


def heads_of(key, config):
    return {"q_proj": config.num_attention_heads, "k_proj": getattr(config, "num_key_value_heads", 0)}.get(key.split(".")[-2])


def to_gguf_layout(key, x, config):
    """Rows of q and k in the order of rotated pairs; Conv1D weights as [out, in]."""
    if heads := heads_of(key, config):
        return x.reshape(heads, 2, -1, x.shape[1]).swapaxes(1, 2).reshape(x.shape)
    return x.T if any(p in key for p in ("c_attn.weight", "c_proj.weight", "c_fc.weight")) else x


def from_gguf_layout(key, x, config):
    if heads := heads_of(key, config):
        return x.reshape(heads, -1, 2, x.shape[1]).swapaxes(1, 2).reshape(x.shape)
    return x.T if any(p in key for p in ("c_attn.weight", "c_proj.weight", "c_fc.weight")) else x


def encode(ggml, x, kind):
    """An array as raw data of a GGUF type, and the float32 values it stands for."""
    if kind == "F32":
        return x, x
    if kind == "F16":
        return x.astype(np.float16), x.astype(np.float16).astype(np.float32)
    number = gguf.GGMLQuantizationType[kind]
    if kind == "BF16":
        raw = gguf.quants.quantize(x, number)
    else:
        block, size = gguf.GGML_QUANT_SIZES[number]
        raw = np.zeros((x.shape[0], x.shape[1] // block * size), np.uint8)
        ggml.ggml_quantize_chunk(number.value, x.ctypes.data, raw.ctypes.data, 0, *x.shape, None)
    return raw, gguf.quants.dequantize(raw, number)


def byte_tokens():
    """GPT-2's alphabet: printable bytes stand for themselves, the others for code points from 256 on."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = [b for b in range(256) if b not in keep]
    return [chr(b) for b in keep] + [chr(256 + i) for i in range(len(spare))]


def write_metadata(writer, name, config, file_type):
    gpt2 = writer.arch == "gpt2"
    writer.add_name(name)
    writer.add_file_type(file_type)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(4 * config.hidden_size if gpt2 else config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    if gpt2:
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_theta)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_vocab_size(config.vocab_size)
    tokens = byte_tokens() + ["".join(m.split()) for m in MERGES] + ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unused>"]
    kinds = [gguf.TokenType.NORMAL] * 260 + [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.UNUSED]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2" if gpt2 else "smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(260)
    writer.add_eos_token_id(260)
    writer.add_add_bos_token(False)


def rope_factors(config):
    """By how much llama3 scaling divides each frequency, as the converter stores it."""
    s, d = config.rope_scaling, config.head_dim
    original, low, high = s["original_max_position_embeddings"], s["low_freq_factor"], s["high_freq_factor"]
    factors = []
    for i in range(d // 2):
        wavelength = 2 * math.pi * config.rope_theta ** (2 * i / d)
        smooth = min(1.0, max(0.0, (original / wavelength - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / s["factor"] + smooth))
    return np.array(factors, np.float32)


def write_case(root, ggml, name, kind, config, types, file_type, files):
    config = kind.config_class(**config)
    model = randomise(kind._from_config(config, attn_implementation="eager"), name, 0.3 * (32 / max(32, config.hidden_size)) ** 0.5)
    folder = fresh_folder(root, name)
    writer = gguf.GGUFWriter(os.path.join(folder, "model.gguf"), "gpt2" if kind is GPT2LMHeadModel else "llama")
    write_metadata(writer, name, config, file_type)
    if getattr(config, "rope_scaling", None):
        writer.add_tensor("rope_freqs.weight", rope_factors(config))
    with torch.no_grad():
        for key, p in model.named_parameters():
            new = gguf_name(key)
            x = np.ascontiguousarray(to_gguf_layout(key, p.numpy(), config))
            matrix = x.ndim == 2 and new != "position_embd.weight"
            wanted = (types if isinstance(types, str) else types[new.split(".")[-2]]) if matrix else "F32"
            raw, values = encode(ggml, x, wanted)
            writer.add_tensor(new, raw, raw_dtype=gguf.GGMLQuantizationType[wanted])
            p.copy_(torch.from_numpy(np.ascontiguousarray(from_gguf_layout(key, values, config))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ids, labels = inputs_for(name, config.vocab_size)
    path = lambda which: os.path.join(folder, f"io_{which}.safetensors")
    save(path("plain"), {"input_ids": ids, **run(model, hidden=config.hidden_size < 64, input_ids=ids)})
    if "grad" in files:
        out = gradients(model, ids, labels)
        on_disk = {}
        for key, g in out.items():
            if key.startswith("out.grad."):
                key = key.removeprefix("out.grad.")
                g = torch.from_numpy(np.ascontiguousarray(to_gguf_layout(key, g.numpy(), config)))
                key = "out.grad." + gguf_name(key)
            on_disk[key] = g
        save(path("grad"), {"input_ids": ids, "labels": labels, **on_disk})
    if "generate" in files:
        save(path("generate"), greedy(model, name, config.vocab_size))
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(f"{name}: {size / 1000:.0f} kB", flush=True)


def main(root, library):
    torch.set_num_threads(1)
    ggml = ctypes.CDLL(library)
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    for name, case in CASES.items():
        write_case(root, ggml, name, *case)


if __name__ == "__main__":
    main(*sys.argv[1:])
