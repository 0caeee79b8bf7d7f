"""Writes tests/golden/models/onnx_bert/: a BERT token classifier as packages for onnxruntime carry it. The graph is a list of
initialisers and of the nodes that name the anonymous ones; expected outputs are transformers' with the weights as dequantised.

    python tools/golden/onnx_bert.py OUTPUT_FOLDER

Matrices of layer 0: 4-bit blocks of 16 (MatMulNBits), some with zero points; of the pooled head: plain, turned round ([in, out]);
embeddings: bytes beside a scale (DequantizeLinear). Reference: float32, evaluation mode, eager attention.
"""
import json
import os
import struct
import sys

import torch
import transformers
from safetensors.torch import save_file


def varint(n):
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def initialiser(name, tensor, raw=True):
    kind = {torch.float32: 1, torch.uint8: 2}[tensor.dtype]
    dims = b"".join(field(1, d) for d in tensor.shape)
    if raw:
        return field(5, dims + field(2, kind) + field(8, name) + field(9, tensor.contiguous().numpy().tobytes()))
    numbers = field(4, struct.pack("<f", tensor.item())) if kind == 1 else field(5, varint(tensor.item()))
    return field(5, dims + field(2, kind) + numbers + field(8, name))


def node(op, name, inputs, **attributes):
    body = b"".join(field(1, i) for i in inputs) + field(2, name + "_output_0") + field(3, name) + field(4, op)
    for key, value in attributes.items():
        body += field(5, field(1, key) + field(3, value) + field(20, 2))
    return field(1, body)


def four_bits(weight, block, with_zero, generator):
    """Packed bytes [N, blocks, block / 2], scales [N, blocks], zero points or None, and the weight as it is read back."""
    n, k = weight.shape
    blocks = (k + block - 1) // block
    padded = torch.zeros(n, blocks * block)
    padded[:, :k] = weight
    parts = padded.view(n, blocks, block)
    scale = parts.abs().amax(-1) / 7
    zero = torch.randint(5, 11, (n, blocks), generator=generator) if with_zero else torch.full((n, blocks), 8)
    q = (torch.round(parts / scale[..., None]) + zero[..., None]).clamp(0, 15).to(torch.int64)
    back = ((q - zero[..., None]) * scale[..., None]).view(n, -1)[:, :k]
    packed = (q[..., 0::2] | q[..., 1::2] << 4).to(torch.uint8)
    padded_zero = torch.cat([zero, torch.zeros(n, blocks % 2, dtype=torch.int64)], 1)
    zeros = (padded_zero[:, 0::2] | padded_zero[:, 1::2] << 4).to(torch.uint8) if with_zero else None
    return packed, scale, zeros, back


def main():
    folder = os.path.join(sys.argv[1], "onnx_bert")
    os.makedirs(os.path.join(folder, "onnx"), exist_ok=True)
    generator = torch.Generator().manual_seed(11)
    config = transformers.BertConfig(vocab_size=23, hidden_size=40, num_hidden_layers=1, num_attention_heads=4, intermediate_size=24,
                                     max_position_embeddings=12, num_labels=5, architectures=["BertForTokenClassification"])
    config._attn_implementation = "eager"
    model = transformers.BertForTokenClassification(config).eval()
    graph, number = b"", 700
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_((1.0 if "LayerNorm.weight" in name else 0.0) + 0.3 * torch.randn(p.shape, generator=generator))
        for name, p in model.named_parameters():
            path = "/" + name.removesuffix(".weight").replace(".", "/").replace("layer/0", "layer.0")
            if "embeddings.weight" in name:
                scale, zero = p.abs().max() / 120, torch.tensor(127, dtype=torch.uint8)
                q = (torch.round(p / scale) + 127).to(torch.uint8)
                p.copy_((q.float() - 127) * scale)
                graph += initialiser(name + "_scale", scale, raw=False) + initialiser(name + "_zero_point", zero, raw=False)
                graph += initialiser(name + "_quantized", q)
            elif p.ndim == 2 and "encoder" in name:
                packed, scale, zeros, back = four_bits(p, 16, "attention" in name, generator)
                p.copy_(back)
                base, number = f"onnx::MatMul_{number}", number + 1
                graph += initialiser(base + "_Q4", packed) + initialiser(base + "_scales", scale)
                inputs = ["x", base + "_Q4", base + "_scales"]
                if zeros is not None:
                    graph += initialiser(base + "_zero_points", zeros)
                    inputs.append(base + "_zero_points")
                graph += node("MatMulNBits", path + "/MatMul_Q4", inputs, K=p.shape[1], N=p.shape[0], bits=4, block_size=16)
            elif p.ndim == 2:
                graph += initialiser("onnx::MatMul_999", p.T) + node("MatMul", path + "/MatMul", ["x", "onnx::MatMul_999"])
            else:
                graph += initialiser(name, p)
    with open(os.path.join(folder, "onnx", "model_q4.onnx"), "wb") as f:
        f.write(field(1, 8) + field(2, "tools/golden/onnx_bert.py") + field(7, graph))
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config.to_diff_dict(), f, indent=1)
    ids = torch.randint(3, 23, (3, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    types = torch.randint(0, 2, (3, 9), generator=generator)
    inputs = dict(input_ids=ids, attention_mask=mask, token_type_ids=types)
    with torch.no_grad():
        y = model(**inputs)
    save_file({**inputs, "out.logits": y.logits}, os.path.join(folder, "io_right.safetensors"))


if __name__ == "__main__":
    main()
