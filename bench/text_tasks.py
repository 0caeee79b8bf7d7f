"""Texts through encoders and encoder-decoders: mynah beside ONNX Runtime, PyTorch and CTranslate2, in turns on the same weights and ids.

    python bench/text_tasks.py build/release/bench/mynah_bench_text build/release/apps/mynah/mynah WORK_FOLDER MINILM_FOLDER [threads] [rounds] [ROW...]

Needs torch, transformers, onnx, onnxruntime and ctranslate2. Rows (all by default): minilm (the given all-MiniLM-L6-v2, 256 sentences of 32 tokens in batches
of 32), bert (BERT-base's shape, 8 texts of 128 tokens), t5 and bart (T5-small's and BART-base's shapes, 16 texts of 32 tokens, four beams, 48 new
tokens), start (program start to the answer for one line of text). Weights of shapes are random. Prints the least seconds of all rounds (of one thread those
of the processor, which other work on the machine disturbs least; of more those of the clock), ratios (above 1: mynah is faster), the share of the machine's
limit for that type, measured in the same run, and the worst cosine to PyTorch's vectors.
"""
import json
import os
import shutil
import subprocess
import sys
import time

THREADS = int(sys.argv[5]) if len(sys.argv) > 5 else 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import ctranslate2  # noqa: E402
import numpy  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer, models  # noqa: E402

BENCH, MYNAH, FOLDER, MINILM = sys.argv[1:5]
ROUNDS = int(sys.argv[6]) if len(sys.argv) > 6 else 3
ROWS = sys.argv[7:] or ["minilm", "bert", "t5", "bart", "start"]
REPEATS, BEAMS, NEW_TOKENS = 2, 4, 48
torch.set_num_threads(THREADS)
torch.manual_seed(1)


def least(work):
    """Seconds of the fastest of some runs, after one that does not count."""
    now, times = time.process_time if THREADS == 1 else time.perf_counter, []
    for _ in range(REPEATS + 1):
        start = now()
        result = work()
        times.append(now() - start)
    return min(times[1:]), result


def mynah(folder, kind, batch, output):
    command = [BENCH, folder, f"{folder}/input.safetensors", kind, str(REPEATS), str(batch), output]
    result = json.loads(subprocess.run(command, env=dict(os.environ, MYNAH_THREADS=str(THREADS)), capture_output=True, check=True, text=True).stdout)
    return dict(result, seconds=result["cpu_s" if THREADS == 1 else "wall_s"])


def pooled(hidden):
    mean = hidden.sum(1)
    return mean / numpy.linalg.norm(mean, axis=1, keepdims=True)


def worst_cosine(a, b):
    return float((a * b).sum(1).min())


def encoder_flop(config, rows, length):
    c, f = config.hidden_size, config.intermediate_size
    return config.num_hidden_layers * 2 * rows * length * (4 * c * c + 2 * c * f + 2 * length * c)


