"""Writes tests/golden/tokenizers: small trained tokenizers with the encodings that the reference implementations give.

Run: python tools/golden/tokenizer_files.py   (tokenizers 0.22.2, sentencepiece 0.2.3)
- byte_level/, split/, spaces/, suffix/, word_piece/, word_level/, unigram/: a tokenizer.json each, with cases.json: texts, pairs and decodings.
- components.json: one small byte-pair vocabulary under many combinations of normalizer, pre-tokenizer, post-processor,
  decoder and added tokens; a test puts tokenizer.json together from them.
- tests/fuzz/corpus/tokenizer/seed-*: a tiny tokenizer.json, a zero byte, and a text for it.
- sentencepiece.json: a byte-pair model of SentencePiece as GGUF files hold it (tokens, scores, types), with ids.
The trainers break ties in suffix/ and word_piece/ by chance, so these two come out different (and consistent) in each run.
Offsets count Unicode characters. Everything must be equal.
"""
import base64
import io
import json
import os
import random
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from sentencepiece import sentencepiece_model_pb2 as spm_pb2

out = os.path.join(os.path.dirname(__file__), "../../tests/golden/tokenizers")
random.seed(5)

CORPUS = [
    "The little bird learns to speak, and it doesn't forget what it's heard.", "She said: \"We'll see what they've got!\"",
    "In 2024, 1234567 people counted 3.14159 and 0x1F600.", "for (int i = 0; i < n; ++i) {\n\treturn values[i] * 2;\n}\n",
    "def speak(word):\n    return word.upper()\n\n\nclass Bird:\n    pass\n", "L'\u00e9t\u00e9 \u00e0 la montagne, na\u00efve et d\u00e9j\u00e0 vu.",
    "\u042d\u0442\u043e \u043f\u0440\u043e\u0441\u0442\u043e\u0439 \u0442\u0435\u043a\u0441\u0442.", "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002\u4e2d\u6587\u53e5\u5b50\u3002",
    "The words of the world are the words of the birds.  Two  spaces   and three.", "HELLO World, hello world; Hello WORLD?",
]
TEXTS = [
    "", " ", "a", " a ", "Hello world", "  Hello   world  ", "The birds don't forget; WE'LL see, they'Ve got it's",
    "tabs\tand\nnew\r\nlines\n\n\n  \n x", "1234567 3.14 \u00bd \u2167 \u0663", "na\u00efve \u00e9t\u00e9 e\u0301te\u0301 \u1e69 s\u0323\u0307 \u01c5 \u0130stanbul \ufb01n",
    "\u65e5\u672c\u8a9e\u3068\u4e2d\u6587\u3001\ud55c\uad6d\uc5b4 \u1100\u1161\u11a8", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001f1e9\U0001f1ea 1\ufe0f\u20e3", "<s>Hello</s> <mask> <unk><s>", "x <mask>y  <mask>  z the<the>then",
    "\u2581mark \u2581\u2581two \u0120g", "\u00a0nbsp\u3000wide\u2009thin\u200bzero\u0085nel\u2028ls", "\x00\x01\x7f\ufeff\ufffd\u00ad",
    "if(x<=10&&y!=3){z[i]=a->b;}//ok\n\n", "http://a.b/c?d=e&f=%20#g", "MiXeD CaSe HTTPServer2go iPhone", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa " + "ab" * 40,
    "'s 'S 't\u017f '\u017f 'll'LL", "...!!!??? -- __init__ $%^&*",
]
NEWEST = ["The words \U00013460\u1c89\ua7cb\u0897 of \ue000\U0010ffff"]  # letters and marks of Unicode 16
PAIRS = [["Hello world", "the birds"], ["", "x"], ["a <mask> b", " c d "]]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def encoding(e):
    return {"ids": e.ids, "tokens": e.tokens, "offsets": [list(o) for o in e.offsets], "type_ids": e.type_ids}


def write(path, value):
    with open(f"{out}/{path}", "w") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


def cases(t, texts):
    ids = [t.encode(x).ids for x in texts] + [[random.randrange(t.get_vocab_size()) for _ in range(9)] for _ in range(12)]
    return {
        "texts": [{"text": x, **encoding(t.encode(x)), "plain_ids": t.encode(x, add_special_tokens=False).ids} for x in texts],
        "pairs": [{"texts": p, **encoding(t.encode(*p))} for p in PAIRS],
        "decodings": [{"ids": i, "text": t.decode(i, skip_special_tokens=False), "skipped": t.decode(i)} for i in ids],
    }


def train(t, size, **options):
    t.train_from_iterator(CORPUS * 2, trainers.BpeTrainer(vocab_size=size, show_progress=False, **options))
    return t


def save(name, t, more=[]):
    os.makedirs(f"{out}/{name}", exist_ok=True)
    t.save(f"{out}/{name}/tokenizer.json", pretty=False)
    write(f"{name}/cases.json", cases(t, TEXTS + more))


