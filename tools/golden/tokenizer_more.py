"""Writes tests/golden/tokenizers/more.json: what cuts between scripts, a tiktoken file, SentencePiece's own ids for a model as GGUF holds it.

Run: python tools/golden/tokenizer_more.py   (tokenizers 0.22.2, tiktoken 0.12, sentencepiece 0.2.3), after tokenizer_folders.py.
"""
import base64
import json
import os
import random

import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2
from tokenizers.pre_tokenizers import UnicodeScripts

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/golden/tokenizers")
golden = json.load(open(f"{root}/folders.json"))
strings = [s for s in golden["strings"] if s]
random.seed(3)
points = [0x20, 0x41, 0x31, 0x3042, 0x4E00, 0x30FC, 0x301, 0x391, 0x416, 0x5D0, 0x627, 0x915, 0xE01, 0xAC00, 0x1F600, 0x378]
mixed = ["".join(chr(random.choice(points) + random.randrange(3)) for _ in range(12)) for _ in range(60)]
scripts = [{"text": s, "words": [[w, list(o)] for w, o in UnicodeScripts().pre_tokenize_str(s)]} for s in strings[:60] + mixed]

# A tiktoken file with the vocabulary of folders/qwen2.
vocabulary = json.load(open(f"{root}/folders/qwen2/vocab.json"))
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

byte_of = {c: b for b, c in bytes_to_unicode().items()}
ranks = {bytes(byte_of[c] for c in token): i - 1 for token, i in vocabulary.items() if i > 0}
pattern = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
with open(f"{root}/small.tiktoken", "w") as f:
    f.writelines(f"{base64.b64encode(b).decode()} {r}\n" for b, r in sorted(ranks.items(), key=lambda x: x[1]))
ticks = [{"text": s, "ids": encoding.encode(s, disallowed_special=())} for s in strings]

file = f"{root}/folders/bert_generation/spiece.model"
model = sentencepiece_model_pb2.ModelProto()
model.ParseFromString(open(file, "rb").read())
library = sentencepiece.SentencePieceProcessor(model_file=file)
plain = [s for s in strings if "<" not in s]
gguf = {"tokens": [p.piece for p in model.pieces], "scores": [p.score for p in model.pieces], "types": [p.type for p in model.pieces],
        "charsmap": base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode(),
        "cases": [{"text": s, "ids": library.encode(s)} for s in plain]}
json.dump({"scripts": scripts, "tiktoken": ticks, "unigram": gguf}, open(f"{root}/more.json", "w"), separators=(",", ":"))
