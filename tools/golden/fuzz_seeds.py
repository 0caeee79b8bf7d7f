"""Writes the seeds of the file format fuzzers, tests/fuzz/corpus/{gguf,safetensors,pickle,json}/seed-*: small valid inputs.

Run: python tools/golden/fuzz_seeds.py   (gguf 0.19, safetensors 0.7, torch 2.15; tools/golden/formats.py first)
"""
import io
import os
import shutil
import tempfile
import zipfile

import gguf
import numpy as np
import torch
from safetensors.torch import save

here = os.path.dirname(__file__)
golden, corpus = os.path.join(here, "../../tests/golden/formats"), os.path.join(here, "../../tests/fuzz/corpus")

def seed(kind, name, data):
    os.makedirs(f"{corpus}/{kind}", exist_ok=True)
    with open(f"{corpus}/{kind}/seed-{name}", "wb") as f:
        f.write(data)

def small_gguf(fill):
    with tempfile.TemporaryDirectory() as folder:
        w = gguf.GGUFWriter(f"{folder}/a.gguf", "t")
        fill(w)
        w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
        return open(f"{folder}/a.gguf", "rb").read()

def metadata(w):
    w.add_uint8("a", 1); w.add_int64("b", -1); w.add_float64("c", 0.5); w.add_bool("d", True); w.add_string("e", "x")
    w.add_array("f", ["p", "", "qr"]); w.add_array("g", [1, 2]); w.add_array("h", [0.5])

def tensors(w):
    w.add_custom_alignment(64)
    w.add_tensor("x", np.arange(6, dtype=np.float32).reshape(2, 3)); w.add_tensor("y", np.arange(3, dtype=np.float64))
    w.add_tensor("z", np.arange(3, dtype=np.int16))
    q = gguf.GGMLQuantizationType.Q4_0
    w.add_tensor("q", gguf.quants.quantize(np.ones((1, 32), np.float32), q), raw_dtype=q)

seed("gguf", "metadata", small_gguf(metadata))
seed("gguf", "tensors", small_gguf(tensors))
seed("gguf", "all-types", open(f"{golden}/all_types.gguf", "rb").read())
seed("safetensors", "small", save({"a": torch.ones(2, 3), "b": torch.ones(2, dtype=torch.int16)}, {"format": "pt"}))
seed("safetensors", "all-types", open(f"{golden}/all_types.safetensors", "rb").read())
seed("safetensors", "empty", (2).to_bytes(8, "little") + b"{}")
for name in ["zip.bin", "protocol4.bin", "training.pt"]:
    archive = zipfile.ZipFile(f"{golden}/{name}")
    seed("pickle", "bare-" + name.split(".")[0], archive.read(next(n for n in archive.namelist() if n.endswith("/data.pkl"))))
for name, zipped in [("zip", True), ("legacy", False)]:
    out = io.BytesIO()
    torch.save({"a": torch.ones(2, 2).t(), "b": torch.ones(1, dtype=torch.float64)}, out, _use_new_zipfile_serialization=zipped)
    seed("pickle", "small-" + name, out.getvalue())
seed("json", "object", b'{"a": [1, -2, 3.5e2, true, false, null], "b": {"c": "x\\u00e9\\n"}}')
seed("json", "nested", b"[" * 100 + b"]" * 100)
seed("json", "large-number", b"[1e999]")