def encoder_row(name, model, source, rows, length, batch):
    folder = f"{FOLDER}/{name}"
    if not os.path.exists(f"{folder}/int8.onnx"):
        os.makedirs(folder, exist_ok=True)
        model.save_pretrained(folder)
        ids = numpy.random.default_rng(1).integers(1000, 30000, (rows, length))
        ids[:, 0], ids[:, -1] = 101, 102
        save_file({"input_ids": ids}, f"{folder}/input.safetensors")
        torch.onnx.export(model, (torch.ones(batch, length, dtype=torch.long),), f"{folder}/f32.onnx", input_names=["input_ids"], output_names=["hidden", "pooled"],
                          dynamic_axes={"input_ids": {0: "b", 1: "t"}}, dynamo=False)
        quantize_dynamic(f"{folder}/f32.onnx", f"{folder}/int8.onnx", weight_type=QuantType.QInt8)
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = load_file(f"{folder}/input.safetensors")["input_ids"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    sessions = {k: onnxruntime.InferenceSession(f"{folder}/{k}.onnx", options, providers=["CPUExecutionProvider"]) for k in ("f32", "int8")}
    batches = [ids[i:i + batch] for i in range(0, rows, batch)]

    def torch_run():
        with torch.inference_mode():
            return numpy.concatenate([pooled(model(torch.from_numpy(b)).last_hidden_state.numpy()) for b in batches])

    def onnx_run(kind):
        return numpy.concatenate([pooled(sessions[kind].run(["hidden"], {"input_ids": b})[0]) for b in batches])

    best, vectors, peaks = {}, {}, {}
    for _ in range(ROUNDS):
        for side in ("f32", "bf16", "int8", "PyTorch f32", "ONNX Runtime f32", "ONNX Runtime int8"):
            if " " not in side:
                result = mynah(folder, side, batch, f"{FOLDER}/out.safetensors")
                seconds, vectors[side] = result["seconds"], load_file(f"{FOLDER}/out.safetensors")["vectors"]
                for key in ("int8_gops", "bf16_gflops", "f32_gflops"):
                    peaks[key] = max(peaks.get(key, 0), result[key])
            else:
                seconds, vectors[side] = least(torch_run if side.startswith("PyTorch") else lambda: onnx_run(side.split()[-1]))
            best[side] = min(best.get(side, 1e9), seconds)
    work = encoder_flop(model.config, rows, length) / 1e9
    share = {k: work / best[k] / peaks[p] for k, p in (("f32", "f32_gflops"), ("bf16", "bf16_gflops"), ("int8", "int8_gops"))}
    print(f"\n{source}, {rows} texts of {length} tokens, {THREADS} threads; limits f32 {peaks['f32_gflops']:.0f}, bf16 {peaks['bf16_gflops']:.0f}, int8 {peaks['int8_gops']:.0f} G/s\n\n"
          "| | seconds | share of the limit | ONNX Runtime f32 | PyTorch f32 | ONNX Runtime int8 | worst cosine |\n|---|---|---|---|---|---|---|")
    for side in best:
        own = " " not in side
        ratios = [f"{best[peer] / best[side]:.2f}" if own else "" for peer in ("ONNX Runtime f32", "PyTorch f32", "ONNX Runtime int8")]
        print(f"| {'mynah ' + side if own else side} | {best[side]:.3f} | {f'{100 * share[side]:.0f} %' if own else ''} | {' | '.join(ratios)} | {worst_cosine(vectors[side], vectors['PyTorch f32']):.6f} |", flush=True)


def words(config, folder):
    """A tokenizer of as many words as the model has places, which CTranslate2's converter asks for."""
    special = {config.pad_token_id: "<pad>", config.eos_token_id: "</s>", 3: "<unk>"}
    if config.bos_token_id is not None:
        special[config.bos_token_id] = "<s>"
    vocabulary = {special.get(i, f"w{i}"): i for i in range(config.vocab_size)}
    options = dict(bos_token="<s>") if "<s>" in vocabulary else {}
    transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")), unk_token="<unk>", pad_token="<pad>", eos_token="</s>",
                                         **options).save_pretrained(folder)