# GPT-2 and RoBERTa.
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
train(t, 400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
t.decoder = decoders.ByteLevel()
t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
save("byte_level", t, NEWEST)

# Llama 3.
t = Tokenizer(models.BPE(ignore_merges=True))
t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
train(t, 400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
t.decoder = decoders.ByteLevel()
t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
    single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 0)])])
save("split", t, NEWEST)

# Llama 2: SentencePiece's spelling of spaces, bytes for what has no token.
t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
t.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
train(t, 640, special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)])
t.pre_tokenizer = None
t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
save("spaces", t)

# CLIP: lower case, words marked at their end.
t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
t.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
    pre_tokenizers.ByteLevel(False, use_regex=False)])
train(t, 500, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix="</w>")
t.decoder = decoders.BPEDecoder("</w>")
t.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
save("suffix", t)

# BERT.
t = Tokenizer(models.WordPiece(unk_token="<unk>", max_input_chars_per_word=30))
t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
t.train_from_iterator(CORPUS * 2, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>", "<mask>"], show_progress=False))
t.decoder = decoders.WordPiece()
t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)])
save("word_piece", t)

t = Tokenizer(models.WordLevel(unk_token="<unk>"))
t.pre_tokenizer = pre_tokenizers.Whitespace()
t.train_from_iterator(CORPUS, trainers.WordLevelTrainer(vocab_size=120, special_tokens=["<unk>", "<s>"], show_progress=False))
save("word_level", t)

# T5, with a small table of SentencePiece's normalizer in place of its usual one of 240 kB.
with tempfile.TemporaryDirectory() as folder:
    rules = {"\ufb01": "fi", "\u00bd": "1/2", "e\u0301": "\u00e9", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\x7f": "", "\u2167": "VIII", "\t": " "}
    with open(f"{folder}/rules.tsv", "w") as f:
        f.writelines(" ".join(f"{ord(c):X}" for c in k) + "\t" + " ".join(f"{ord(c):X}" for c in v) + "\n" for k, v in rules.items())
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS * 4), model_writer=stream, vocab_size=130, model_type="unigram",
                                             normalization_rule_tsv=f"{folder}/rules.tsv", minloglevel=2)
proto = spm_pb2.ModelProto()
proto.ParseFromString(stream.getvalue())
charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
t = Tokenizer.from_str(json.dumps({
    "version": "1.0", "truncation": None, "padding": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581"}, "post_processor": None,
    "added_tokens": [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                     for i, c in enumerate(["<unk>", "<s>", "</s>"])],
    "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap}, "decoder": {"type": "Metaspace", "replacement": "\u2581"},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [[p.piece, p.score] for p in proto.pieces]}}))
t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])
save("unigram", t, NEWEST)

# Components, on one vocabulary that has bytes, their spellings, and a few words.
N, P, D, Q = normalizers, pre_tokenizers, decoders, processors
t = Tokenizer(models.BPE(unk_token="<unk>"))
t.pre_tokenizer = P.ByteLevel(False)
train(t, 330, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=P.ByteLevel.alphabet() + ["\u2581", "\u65e5", "_"])
model = json.loads(t.to_str())["model"]
normal = [None, N.NFC(), N.NFD(), N.NFKC(), N.NFKD(), N.Lowercase(), N.StripAccents(), N.Strip(), N.Nmt(), N.Prepend("\u2581"),
          N.Replace(Regex(r"\s+"), "_"), N.Replace("th", ""), N.BertNormalizer(), N.BertNormalizer(strip_accents=False, handle_chinese_chars=False),
          N.Sequence([N.NFD(), N.StripAccents(), N.Lowercase()]), N.Sequence([N.Strip(), N.Replace(Regex("$|x*"), "-")])]
before = [None, P.ByteLevel(True), P.Sequence([P.Digits(True), P.ByteLevel(False)]), P.Sequence([P.Digits(False), P.ByteLevel(False)]),
          P.Sequence([P.Split(Regex(QWEN2), "isolated"), P.ByteLevel(False, use_regex=False)]),
          P.Sequence([P.Split(Regex(GPT4O), "isolated"), P.ByteLevel(False, use_regex=False)]),
          P.Sequence([P.Split(Regex(GPT2), "removed", invert=True), P.ByteLevel(True, use_regex=False)]),
          P.Metaspace(), P.Metaspace(prepend_scheme="first"), P.Metaspace(prepend_scheme="never", split=False), P.Whitespace(), P.WhitespaceSplit(),
          P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="first")]), P.BertPreTokenizer(), P.Punctuation(), P.Punctuation("merged_with_next"),
          P.Punctuation("contiguous"), P.Split("th", "merged_with_previous"), P.Split(" ", "merged_with_next"), P.Split(Regex(r"\d+"), "removed"),
          P.Split(Regex("a|(?=b)"), "contiguous"), P.CharDelimiterSplit(" "), P.FixedLength(3)]
