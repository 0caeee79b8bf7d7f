"""Writes the seeds of the file format fuzzers, tests/fuzz/corpus/{gguf,safetensors,pickle,json,media_pipe,ngram,picture}/seed-*: small valid inputs.

Run: python tools/golden/fuzz_seeds.py   (gguf 0.19, safetensors 0.7, torch 2.15, pillow; tools/golden/formats.py first)
"""
import io
import os
import shutil
import struct
import tempfile
import zipfile

import gguf
import numpy as np
import torch
from PIL import Image
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


def piece(kind, data):
    return struct.pack("<II", kind, len(data)) + data


sound = piece(1, struct.pack("<II", 8000, 2)) + piece(2, struct.pack("<8f", *range(8)))
frame = piece(3, struct.pack("<dII", 0.5, 3, 2) + bytes(range(18)))
seed("media_pipe", "sound", sound + piece(4, b""))
seed("media_pipe", "frames", frame + frame + piece(4, b""))
seed("media_pipe", "error", sound + piece(5, b"no such format"))
seed("media_pipe", "cut", (sound + frame)[:-5])
seed("media_pipe", "huge-piece", struct.pack("<II", 3, 0xFFFFFFFF))
seed("media_pipe", "huge-picture", piece(3, struct.pack("<dII", 0, 0xFFFFFFFF, 0xFFFFFFFF)) + piece(3, struct.pack("<dII", 0, 10000, 10000)))
seed("media_pipe", "many-channels", piece(1, struct.pack("<II", 0, 1 << 30)) + piece(2, b"1234"))
seed("media_pipe", "samples-first", piece(2, b"1234"))
seed("media_pipe", "not-a-time", piece(3, struct.pack("<dII", float("nan"), 1, 1) + b"abc") + piece(4, b""))

two = "\\data\\\nngram 1=5\nngram 2=3\n\n\\1-grams:\n-1 <unk>\n-99 <s> -0.3\n-1 </s>\n-0.5 a -0.2\n-0.7\tb\t-0.1\n\n\\2-grams:\n-0.2 <s> a\n-0.4 a b\n-0.3 b </s>\n\n\\end\\\n"
seed("ngram", "two", two.encode())
seed("ngram", "one", b"\\data\\\nngram 1=1\n\\1-grams:\n-0.1 a\n\\end\\")
seed("ngram", "cut", two.encode()[:-20])
seed("ngram", "count", two.replace("2=3", "2=4").encode())
seed("ngram", "huge", two.replace("2=3", "2=99999999999999999999").encode())
seed("ngram", "nan", two.replace("-0.4 a b", "nan a b").encode())
seed("ngram", "infinite", two.replace("-0.3\n", "inf\n").encode())
seed("ngram", "unknown-word", two.replace("-0.4 a b", "-0.4 a c").encode())
seed("ngram", "order", two.replace("\\2-grams", "\\20-grams").encode())
seed("ngram", "bytes", bytes(range(256)))

media = os.path.join(here, "../../tests/golden/media")
for name in ["alpha.png", "deep.png", "palette.png", "picture.jpg", "picture.webp"]:
    data = open(f"{media}/{name}", "rb").read()
    seed("picture", name.replace(".", "-"), data)
    seed("picture", "cut-" + name.replace(".", "-"), data[:len(data) * 2 // 3])
frames = [Image.new("RGB", (9, 7), (40 * i, 0, 90)) for i in range(4)]
out = io.BytesIO()
frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=[10, 20, 0, 40], lossless=True)
moving = out.getvalue()
seed("picture", "animation", moving)
seed("picture", "animation-cut", moving[:-12])
seed("picture", "animation-size", moving.replace(moving[24:30], b"\xff\xff\xff\xff\xff\xff", 1))  # the canvas of the VP8X chunk
seed("picture", "png-size", open(f"{media}/deep.png", "rb").read().replace(b"IHDR" + open(f"{media}/deep.png", "rb").read()[16:24], b"IHDR" + b"\x7f\xff\xff\xff" * 2, 1))
