"""Writes tests/golden/tokenizers/folders: small trained tokenizers in the files of their class (no tokenizer.json), and folders.json with
what AutoTokenizer makes of them on 200 hostile strings.

Run: python tools/golden/tokenizer_folders.py   (transformers 4.57.6, tokenizers 0.22.2, sentencepiece 0.2.3)
Expectations are FNV-1a hashes of a line (see `line`): a failure names the class and the string. Folder PRINT=name prints the lines instead.
"""
import io
import json
import os
import random
import shutil
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
here = os.path.dirname(os.path.abspath(__file__))
root = os.path.join(here, "../../tests/golden/tokenizers/folders")
source = open(os.path.join(here, "tokenizer_files.py")).read()
for name in ("CORPUS", "TEXTS"):  # the same sentences as tokenizer_files.py
    begin = source.index(f"{name} = [")
    exec(source[begin:source.index("\n]\n", begin) + 3])
CORPUS = CORPUS * 4 + ["It costs 1,234,567 and 3, 4,", "``quoted'' text", "THE UPPER CASE WORDS", "caf\u00e9 na\u00efve \u00c9T\u00c9",
                       "a speaker spoke about the unspoken speech and the teacher taught the learners what birds heard"] * 4
random.seed(11)
ALPHABET = list("abcdefgh   THE the,.!?'-123\t\n") + [
    "\u00e9", "e\u0301", "\u65e5", "\u672c", "\u00a0", "\u3000", "\ufb01", "\u2167", "\u1e9e", "\u200b", "\ufeff", "\U0001f600", "\u2581", "\x07", "\u0345",
    "\u1100\u1161", "\u0e33", "\uac00", "``", "''", "  ", "</s>", "<s>", "<mask>", "[MASK]", "<unk>", "<extra_id_1>", "en_XX", ">>fra<<", "<pad>", "\u00bd",
    "\u2028", "\u0660", "newword", "<extra>", "<|endoftext|>"]
STRINGS = TEXTS + ["".join(random.choice(ALPHABET) for _ in range(random.randint(1, 25))) for _ in range(200 - len(TEXTS))]
PAIRS = [["Hello world", "the birds"], ["a b", "x"], ["a <mask> b", " c d "]]


def fnv(text):
    h = 0x811C9DC5
    for byte in text.encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{h:08x}"


def line(ids, tokens=None, offsets=None, types=None):
    parts = [",".join(map(str, ids))]
    if tokens is not None:
        parts.append("\x1f".join(tokens))
    if offsets is not None:
        parts.append(",".join(f"{b}-{e}" for b, e in offsets))
    if types is not None:
        parts.append(",".join(map(str, types)))
    return "\x1e".join(parts)


def folder(name, config):
    path = f"{root}/{name}"
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    with open(f"{path}/tokenizer_config.json", "w") as f:
        json.dump(config, f)
    return path


RULES = {"\ufb01": "fi", "\u00bd": "1/2", "e\u0301": "\u00e9", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\x7f": "", "\u2167": "VIII", "\t": " ", "\n": " "}


def pieces(path, **options):
    with tempfile.TemporaryDirectory() as scratch:
        with open(f"{scratch}/rules.tsv", "w") as f:
            f.writelines(" ".join(f"{ord(c):X}" for c in k) + "\t" + " ".join(f"{ord(c):X}" for c in v) + "\n" for k, v in RULES.items())
        arguments = {"vocab_size": 140, "model_type": "unigram", "minloglevel": 2, "character_coverage": 0.99, "hard_vocab_limit": False, **options}
        if "normalization_rule_name" not in options:
            arguments["normalization_rule_tsv"] = f"{scratch}/rules.tsv"
        stream = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=stream, **arguments)
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(stream.getvalue())
    model.normalizer_spec.normalization_rule_tsv = ""  # holds a temporary path
    with open(path, "wb") as f:
        f.write(model.SerializeToString())


