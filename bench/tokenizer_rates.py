"""Encoding 10 MB of mixed text: mynah beside the Rust `tokenizers` package, in turns on the same texts.

    python bench/tokenizer_rates.py build/release/bench/mynah_bench_tokenizers WORK_FOLDER [FILE...]

Needs transformers and sentencepiece. Vocabularies of 30,000 are trained once from texts that every Debian system carries (/usr/share/doc, program
messages in 190 languages) and the given files. Both sides give ids alone (the peer's encode_batch_fast) or whole encodings with tokens and offsets
(encode_batch). Prints MB/s, ratios (above 1: mynah is faster), what a second thread brings, and whether all ids are equal. One thread is
measured by the processor's time, which other work on the machine disturbs least, two by the clock.
"""
import glob
import gzip
import io
import json
import os
import random
import re
import struct
import subprocess
import sys
import time

PROGRAM, FOLDER = sys.argv[1:3]
FILES = sys.argv[3:]
ROUNDS, MEGABYTE, VOCABULARY = 3, 1_000_000, 30_000
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def documents(pattern, most):
    """Texts of the files that match, up to `most` bytes, none of them dominating."""
    random.seed(7)
    names = sorted(n for n in glob.glob(pattern, recursive=True) if os.path.isfile(n))
    random.shuffle(names)
    out, size = [], 0
    for name in names:
        data = (gzip.open if name.endswith(".gz") else open)(name, "rb").read(200_000)
        if b"\0" in data:
            continue
        out.append(data.decode("utf-8", "replace"))
        size += len(data)
        if size > most:
            break
    return out


def messages(most):
    """The translations in gettext catalogues: short sentences in every script."""
    out, size = [], 0
    names = sorted(glob.glob("/usr/share/locale/*/LC_MESSAGES/*.mo"))
    random.seed(8)
    random.shuffle(names)
    for name in names:
        data = open(name, "rb").read()
        if data[:4] != b"\xde\x12\x04\x95":
            continue
        count, _, table = struct.unpack_from("<III", data, 8)
        rows = []
        for i in range(1, min(count, 60)):
            length, at = struct.unpack_from("<II", data, table + 8 * i)
            rows.append(data[at:at + length].replace(b"\0", b"\n"))
        out.append(b"\n".join(rows).decode("utf-8", "replace"))
        size += len(out[-1].encode())
        if size > most:
            break
    return out


def pieces(text, size):
    """Texts of about `size` characters, cut at line ends."""
    at = 0
    while at < len(text):
        end = text.find("\n", at + size)
        end = len(text) if end < 0 else end + 1
        yield text[at:end]
        at = end


def mixed():
    """10 MB: manuals, HTML, source code, messages in many languages, and the given files."""
    sources = documents("/usr/share/doc/**/*.gz", 4 * MEGABYTE) + documents("/usr/share/doc/**/*.html", 2 * MEGABYTE)
    sources += documents("/usr/include/**/*.h", 2 * MEGABYTE) + messages(3 * MEGABYTE) + [open(name, encoding="utf-8").read() for name in FILES]
    texts = [p for source in sources for p in pieces(source.replace("\0", ""), 4000)]
    random.seed(9)
    random.shuffle(texts)
    out, size = [], 0
    for text in texts:
        out.append(text)
        size += len(text.encode()) + 1
        if size > 10 * MEGABYTE:
            break
    return out


def trained(texts):
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    alphabet = pre_tokenizers.ByteLevel.alphabet()

    def made(name, tokenizer, trainer):
        tokenizer.train_from_iterator(texts, trainer)
        os.makedirs(f"{FOLDER}/{name}", exist_ok=True)
        if name == "llama3":
            tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
        if name == "bert":
            special = [(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
            tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special)
        tokenizer.save(f"{FOLDER}/{name}/tokenizer.json")

    gpt2 = Tokenizer(models.BPE())
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.post_processor, gpt2.decoder = processors.ByteLevel(trim_offsets=False), decoders.ByteLevel()
    made("gpt2", gpt2, trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False))
    llama3 = Tokenizer(models.BPE(ignore_merges=True))
    llama3.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(GPT4), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    llama3.decoder = decoders.ByteLevel()
    made("llama3", llama3, trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False))
    bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bert.normalizer, bert.pre_tokenizer, bert.decoder = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    made("bert", bert, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))


