#!/usr/bin/env python3
"""How much quantised computing costs: perplexity of a GGUF file as stored against its weights in f32, by llama-perplexity's protocol.

    bench/perplexity.py MYNAH MODEL.gguf TEXT [CHUNKS]

Chunks of 512 tokens from the start of the text; the second half of each is scored. Needs numpy and safetensors.
"""
import json
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

SIZE, HALF = 512, 256


def perplexity(mynah, model, ids, chunks, dtype, folder):
    total = count = 0
    for i in range(chunks):
        row = np.array(ids[i * SIZE:(i + 1) * SIZE], dtype=np.int64)[None]
        save_file({"input_ids": row}, f"{folder}/x.safetensors")
        subprocess.run([mynah, "forward", model, "--input", f"{folder}/x.safetensors", "--output", f"{folder}/y.safetensors", "--dtype", dtype], check=True)
        logits = load_file(f"{folder}/y.safetensors")["logits"][0, HALF:-1].astype(np.float64)
        top = logits.max(1, keepdims=True)
        log_sums = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
        total += (log_sums - logits[np.arange(len(logits)), row[0, HALF + 1:]]).sum()
        count += len(logits)
    return float(np.exp(total / count))


def main():
    mynah, model, text = sys.argv[1:4]
    chunks = int(sys.argv[4]) if len(sys.argv) > 4 else 16
    with open(text, encoding="utf-8") as file:
        start = file.read(chunks * SIZE * 8)
    ids = json.loads(subprocess.run([mynah, "tokenize", model], input=json.dumps(start), capture_output=True, text=True, check=True).stdout)["ids"]
    with tempfile.TemporaryDirectory() as folder:
        stored, f32 = (perplexity(mynah, model, ids, chunks, dtype, folder) for dtype in ("stored", "f32"))
    print(f"as stored {stored:.4f}, weights in f32 {f32:.4f}, ratio - 1: {100 * (stored / f32 - 1):.3f} %")


if __name__ == "__main__":
    main()