ALBERT = dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]"], user_defined_symbols=["[MASK]"])
DEBERTA = dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")
T5 = dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
LLAMA = dict(model_type="bpe", vocab_size=480, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)
BPE = "sentencepiece.bpe.model"
PIECES = [
    ("albert", "Albert", "spiece.model", ALBERT, {}), ("albert_cased", "Albert", "spiece.model", ALBERT, dict(keep_accents=True, do_lower_case=False)),
    ("fnet", "FNet", "spiece.model", dict(pad_id=3, unk_id=0, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"]), {}),
    ("rembert", "RemBert", "sentencepiece.model", dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"]), {}),
    ("big_bird", "BigBird", "spiece.model", dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, control_symbols=["[SEP]", "[MASK]", "[CLS]"]), {}),
    ("xlnet", "XLNet", "spiece.model", dict(control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"], user_defined_symbols=["<user>"]), {}),
    ("deberta_v2", "DebertaV2", "spm.model", {**DEBERTA, "user_defined_symbols": ["[MASK]"]}, {}),
    ("deberta_v2_punctuation", "DebertaV2", "spm.model", DEBERTA, dict(split_by_punct=True, do_lower_case=True)),
    ("t5", "T5", "spiece.model", T5, {}), ("t5_new", "T5", "spiece.model", T5, dict(legacy=False, extra_ids=10)),
    ("pegasus", "Pegasus", "spiece.model", T5, {}), ("reformer", "Reformer", "spiece.model", T5, {}),
    ("camembert", "Camembert", BPE, {}, {}), ("xlm_roberta", "XLMRoberta", BPE, {}, {}), ("xglm", "XGLM", BPE, {}, {}),
    ("barthez", "Barthez", BPE, dict(bos_id=0, pad_id=1, eos_id=2, unk_id=3, control_symbols=["<mask>"]), {}),
    ("mbart", "MBart", BPE, {}, dict(src_lang="fr_XX", tgt_lang="de_DE")), ("mbart50", "MBart50", BPE, {}, dict(src_lang="fr_XX", tgt_lang="en_XX")),
    ("nllb", "Nllb", BPE, dict(model_type="bpe", vocab_size=260), dict(src_lang="fra_Latn")),
    ("nllb_legacy", "Nllb", BPE, dict(model_type="bpe", vocab_size=260), dict(legacy_behaviour=True)),
    ("llama", "Llama", "tokenizer.model", {**LLAMA, "split_digits": True}, {}),
    ("llama_new", "Llama", "tokenizer.model", {**LLAMA, "user_defined_symbols": ["<user>"]}, dict(legacy=False, add_eos_token=True)),
    ("llama_bare", "Llama", "tokenizer.model", LLAMA, dict(add_prefix_space=False, add_bos_token=False)),
    ("gemma", "Gemma", "tokenizer.model", {**LLAMA, "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "pad_piece": "<pad>",
     "eos_piece": "<eos>", "bos_piece": "<bos>", "user_defined_symbols": ["<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "\u2581\u2581"]}, {}),
    ("speecht5", "SpeechT5", "spm_char.model", dict(model_type="char", vocab_size=90, bos_id=0, pad_id=1, eos_id=2, unk_id=3), {}),
    ("siglip", "Siglip", "spiece.model", dict(pad_id=-1, eos_id=1, unk_id=2, bos_id=-1), {}),
    ("bert_generation", "BertGeneration", "spiece.model", dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3), {}),
]


def write_pieces():
    for name, cls, file, options, config in PIECES:
        pieces(folder(name, {"tokenizer_class": cls + "Tokenizer", **config}) + "/" + file, **options)


def write_renumbered(name, cls, config, sources, more, first, skip):
    path = folder(name, {"tokenizer_class": cls, **config})
    vocabulary = {token: i for i, token in enumerate(first)}
    for file, options in sources:
        pieces(f"{path}/{file}", **options)
        model = sentencepiece.SentencePieceProcessor(model_file=f"{path}/{file}")
        for i in range(3, model.get_piece_size()):
            if not skip or i % 17 != 5:  # some pieces have no id
                vocabulary.setdefault(model.id_to_piece(i), len(vocabulary))
    for token in more:
        vocabulary.setdefault(token, len(vocabulary))
    json.dump(vocabulary, open(f"{path}/vocab.json", "w"))


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [("bert", "Bert", BERT, {}), ("bert_cased", "Bert", BERT, dict(do_lower_case=False)),
         ("bert_strip", "Bert", BERT, dict(do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False)),
         ("electra", "Electra", BERT, dict(strip_accents=False)), ("mpnet", "MPNet", ["<pad>", "[UNK]", "<s>", "</s>", "<mask>"], {}),
         ("funnel", "Funnel", ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>", "<s>", "</s>"], {}), ("bert_added", "Bert", BERT, {})]


def write_words():
    for name, cls, special, config in WORDS:
        path = folder(name, {"tokenizer_class": cls + "Tokenizer", **config})
        t = Tokenizer(models.WordPiece(unk_token=special[1]))
        t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(lowercase=config.get("do_lower_case", True)), pre_tokenizers.BertPreTokenizer()
        t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=260, special_tokens=special, show_progress=False))
        tokens = [k for k, _ in sorted(t.get_vocab().items(), key=lambda x: x[1])]
        open(f"{path}/vocab.txt", "w").writelines(k + "\n" for k in tokens)
        if name == "bert_added":
            json.dump({"<extra>": len(tokens), "newword": len(tokens) + 1}, open(f"{path}/added_tokens.json", "w"))
            mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
            json.dump({"unk_token": "[UNK]", "mask_token": mask, "additional_special_tokens": ["<extra>"]}, open(f"{path}/special_tokens_map.json", "w"))


END = "<|endoftext|>"
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BYTES = [("gpt2", "GPT2", [END], {}), ("gpt2_bos", "GPT2", [END], dict(add_bos_token=True, add_prefix_space=True)), ("roberta", "Roberta", ROBERTA, {}),
         ("roberta_prefix", "Roberta", ROBERTA, dict(add_prefix_space=True, trim_offsets=False)), ("bart", "Bart", ROBERTA, {}),
         ("blenderbot", "Blenderbot", ROBERTA, {}), ("deberta", "Deberta", ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"], {}),
         ("whisper", "Whisper", [END], {}), ("qwen2", "Qwen2", [END], {}), ("clip", "CLIP", ["<|startoftext|>", END], {}), ("gpt1", "OpenAIGPT", ["<unk>"], {})]


def write_bytes():
    for name, cls, special, config in BYTES:
        path = folder(name, {"tokenizer_class": cls + "Tokenizer", **config})
        suffix = {"end_of_word_suffix": "</w>"} if name in ("clip", "gpt1") else {}
        t = Tokenizer(models.BPE(**({"unk_token": special[0]} if name == "gpt1" else {}), **suffix))
        t.pre_tokenizer, alphabet = pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.ByteLevel.alphabet()
        if name == "clip":
            t.normalizer = normalizers.Lowercase()
            t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(False, use_regex=False)])
        if name == "gpt1":
            t.normalizer, t.pre_tokenizer, alphabet = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer(), []
        t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=620 if name == "clip" else 380, special_tokens=special, show_progress=False,
                                                         initial_alphabet=alphabet, **suffix))
        model = json.loads(t.to_str())["model"]
        json.dump(model["vocab"], open(f"{path}/vocab.json", "w"), ensure_ascii=False)
        open(f"{path}/merges.txt", "w").write("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in model["merges"]))
        if name == "whisper":
            more = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>", "<|0.00|>"]
            json.dump({token: len(model["vocab"]) + i for i, token in enumerate(more)}, open(f"{path}/added_tokens.json", "w"))
            json.dump({"additional_special_tokens": more[:5]}, open(f"{path}/special_tokens_map.json", "w"))


def write_characters():
    letters = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|"] + list("ETAONIHSRDLUMWCFGYPBVK'XJQZ"))}
    json.dump(letters, open(folder("ctc", {"tokenizer_class": "Wav2Vec2CTCTokenizer"}) + "/vocab.json", "w"))
    options = dict(language="eng", normalize=True, is_uroman=False, phonemize=False, add_blank=True, pad_token="k", unk_token="k")
    path = folder("vits", {"tokenizer_class": "VitsTokenizer", **options})
    json.dump({t: i for i, t in enumerate(["k", "'", "z", "y", "u", "d", "h", "e", "s", "w", " ", "<unk>"] + list("aioxnrtlmcbvfgpjq-\u00e9"))}, open(path + "/vocab.json", "w"))
    folder("byt5", {"tokenizer_class": "ByT5Tokenizer"})


def expectations(name):
    t = AutoTokenizer.from_pretrained(f"{root}/{name}")
    fast = t.is_fast
    more = {"return_offsets_mapping": True, "return_token_type_ids": True} if fast else {}

    def encoded(*texts, **options):
        e = t(*texts, **more, **options)
        ids = e["input_ids"]
        return ids, line(ids, e.tokens(), e["offset_mapping"], e["token_type_ids"]) if fast else line(ids, t.convert_ids_to_tokens(ids))

    lines, decoded = [], []
    for text in STRINGS:
        ids, whole = encoded(text)
        lines.append(whole + "\x1d" + line(t(text, add_special_tokens=False)["input_ids"]))
        decoded.append(ids)
    size = len(t)
    decoded += [[random.randrange(size) for _ in range(9)] for _ in range(30)]
    texts = [t.decode(ids) + "\x1e" + t.decode(ids, skip_special_tokens=True) for ids in decoded]
    pairs = [encoded(*p)[1] for p in PAIRS]
    return {"fast": fast, "texts": lines, "ids": decoded[len(STRINGS):], "decoded": texts, "pairs": pairs}


if __name__ == "__main__":
    write_pieces()
    write_words()
    write_bytes()
    write_characters()
    write_renumbered("marian", "MarianTokenizer", dict(source_lang="en", target_lang="fr", separate_vocabs=False),
                     [("source.spm", {}), ("target.spm", dict(vocab_size=120))], [">>fra<<", ">>deu<<", "<pad>"], ["</s>", "<unk>"], True)
    first = ["<s>", "<pad>", "</s>", "<unk>"]
    write_renumbered("m2m_100", "M2M100Tokenizer", dict(src_lang="fr", tgt_lang="de"), [(BPE, dict(model_type="bpe", vocab_size=260))], [], first, False)
    write_renumbered("speech_to_text", "Speech2TextTokenizer", {}, [(BPE, {})], [], first, False)
    result = {"strings": STRINGS, "pairs": PAIRS, "classes": {}}
    for name in sorted(os.listdir(root)):
        got = expectations(name)
        if os.environ.get("PRINT") == name:
            for key in ("texts", "decoded", "pairs"):
                print(*map(repr, got[key]), sep="\n")
        result["classes"][name] = {k: " ".join(map(fnv, v)) if k in ("texts", "decoded", "pairs") else v for k, v in got.items()}
    with open(f"{root}/../folders.json", "w") as f:
        json.dump(result, f, separators=(",", ":"))
        f.write("\n")