def trained_unigram(texts):
    """SentencePiece's own trainer, and the tokenizer.json that transformers makes of its file for T5."""
    import sentencepiece
    from transformers import T5TokenizerFast
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    random.seed(10)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(random.sample(lines, min(60_000, len(lines)))), model_writer=model, vocab_size=VOCABULARY, model_type="unigram",
                                             pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2, num_threads=2)
    os.makedirs(f"{FOLDER}/unigram", exist_ok=True)
    with open(f"{FOLDER}/unigram/spiece.model", "wb") as f:
        f.write(model.getvalue())
    T5TokenizerFast(f"{FOLDER}/unigram/spiece.model", extra_ids=0, add_prefix_space=True).backend_tokenizer.save(f"{FOLDER}/unigram/tokenizer.json")


def fnv(rows):
    h = 0xCBF29CE484222325
    for row in rows:
        for v in (len(row), *row):
            h = (h ^ v) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def peer(name, texts_file, kind):
    """One timed run in this process, which was started for it with a number of threads."""
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(f"{FOLDER}/{name}/tokenizer.json")
    texts = open(texts_file, encoding="utf-8", newline="").read().split("\0")[:-1]
    encode = tokenizer.encode_batch_fast if kind == "ids" else tokenizer.encode_batch
    wall, cpu = [], []
    for _ in range(2):
        start, used = time.perf_counter(), time.process_time()
        out = encode(texts)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return {"hash": fnv([e.ids for e in out]) if kind == "ids" else "", "wall_s": min(wall), "cpu_s": min(cpu)}


def run(command, threads):
    environment = dict(os.environ, MYNAH_THREADS=str(threads), RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true" if threads > 1 else "false")
    return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)


def main():
    if os.environ.get("PEER"):
        print(json.dumps(peer(*json.loads(os.environ["PEER"]))))
        return
    os.makedirs(FOLDER, exist_ok=True)
    file = f"{FOLDER}/texts"
    if not os.path.exists(file):
        with open(file, "w", encoding="utf-8", newline="") as f:
            f.write("".join(t + "\0" for t in mixed()))
    texts = open(file, encoding="utf-8", newline="").read().split("\0")[:-1]
    if not os.path.exists(f"{FOLDER}/bert/tokenizer.json"):
        trained(texts)
    if not os.path.exists(f"{FOLDER}/unigram/tokenizer.json"):
        trained_unigram(texts)
    megabytes = os.path.getsize(file) / MEGABYTE
    print(f"{len(texts)} texts, {megabytes:.1f} MB\n\n| vocabulary | output | mynah MB/s, 1 thread | 2 threads | gain | tokenizers, 1 thread | 2 threads | ratio, 1 thread | ratio, 2 threads | ids |\n"
          "|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in ("gpt2", "llama3", "bert", "unigram"):
        for kind in ("ids", "encodings"):
            best, hashes = {}, set()
            for _ in range(ROUNDS):
                for threads in (1, 2):
                    sides = {"mynah": run([PROGRAM, f"{FOLDER}/{name}", file, kind, "2"], threads)}
                    os.environ["PEER"] = json.dumps([name, file, kind])
                    sides["peer"] = run([sys.executable, *sys.argv], threads)
                    del os.environ["PEER"]
                    for side, result in sides.items():
                        best[side, threads] = min(best.get((side, threads), 1e9), result["cpu_s" if threads == 1 else "wall_s"])
                        hashes |= {result["hash"]} - {""}
            ours, theirs = ([megabytes / best[side, n] for n in (1, 2)] for side in ("mynah", "peer"))
            print(f"| {name} | {kind} | {ours[0]:.1f} | {ours[1]:.1f} | {ours[1] / ours[0]:.2f} | {theirs[0]:.1f} | {theirs[1]:.1f} | {ours[0] / theirs[0]:.2f} | {ours[1] / theirs[1]:.2f} | "
                  f"{'equal' if len(hashes) == 1 else 'DIFFERENT'} |", flush=True)


main()
