"""Writes tests/golden/models/gguf_bert_*, gguf_t5_*: GGUF files of encoders and encoder-decoders as llama.cpp's converter lays them
out, with transformers' outputs in float32 on the same weights.

    python tools/golden/encoders_gguf.py OUTPUT_FOLDER
"""
import os
import re
import sys

import gguf
import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "families"))
from common import build, case, fresh, randomise, save, inputs_of  # noqa: E402

BERT = dict(vocab_size=33, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=19, max_position_embeddings=16)
T5 = dict(vocab_size=33, d_model=10, d_kv=5, d_ff=15, num_layers=2, num_decoder_layers=1, num_heads=2, relative_attention_num_buckets=8,
          decoder_start_token_id=0)

CASES = {
    "gguf_bert": ("bert", case("BertModel", BERT, "plain right types")),
    "gguf_t5": ("t5", case("T5ForConditionalGeneration", T5, "plain right")),
    "gguf_t5_gated": ("t5", case("T5ForConditionalGeneration", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False), "plain right")),
    "gguf_t5_encoder": ("t5encoder", case("T5EncoderModel", dict(T5, feed_forward_proj="gated-gelu"), "plain right")),
}
BERT_NAMES = {
    "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd", "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm", "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}
T5_NAMES = {
    "SelfAttention.relative_attention_bias": "attn_rel_b", "SelfAttention.q": "attn_q", "SelfAttention.k": "attn_k", "SelfAttention.v": "attn_v",
    "SelfAttention.o": "attn_o", "EncDecAttention.q": "cross_attn_q", "EncDecAttention.k": "cross_attn_k", "EncDecAttention.v": "cross_attn_v",
    "EncDecAttention.o": "cross_attn_o", "DenseReluDense.wi_0": "ffn_gate", "DenseReluDense.wi_1": "ffn_up", "DenseReluDense.wi": "ffn_up",
    "DenseReluDense.wo": "ffn_down",
}


def bert_name(key):
    stem, kind = key.rsplit(".", 1)
    part = next((new for old, new in sorted(BERT_NAMES.items(), key=lambda n: -len(n[0])) if stem.endswith(old)), None)
    layer = re.search(r"layer\.(\d+)\.", key)
    return part and (f"blk.{layer[1]}." if layer else "") + f"{part}.{kind}"


def t5_name(key):
    if key == "shared.weight":
        return "token_embd.weight"
    if key == "lm_head.weight":
        return "output.weight"
    side = key[:3]
    if "final_layer_norm" in key:
        return f"{side}.output_norm.weight"
    block, layer = re.search(r"block\.(\d+)\.layer\.(\d+)\.", key).groups()
    if ".layer_norm." in key:
        part = {"0": "attn_norm", "1": "ffn_norm" if side == "enc" else "cross_attn_norm", "2": "ffn_norm"}[layer]
    else:
        part = T5_NAMES[key.removesuffix(".weight").split(f"layer.{layer}.")[1]]
    return f"{side}.blk.{block}.{part}.weight"


def write_metadata(writer, config, encoder):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    if encoder:
        writer.add_context_length(config.max_position_embeddings)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_causal_attention(False)
        writer.add_token_type_count(config.type_vocab_size)
        return
    writer.add_context_length(512)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_decoder_block_count(config.num_decoder_layers)
    writer.add_key_length(config.d_kv)
    writer.add_value_length(config.d_kv)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    writer.add_decoder_start_token_id(config.decoder_start_token_id)


def write_case(root, name, architecture, spec):
    model = randomise(build(spec), name, 0.3)
    folder = fresh(root, name)
    writer = gguf.GGUFWriter(os.path.join(folder, "model.gguf"), architecture)
    writer.add_file_type(0)
    write_metadata(writer, model.config, architecture == "bert")
    for key, p in model.named_parameters():
        new = (bert_name if architecture == "bert" else t5_name)(key)
        if new:
            writer.add_tensor(new, np.ascontiguousarray(p.detach().numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for which in spec["io"]:
        inputs = inputs_of(model, spec, name, which)
        with torch.no_grad():
            y = model(**inputs, return_dict=True)
        out = {f"out.{k}": y[k] for k in ("logits", "last_hidden_state", "encoder_last_hidden_state") if k in y}
        save(os.path.join(folder, f"io_{which}.safetensors"), {**inputs, **out})
    print(f"{name}: {sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, (architecture, spec) in CASES.items():
        write_case(sys.argv[1], name, architecture, spec)