def seq2seq_row(name, kind, config):
    folder = f"{FOLDER}/{name}"
    if not os.path.exists(f"{folder}/ct2_int8"):
        shutil.rmtree(folder, ignore_errors=True)
        model = kind(config).eval()
        with torch.no_grad():  # as spread out as trained weights are, so that beams differ
            for p in model.parameters():
                if p.ndim == 2:
                    p.normal_(0, p.shape[1] ** -0.5)
        model.save_pretrained(folder)
        words(config, folder)
        save_file({"input_ids": numpy.random.default_rng(2).integers(10, config.vocab_size, (16, 32))}, f"{folder}/input.safetensors")
        for suffix, quantization in (("f32", "float32"), ("int8", "int8")):
            ctranslate2.converters.TransformersConverter(folder).convert(f"{folder}/ct2_{suffix}", quantization=quantization, force=True)
    ids = load_file(f"{folder}/input.safetensors")["input_ids"]
    tokens = json.load(open(f"{folder}/tokenizer.json"))["model"]["vocab"]
    names = {i: t for t, i in tokens.items()}
    source = [[names[int(i)] for i in row] for row in ids]
    peers = {k: ctranslate2.Translator(f"{folder}/ct2_{k}", device="cpu", inter_threads=1, intra_threads=THREADS, compute_type={"f32": "float32", "int8": "int8"}[k])
             for k in ("f32", "int8")}
    best, sequences = {}, {}
    for _ in range(ROUNDS):
        for side in ("f32", "int8", "CTranslate2 f32", "CTranslate2 int8"):
            if " " not in side:
                seconds = mynah(folder, side, 16, f"{FOLDER}/out.safetensors")["seconds"]
                sequences[side] = load_file(f"{FOLDER}/out.safetensors")["sequences"][:, 1:NEW_TOKENS + 1].tolist()
            else:
                run = lambda: peers[side.split()[-1]].translate_batch(source, beam_size=BEAMS, min_decoding_length=NEW_TOKENS, max_decoding_length=NEW_TOKENS, max_batch_size=0)
                seconds, out = least(run)
                sequences[side] = [[tokens[t] for t in r.hypotheses[0]] for r in out]
            best[side] = min(best.get(side, 1e9), seconds)
    print(f"\n{name}'s shape, 16 texts of 32 tokens, {BEAMS} beams, {NEW_TOKENS} new tokens, {THREADS} threads\n\n| | seconds | CTranslate2 f32 | CTranslate2 int8 | answers equal to CTranslate2's f32 |\n|---|---|---|---|---|")
    for side in best:
        same = sum(a == b for a, b in zip(sequences[side], sequences["CTranslate2 f32"]))
        ratios = [f"{best[peer] / best[side]:.2f}" if " " not in side else "" for peer in ("CTranslate2 f32", "CTranslate2 int8")]
        print(f"| {side if ' ' in side else 'mynah ' + side} | {best[side]:.3f} | {' | '.join(ratios)} | {same} of 16 |", flush=True)


def start_row():
    """A classifier as large as MiniLM, with its tokenizer."""
    folder = f"{FOLDER}/classifier"
    if not os.path.exists(folder):
        transformers.BertForSequenceClassification.from_pretrained(MINILM).save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
            if os.path.exists(f"{MINILM}/{file}"):
                shutil.copy(f"{MINILM}/{file}", folder)
    times = []
    for _ in range(5 * ROUNDS):
        begin = time.perf_counter()
        subprocess.run([MYNAH, "pipeline", "text-classification", "--model", folder, "--json", "I love it"], check=True, capture_output=True, env=dict(os.environ, MYNAH_THREADS=str(THREADS)))
        times.append(time.perf_counter() - begin)
    print(f"\nstart to answer, one line of text: {min(times):.3f} s (median {sorted(times)[len(times) // 2]:.3f} s)", flush=True)


os.makedirs(FOLDER, exist_ok=True)
for row in ROWS:
    if row == "minilm":
        encoder_row(row, transformers.BertModel.from_pretrained(MINILM, attn_implementation="eager").eval(), "all-MiniLM-L6-v2", 256, 32, 32)
    elif row == "bert":
        encoder_row(row, transformers.BertModel(transformers.BertConfig(attn_implementation="eager")).eval(), "BERT-base's shape", 8, 128, 8)
    elif row == "t5":
        seq2seq_row("T5-small", transformers.T5ForConditionalGeneration, transformers.T5Config(decoder_start_token_id=0))
    elif row == "bart":
        config = transformers.BartConfig(d_model=768, encoder_layers=6, decoder_layers=6, encoder_attention_heads=12, decoder_attention_heads=12, encoder_ffn_dim=3072,
                                         decoder_ffn_dim=3072, forced_eos_token_id=None, normalize_before=False, normalize_embedding=True)  # the converter asks for the last two
        seq2seq_row("BART-base", transformers.BartForConditionalGeneration, config)
    elif row == "start":
        start_row()
