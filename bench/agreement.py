#!/usr/bin/env python3
"""Greedy answers of mynah and llama.cpp on the same GGUF file, and where they part, whether that is rounding.

    bench/agreement.py MYNAH LLAMA_SERVER MODEL.gguf [TOKENS]

Ten prompts, TOKENS (64) tokens each. At the first difference the gap between mynah's two best tokens is set beside the largest
difference of the two programs' log probabilities on that prefix: a smaller gap is decided by rounding. Needs numpy and safetensors.
"""
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
from safetensors.numpy import load_file, save_file

PROMPTS = [
    "The capital of France is", "Once upon a time there was a small bird", "def fibonacci(n):\n", "Water boils at", "The three primary colours are",
    "To bake bread you need", "In 1969 the first people", "A list of prime numbers: 2, 3, 5,", "Dear Sir or Madam,\n\nI am writing", "The meaning of life",
]


class Peer:
    def __init__(self, server, model):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen([server, "-m", model, "--port", str(self.port), "--host", "127.0.0.1", "-t", "2", "-np", "1", "-c", "1024"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                if self.ask("/health", None):
                    return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("llama-server did not come up")

    def ask(self, path, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)

    def greedy(self, ids, count):
        answer = self.ask("/completion", {"prompt": ids, "n_predict": count, "temperature": 0, "return_tokens": True, "cache_prompt": False})
        return answer["tokens"][:answer["tokens_predicted"]]

    def log_probabilities(self, ids, size):
        answer = self.ask("/completion", {"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": size, "ignore_eos": False, "cache_prompt": False})
        out = np.full(size, np.nan)
        for entry in answer["completion_probabilities"][0]["top_logprobs"]:
            out[entry["id"]] = entry["logprob"]
        return out


def main():
    mynah, server, model = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 64
    peer = Peer(server, model)
    equal = explained = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            def ours(ids, verb, options):
                save_file({"input_ids": np.array([ids], dtype=np.int64)}, f"{folder}/x.safetensors")
                command = [mynah, verb, model, "--input", f"{folder}/x.safetensors", *options]
                return subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for prompt in PROMPTS:
                ids = json.loads(subprocess.run([mynah, "tokenize", model], input=json.dumps(prompt), capture_output=True, text=True, check=True).stdout)["ids"]
                a = json.loads(ours(ids, "generate", ["--max-new-tokens", str(count), "--json"]))["sequences"][0][len(ids):]
                b = peer.greedy(ids, count)
                if len(a) < count:
                    end = a.pop()  # the peer may or may not give it
                    b = b[:-1] if b[-1:] == [end] else b
                place = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), None if len(a) == len(b) else min(len(a), len(b)))
                if place is None:
                    equal += 1
                    print(f"{prompt!r}: {len(a)} tokens equal")
                    continue
                prefix = ids + a[:place]
                ours(prefix, "forward", ["--output", f"{folder}/y.safetensors", "--dtype", "stored"])
                logits = load_file(f"{folder}/y.safetensors")["logits"][0, -1].astype(np.float64)
                mine = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
                difference = np.nanmax(np.abs(mine - peer.log_probabilities(prefix, len(mine))))
                best = np.sort(mine)[-2:]
                explained += best[1] - best[0] < difference
                print(f"{prompt!r}: part at token {place}: gap of the two best {best[1] - best[0]:.4f}, largest difference {difference:.4f}")
    finally:
        peer.process.terminate()
        peer.process.wait(30)
    print(f"{equal} of {len(PROMPTS)} equal, {explained} part within rounding")
    sys.exit(0 if equal + explained == len(PROMPTS) else 1)


if __name__ == "__main__":
    main()
