"""Writes tests/golden/train/tokenizers/: a text and the vocabularies that the tokenizers package trains on it.

    python tools/golden/train_tokenizers.py OUTPUT_FOLDER

Version: tokenizers 0.23.3. Settings are those of `mynah tokenizer train`; the unit of training is a line with its newline. The text is small
so that the unigram model is cut down several times: that is where implementations part.
"""
import json
import os
import random
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

OUT = sys.argv[1]
SIZE = 120
rng = random.Random(4)
stems = "bird sing river moon stone light green walk water house strange Zürich naïve 日本 3.14".split()
ends = ["", "s", "ing", "ed", "er", "ly", "'s", "less", ",", "."]
text = "".join(" ".join(rng.choice(stems) + rng.choice(ends) for _ in range(rng.randint(2, 9))) + "\n" for _ in range(120))
lines = [line + "\n" for line in text.split("\n")[:-1]]
os.makedirs(OUT, exist_ok=True)
with open(os.path.join(OUT, "text.txt"), "w", encoding="utf-8") as f:
    f.write(text)


def write(name, tokenizer, trainer):
    tokenizer.train_from_iterator(lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    kept = {"vocab": sorted(p for p, _ in model["vocab"])} if name == "unigram" else {"vocab": model["vocab"], "merges": model["merges"]}
    with open(os.path.join(OUT, name + ".json"), "w", encoding="utf-8") as f:
        json.dump(kept, f, ensure_ascii=False, separators=(",", ":"))


words = Tokenizer(models.Unigram())
words.pre_tokenizer = pre_tokenizers.Metaspace()
write("unigram", words, trainers.UnigramTrainer(vocab_size=SIZE, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False))
pairs = Tokenizer(models.BPE(unk_token="<unk>"))
pairs.pre_tokenizer = pre_tokenizers.Metaspace()
write("bpe", pairs, trainers.BpeTrainer(vocab_size=SIZE, special_tokens=["<unk>"], show_progress=False))
