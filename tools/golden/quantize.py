"""Writes tests/golden/quantize.safetensors: block-quantised bytes and what they mean.

    python tools/golden/quantize.py LIBGGML_BASE OUTPUT

LIBGGML_BASE is llama.cpp's libggml-base.so (the quantisers that llama-quantize calls); gguf-py gives the values of random blocks.
For each type T: bytes.T [2, ...] U8 random blocks, decoded.T [2, 512] F32 their values; encoded.T [3, ...] U8 the quantised
rows of x [3, 1024] F32, which holds normal, heavy-tailed, tiny, constant, one-sided and zero sub-blocks.
"""
import ctypes
import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

TYPES = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"]


def random_blocks(rng, kind, rows, k):
    """Random bytes whose scales are finite numbers."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = []
    while len(blocks) < rows * k // block:
        raw = rng.integers(0, 256, (1, size), dtype=np.uint8)
        with np.errstate(all="ignore"):
            if np.isfinite(gguf.quants.dequantize(raw, kind)).all():
                blocks.append(raw)
    return np.concatenate(blocks).reshape(rows, -1)


def rows_of_many_kinds(rng):
    x = rng.normal(0, 0.05, (3, 1024))
    x[1] = rng.laplace(0, 1, 1024) * np.repeat(10.0 ** rng.uniform(-6, 2, 64), 16)
    x[2, :256] = rng.uniform(0.5, 1, 256)
    x[2, 256:512] = np.repeat(rng.normal(0, 1, 16), 16)
    x[2, 512:768] = rng.normal(0, 1, 256) * np.repeat(rng.random(8) < 0.5, 32)
    x[2, 768:] = rng.normal(0, 1, 256) * 1e-6
    return x.astype(np.float32)


def main(library, output):
    rng = np.random.default_rng(20)
    ggml = ctypes.CDLL(library)
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    x = rows_of_many_kinds(rng)
    out = {"x": x}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name.upper()]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        out[f"bytes.{name}"] = random_blocks(rng, kind, 2, 512)
        out[f"decoded.{name}"] = gguf.quants.dequantize(out[f"bytes.{name}"], kind).astype(np.float32)
        encoded = np.zeros((x.shape[0], x.shape[1] // block * size), np.uint8)
        ggml.ggml_quantize_chunk(kind.value, x.ctypes.data, encoded.ctypes.data, 0, *x.shape, None)
        out[f"encoded.{name}"] = encoded
        if name in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0"):
            difference = (gguf.quants.quantize(x, kind) != encoded).reshape(-1, size).any(axis=1).sum()
            print(f"{name}: {difference} blocks differ between gguf-py and llama.cpp")
    save_file(out, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
