"""Writes tests/golden/tokenizers/windows.json: encodings with truncation, overflow windows and padding, and of texts cut into words.

Run: python tools/golden/tokenizer_windows.py   (tokenizers 0.22.2), after tokenizer_files.py, whose tokenizers it uses.
"""
import json
import os

from tokenizers import Tokenizer

out = os.path.join(os.path.dirname(__file__), "../../tests/golden/tokenizers")
SHORT, MIDDLE, LONG = "Hello birds", "the words of the bird \u00e9t\u00e9 \u65e5\u672c <mask>", "She said: \"We'll see what they've got!\" In 2024, <s> people speak and forget."


def encoding(e):
    return {"ids": e.ids, "offsets": [list(o) for o in e.offsets], "type_ids": e.type_ids,
            "word_ids": [-1 if w is None else w for w in e.word_ids], "sequence_ids": [-1 if s is None else s for s in e.sequence_ids],
            "special_tokens_mask": e.special_tokens_mask, "attention_mask": e.attention_mask}


def windows(e):
    return [encoding(x) for x in [e, *e.overflowing]]


rows = []
for name in ["byte_level", "word_piece", "unigram", "split", "suffix", "word_level"]:
    t = Tokenizer.from_file(f"{out}/{name}/tokenizer.json")
    n = 0
    for strategy in ["longest_first", "only_first", "only_second"]:
        for texts in [[LONG], [LONG, MIDDLE], [MIDDLE, LONG], [MIDDLE, MIDDLE], [SHORT, LONG]]:
            for length, stride, side in [(24, 0, "right"), (27, 3, "right"), (26, 4, "left"), (9, 1, "right")]:
                n += 1
                t.enable_truncation(length, stride=stride, strategy=strategy, direction=side)
                special = n % 3 != 0
                try:
                    e = t.encode(*texts, add_special_tokens=special)
                except BaseException:
                    want = None  # refused
                else:
                    want = windows(e)
                if n % 5 != len(name) % 5 or (want and len(want) > 12):
                    continue
                rows.append({"tokenizer": name, "texts": texts, "strategy": strategy, "max_length": length, "stride": stride, "side": side,
                             "add_special_tokens": special, "windows": want})
    t.no_truncation()
    for side, multiple in [("right", 0), ("left", 8)]:
        t.enable_padding(direction=side, pad_id=3, pad_token=t.id_to_token(3), pad_type_id=0, pad_to_multiple_of=multiple or None)
        rows.append({"tokenizer": name, "batch": [SHORT, LONG, ""], "side": side, "multiple_of": multiple,
                     "windows": [encoding(e) for e in t.encode_batch([SHORT, LONG, ""])]})
    t.no_padding()
    words = ["Hello", "", "the bird", " \u00e9t\u00e9", "word!", "<mask>"]
    rows.append({"tokenizer": name, "words": [words], "windows": windows(t.encode(words, is_pretokenized=True))})
    rows.append({"tokenizer": name, "words": [words, words[2:]], "windows": windows(t.encode(words, words[2:], is_pretokenized=True))})
    if not t.post_processor:  # the reference then knows no sequences in windows and padding
        for row in rows:
            for w in row["windows"] or []:
                if row["tokenizer"] == name:
                    del w["sequence_ids"]
with open(f"{out}/windows.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n")
