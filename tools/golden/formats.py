"""Writes tests/golden/formats: small files of every weights format, by the reference implementations.

Run: python tools/golden/formats.py   (gguf 0.19, safetensors 0.7, torch 2.15, numpy)
Each tensor of shape [2,3,4] holds (i - 12) * 0.5 for i = 0..23 (integers: i - 12, unsigned: i, bool: i is odd), which every type
holds exactly, so the tests compare without tolerance. Block-quantised tensors are [2,256], random.
"""
import json
import os
import sys
from collections import OrderedDict

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

out = os.path.join(os.path.dirname(__file__), "../../tests/golden/formats")
os.makedirs(out, exist_ok=True)
index = torch.arange(24).reshape(2, 3, 4)
signed, real = index - 12, (index - 12).double() * 0.5
tensors = {
    "f32": real.float(), "bf16": real.bfloat16(), "f16": real.half(), "f64": real, "i64": signed, "i32": signed.int(),
    "i16": signed.short(), "i8": signed.char(), "u8": index.byte(), "bool": index % 2 == 1,
}

# GGUF: every value type, every element type that the library can write, K-quants as raw random bytes.
def write_gguf(path, alignment):
    w = gguf.GGUFWriter(path, "test")
    if alignment:
        w.add_custom_alignment(alignment)
    w.add_uint8("v.u8", 200); w.add_int8("v.i8", -100); w.add_uint16("v.u16", 60000); w.add_int16("v.i16", -30000)
    w.add_uint32("v.u32", 4000000000); w.add_int32("v.i32", -2000000000); w.add_uint64("v.u64", 2**63 + 5); w.add_int64("v.i64", -2**62)
    w.add_float32("v.f32", 0.1); w.add_float64("v.f64", 0.1); w.add_bool("v.bool", True); w.add_string("v.string", "na\u00efve\nline")
    w.add_array("a.string", ["", "a", "long " * 20, "\u00e9"]); w.add_array("a.i32", [1, -2, 3]); w.add_array("a.f32", [0.5, -0.25])
    w.add_array("a.bool", [True, False, True]); w.add_string("last", "end")
    rng = np.random.default_rng(1)
    for name, t in tensors.items():
        if name == "bool" or name == "u8":
            continue
        if name == "bf16":
            w.add_tensor(name, t.view(torch.int16).numpy().view(np.uint8).reshape(2, 3, 8), raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            w.add_tensor(name, t.numpy())
    w.add_tensor("one_row", np.arange(5, dtype=np.float32))
    for kind in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]:
        q = getattr(gguf.GGMLQuantizationType, kind)
        w.add_tensor(kind.lower(), gguf.quants.quantize(rng.standard_normal((2, 256)).astype(np.float32), q), raw_dtype=q)
    for kind in ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]:
        q = getattr(gguf.GGMLQuantizationType, kind)
        block, size = gguf.GGML_QUANT_SIZES[q]
        w.add_tensor(kind.lower(), rng.integers(0, 60, (2, 256 // block * size), dtype=np.uint8), raw_dtype=q)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()

write_gguf(f"{out}/all_types.gguf", None)
write_gguf(f"{out}/aligned_64.gguf", 64)

# safetensors: one file with every type, one whose order a plain writer reproduces byte for byte, one in two shards.
save_file(tensors | {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}, f"{out}/all_types.safetensors", {"format": "pt", "note": "a \"b\"\n"})
save_file({"a.weight": real.float()[0], "b.weight": real.half()[1], "c": torch.arange(3, dtype=torch.uint8)}, f"{out}/ordered.safetensors", {"format": "pt"})
os.makedirs(f"{out}/sharded", exist_ok=True)
shards = {"model-00001-of-00002.safetensors": {"a": real.float(), "b": signed}, "model-00002-of-00002.safetensors": {"c": index.byte()}}
for name, part in shards.items():
    save_file(part, f"{out}/sharded/{name}", {"format": "pt"})
json.dump({"metadata": {"total_size": 312}, "weight_map": {t: name for name, part in shards.items() for t in part}},
          open(f"{out}/sharded/model.safetensors.index.json", "w"), indent=2)

# PyTorch: a state dictionary as a module gives it, with views of one storage, a transposed and an expanded tensor.
module = torch.nn.Linear(3, 2)
torch.nn.init.constant_(module.weight, 0.5)
torch.nn.init.constant_(module.bias, -1.0)
state = OrderedDict(tensors)
base = torch.arange(24, dtype=torch.float32)
state.update(base=base, middle=base[6:12].view(2, 3), transposed=base.view(4, 6).t(), every_second=base[::2], expanded=base[3:4].expand(2, 3),
             transposed_f64=real[0].t(), scalar=torch.tensor(2.5), empty=torch.zeros(0, 3), parameter=torch.nn.Parameter(base[:2].clone()))
state._metadata = OrderedDict({"": {"version": 1}})
torch.save(state, f"{out}/zip.bin")
torch.save(state, f"{out}/legacy.bin", _use_new_zipfile_serialization=False)
torch.save(state, f"{out}/protocol4.bin", pickle_protocol=4)
odd = {"u16": torch.arange(3).to(torch.uint16), "u32": torch.arange(3).to(torch.uint32), "u64": torch.arange(3).to(torch.uint64),
       "fp8": torch.ones(2).to(torch.float8_e4m3fn), "complex": torch.ones(2, dtype=torch.complex64)}
optimizer = torch.optim.AdamW(module.parameters(), lr=0.125)
module(torch.ones(1, 3)).sum().backward()
optimizer.step()
torch.save({"model": module.state_dict(), "optimizer": optimizer.state_dict(), "step": 7, "odd": odd, "list": [torch.ones(2), None]}, f"{out}/training.pt")

class Evil:
    def __reduce__(self):
        return os.system, ("true",)
torch.save({"weight": torch.ones(2), "x": Evil()}, f"{out}/evil.bin")

for folder, _, files in os.walk(out):
    for file in files:
        os.chmod(os.path.join(folder, file), 0o644)
print("gguf", "0.19", "torch", torch.__version__, "python", sys.version.split()[0])
