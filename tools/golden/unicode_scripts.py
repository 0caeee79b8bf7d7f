"""Writes src/text/unicode_scripts.cpp's table: the scripts that the reference's UnicodeScripts pre-tokenizer tells apart.

Run: python tools/golden/unicode_scripts.py > src/text/unicode_scripts.inc   (tokenizers 0.22.2)
Scripts are numbered by first appearance; -1 is a character that belongs to any script. Found by asking where the reference cuts.
"""
import bisect

from tokenizers.pre_tokenizers import UnicodeScripts

cut = UnicodeScripts().pre_tokenize_str
points = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
starts = [ord(part[0]) for part, _ in cut("".join(map(chr, points)).replace(" ", ""))]
firsts, numbers = [], []
for start in starts:
    known = [i for i, first in enumerate(firsts) if len(cut(chr(first) + chr(start))) == 1]
    numbers.append(known[0] if known else len(firsts))
    if not known:
        firsts.append(start)
of_any = {c for c in points if len(cut("A" + chr(c))) == 1 and len(cut("1" + chr(c))) == 1}
rows, previous = [], None
for c in [0, *points]:
    number = -1 if c in of_any else numbers[max(bisect.bisect_right(starts, c) - 1, 0)]
    if number != previous:
        rows.append(f"{{0x{c:X}, {number}}}")
        previous = number
text = "// Written by tools/golden/unicode_scripts.py: {first character, script}.\n"
for i in range(0, len(rows), 8):
    text += "    " + ", ".join(rows[i:i + 8]) + ",\n"
print(text, end="")