after = [None, Q.ByteLevel(trim_offsets=True), Q.ByteLevel(trim_offsets=True, add_prefix_space=False), Q.BertProcessing(("</s>", 2), ("<s>", 1)),
         Q.RobertaProcessing(("</s>", 2), ("<s>", 1)), Q.TemplateProcessing(single="<s> $A:1 </s>:2", pair="$B:1 <s> $A", special_tokens=[("<s>", 1), ("</s>", 2)])]
back = [None, D.ByteLevel(), D.ByteFallback(), D.Metaspace(), D.Metaspace(prepend_scheme="never"), D.WordPiece("h"), D.BPEDecoder("e"), D.CTC("o", "t"),
        D.Sequence([D.Replace(Regex("[aeiou]"), "-"), D.Fuse(), D.Strip("T", 1, 1)])]
added = [AddedToken("<mask>", lstrip=True, special=True), AddedToken("the", single_word=True), AddedToken("\u00c9t\u00e9", normalized=True),
         AddedToken("  ", normalized=False), AddedToken("Hello", rstrip=True, normalized=False), AddedToken("worl", normalized=True)]


def source(part):
    return None if part is None else json.loads(part.__getstate__())


rows = []
for i in range(max(len(normal), len(before)) * 2):
    n, p = (normal[i % len(normal)], before[(i * 7) % len(before)]) if i % 2 else (None if i < 16 else normal[i % len(normal)], before[(i // 2) % len(before)])
    t = Tokenizer.from_str(json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                                       "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model}))
    q, d = after[i % len(after)], back[i % len(back)]
    t.normalizer, t.pre_tokenizer, t.post_processor, t.decoder = n, p, q, d
    t.add_special_tokens(["<s>", "</s>", "<unk>"])
    t.add_tokens(random.sample(added, random.randrange(4)))
    whole = json.loads(t.to_str())
    texts = random.sample(TEXTS[1:], 5)
    rows.append({**{k: whole[k] for k in ("normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens")},
                 "texts": [{"text": x, **encoding(t.encode(x))} for x in texts], "pair": {"texts": PAIRS[i % 3], **encoding(t.encode(*PAIRS[i % 3]))},
                 "decoding": {"ids": t.encode(texts[0]).ids, "text": t.decode(t.encode(texts[0]).ids)}})
write("components.json", {"model": model, "rows": rows})

# SentencePiece.
stream = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(CORPUS * 4), model_writer=stream, vocab_size=420, model_type="bpe", byte_fallback=True, character_coverage=0.98,
    normalization_rule_name="identity", remove_extra_whitespaces=False, user_defined_symbols=["<user>"], minloglevel=2)
proto = spm_pb2.ModelProto()
proto.ParseFromString(stream.getvalue())
sp = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())
texts = [x for x in TEXTS if x and "\x00" not in x and "<" not in x and "\u2581" not in x]
write("sentencepiece.json", {
    "tokens": [p.piece for p in proto.pieces], "scores": [p.score for p in proto.pieces], "types": [p.type for p in proto.pieces],
    "cases": [{"text": x, "ids": sp.encode(x), "decoded": sp.decode(sp.encode(x))} for x in texts]})

# Seeds of the fuzzer, with every component once.
corpus = os.path.join(os.path.dirname(__file__), "../../tests/fuzz/corpus/tokenizer")
os.makedirs(corpus, exist_ok=True)
tiny = {"type": "BPE", "vocab": {k: i for i, k in enumerate(["<unk>", "a", "b", "ab", "\u2581", "\u2581a", "<0x41>", "\u0120", "\u0120a", "</w>"])},
        "merges": [["a", "b"], ["\u2581", "a"], ["\u0120", "a"]], "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
flags = {"single_word": True, "lstrip": True, "rstrip": True, "normalized": False, "special": True}


def seed(name, text, **parts):
    whole = {"added_tokens": [{"id": 10, "content": "<s>", **flags}], **parts, "model": {**tiny, **parts.get("model", {})}}
    with open(f"{corpus}/seed-{name}", "wb") as f:
        f.write(json.dumps({k: v for k, v in whole.items() if v}, ensure_ascii=False, separators=(",", ":")).encode() + b"\0" + text.encode())


for i, p in enumerate(before):
    n, q, d = normal[i % len(normal)], after[i % len(after)], back[i % len(back)]
    seed(f"{i:02}", "ab <s> a\u00e9 b12 \u65e5", normalizer=source(n), pre_tokenizer=source(p), post_processor=source(q), decoder=source(d))
seed("suffix", "ab b", model={"end_of_word_suffix": "</w>", "continuing_subword_prefix": "b"})
seed("word_piece", "ab abb", model={"type": "WordPiece", "continuing_subword_prefix": "", "max_input_chars_per_word": 5})
seed("word_level", "ab abb", model={"type": "WordLevel"})
seed("unigram", "ab\u00e9\u00e9b", model={"type": "Unigram", "vocab": [["<unk>", 0], ["a", -1], ["b", -1.5], ["ab", -2], ["<0x62>", -3]], "unk_id": 0},
     normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap})
seed("strings", "a\ud7ff", model={"merges": ["#version: 0.2", "a b"], "ignore_merges": True})
