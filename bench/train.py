"""Training: mynah beside PyTorch on the same work, in turns in the same run, each in a process of its own.

    python bench/train.py build/release/apps/mynah/mynah WORK_FOLDER [--processor] [--only char,dropout,gpt2,bert,vit,lora,batch,checkpointing,recipe]
        [--threads 2] [--rounds 2] [--steps 30] [--char-steps 2000] [--seeds 1,2,3]

Needs torch and transformers. Prints a table: seconds of a step (the median of a process's steps; of the rounds the best), the ratio (above 1: mynah is
faster), peak memory of the process, and what share of the machine's measured limit the step reached (operations: 6 a weight and token, and attention).

  char   nanoGPT's recipe for tinyshakespeare on a CPU: 4 layers, 4 heads, 128 channels, 12 windows of 64 characters, 2000 updates; with validation losses
  dropout  a step of the char job with dropout of 0.1 wherever GPT-2 has it, as its config has by default
  gpt2   a step of GPT-2 124M on 4 x 64 tokens
  bert   a step of masked-token BERT-base on 8 x 128 tokens
  vit    a step of ViT-B/16 on 8 pictures of 224 x 224 (mynah reads and prepares them in the step, PyTorch is given numbers)
  lora   a step with adapters of rank 8, beside plain and quantised weights, and the whole step: a Llama of GPT-2's size on 4 x 64 tokens and on 1 x 64 (mynah alone)
  batch  the char step with 4 and with 32 rows, seconds a token; and step 1 beside step 1000 (mynah alone)
  checkpointing  the GPT-2 step on 4 x 512 tokens with and without --gradient-checkpointing (mynah alone)
  recipe the char job's losses on all of the held-out text from each of --seeds, by both (only where it is named: minutes for each seed)

With --processor the seconds are the processor's instead of the clock's, of all threads together, from two runs of different length: for a machine that
others use too, best with --threads 1.

PyTorch is eager with fused AdamW and scaled_dot_product_attention, its best setting here; bf16, where the processor has it, is its autocast.
"""
import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

# A script's folder comes first among the places of modules, and tokenizers.py in it would stand before the package.
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
TEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples", "tinyshakespeare.txt.gz")
NO_DROPOUT = {"attn_pdrop": 0, "resid_pdrop": 0, "embd_pdrop": 0}
RECIPE = {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 64, "vocab_size": 65}
JOBS = {
    "char": {"kind": "gpt2", "config": {**RECIPE, **NO_DROPOUT}, "batch": 12, "block": 64},
    "dropout": {"kind": "gpt2", "config": RECIPE, "batch": 12, "block": 64},
    "gpt2": {"kind": "gpt2", "config": {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257, **NO_DROPOUT}, "batch": 4, "block": 64},
    "llama": {"kind": "llama", "batch": 4, "block": 64,
              "config": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 12, "intermediate_size": 2048, "vocab_size": 50257,
                         "max_position_embeddings": 1024, "tie_word_embeddings": True}},
    "bert": {"kind": "bert", "batch": 8, "block": 128,
             "config": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
                        "max_position_embeddings": 512, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}},
    "vit": {"kind": "vit", "batch": 8, "block": 197,
            "config": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224, "patch_size": 16,
                       "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}},
}


def operations(job, batch=None):
    """Floating-point operations of a step."""
    c, tokens = job["config"], (batch or job["batch"]) * job["block"]
    width, layers = c.get("n_embd") or c["hidden_size"], c.get("n_layer") or c["num_hidden_layers"]
    weights = 12 * layers * width * width + c.get("vocab_size", width) * width  # of ViT the projection of patches
    return 6 * weights * tokens + 12 * layers * width * job["block"] * tokens


# One job by PyTorch, in a process of its own: prints {"seconds": [..], "eval_loss": ..}.
def peer(name, bf16, steps, threads, batch, seed):
    import torch
    import transformers

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    job = JOBS[name]
    text = gzip.open(TEXT, "rt").read()
    letters = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([letters[c] for c in text])
    train, held_out = ids[: int(len(ids) * 0.9)], ids[int(len(ids) * 0.9) :]
    if job["kind"] == "vit":
        model = transformers.ViTForImageClassification._from_config(transformers.ViTConfig(**job["config"], num_labels=2), attn_implementation="sdpa")
    elif job["kind"] == "gpt2":
        model = transformers.GPT2LMHeadModel._from_config(transformers.GPT2Config(**job["config"], bos_token_id=None, eos_token_id=None), attn_implementation="sdpa")
    else:
        model = transformers.BertForMaskedLM._from_config(transformers.BertConfig(**job["config"]), attn_implementation="sdpa")
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0}], lr=1e-3, betas=(0.9, 0.99), fused=True)
    block, rows = job["block"], batch or job["batch"]

    def loss_of(x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = (model(pixel_values=x) if job["kind"] == "vit" else model(input_ids=x)).logits
        return torch.nn.functional.cross_entropy(logits.float().view(-1, logits.size(-1)), y.reshape(-1), ignore_index=-100)

    def windows(data):
        if job["kind"] == "vit":
            return torch.rand(rows, 3, 224, 224), torch.randint(2, (rows,))
        at = torch.randint(len(data) - block - 1, (rows,)).tolist()
        x = torch.stack([data[i : i + block] for i in at])
        if job["kind"] == "gpt2":
            return x, torch.stack([data[i + 1 : i + block + 1] for i in at])
        chosen = torch.rand(x.shape) < 0.15
        return torch.where(chosen & (torch.rand(x.shape) < 0.8), 103, x), torch.where(chosen, x, -100)

    # nanoGPT's schedule: up over 100 steps, down as a cosine to a tenth.
    def rate(step):
        import math
        if step < 100:
            return (step + 1) / 101
        return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1, (step - 100) / max(1, steps - 100))))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    seconds = []
    for _ in range(steps):
        begin = time.perf_counter()
        loss = loss_of(*windows(train))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seconds.append(time.perf_counter() - begin)
    result = {"seconds": seconds}
    if name == "char":
        model.eval()
        with torch.no_grad():
            n = (len(held_out) - 1) // block
            x, y = held_out[: n * block].view(n, block), held_out[1 : n * block + 1].view(n, block)
            result["eval_loss"] = sum(loss_of(x[i : i + 64], y[i : i + 64]).item() * len(x[i : i + 64]) for i in range(0, n, 64)) / n
    print(json.dumps(result))


class Bench:
    def __init__(self, options):
        self.o, self.folder = options, options.folder
        os.makedirs(self.folder, exist_ok=True)
        self.text = os.path.join(self.folder, "text.txt")
        with open(self.text, "w") as f:
            f.write(gzip.open(TEXT, "rt").read())
        self.tokenizer("char", ["--type", "char"])
        self.tokenizer("bert", ["--type", "wordpiece", "--vocab-size", "1000", "--special-tokens", "[PAD],[UNK],[CLS],[SEP],[MASK]"])
        peak = json.loads(self.call([options.mynah, "bench", "--json", "--threads", str(options.threads)])[0])["peak"]
        self.limits = {False: peak["f32_gflops"], True: peak["bf16_gflops"] or peak["f32_gflops"]}
        with open("/proc/cpuinfo") as f:
            self.has_bf16 = "avx512_bf16" in f.read()
        print(f"limits: f32 {self.limits[False]:.0f} GFLOP/s, bf16 {self.limits[True]:.0f} GFLOP/s; {options.threads} threads\n")

    def call(self, words):
        """Runs to the end; gives standard output and the peak memory in MB; what the processor spent is left in self.spent."""
        with tempfile.TemporaryFile("w+") as errors:
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=dict(os.environ, MYNAH_THREADS=str(self.o.threads))) as p:
                out = p.stdout.read()
                _, status, usage = os.wait4(p.pid, 0)
                p.returncode = os.waitstatus_to_exitcode(status)
                self.spent = usage.ru_utime + usage.ru_stime
            if p.returncode:
                errors.seek(0)
                sys.exit(f"{' '.join(words)}: {errors.read()[-2000:]}")
        return out, usage.ru_maxrss / 1024

    def tokenizer(self, name, words):
        self.call([self.o.mynah, "tokenizer", "train", *words, "--output", os.path.join(self.folder, name + "_tokenizer"), self.text])

    def log(self, out, steps_of_row):
        """Seconds of a step, between rows of the log; and the last eval_loss."""
        with open(os.path.join(out, "log.jsonl")) as f:
            rows = [json.loads(line) for line in f]
        at = [r["seconds"] for r in rows if "loss" in r]
        losses = [r["eval_loss"] for r in rows if "eval_loss" in r]
        return [(b - a) / steps_of_row for a, b in zip(at, at[1:])], losses[-1] if losses else None

    def pictures(self):
        """A folder with two kinds of pictures, written as PNG."""
        import random
        import struct
        import zlib

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        draw, folder = random.Random(3), os.path.join(self.folder, "pictures")
        for label in ("one", "two"):
            os.makedirs(os.path.join(folder, label), exist_ok=True)
            for i in range(16):
                rows = b"".join(b"\0" + bytes(draw.randrange(256) for _ in range(3)) * 224 for _ in range(224))
                with open(os.path.join(folder, label, f"{i}.png"), "wb") as f:
                    f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 224, 224, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        return folder

    def vit(self, bf16, steps):
        model, out = os.path.join(self.folder, "vit"), os.path.join(self.folder, "out")
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(model, exist_ok=True)
        with open(os.path.join(model, "config.json"), "w") as f:
            json.dump({"model_type": "vit", "architectures": ["ViTForImageClassification"], **JOBS["vit"]["config"]}, f)
        with open(os.path.join(model, "preprocessor_config.json"), "w") as f:
            json.dump({"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255,
                       "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}, f)
        _, memory = self.call([self.o.mynah, "finetune", model, "--from-scratch", "--task", "image-classification", "--train-file", self.pictures(), "--output-dir", out,
                               "--max-steps", str(steps), "--per-device-train-batch-size", str(JOBS["vit"]["batch"]), "--learning-rate", "1e-3", "--weight-decay", "0.1",
                               "--logging-steps", "1", "--save-steps", "0", *(["--bf16"] if bf16 else [])])
        seconds, _ = self.log(out, 1)
        return seconds, None, memory

    def ours(self, name, bf16, steps, batch=None, block=None, more=()):
        if name == "vit":
            return self.vit(bf16, steps)
        job, out = JOBS[name], os.path.join(self.folder, "out")
        shutil.rmtree(out, ignore_errors=True)
        config = os.path.join(self.folder, name + ".json")
        with open(config, "w") as f:
            json.dump({"model_type": job["kind"], **job["config"]}, f)
        every = 10 if steps > 100 else 1
        words = [self.o.mynah, "pretrain", "--config", config, "--tokenizer", os.path.join(self.folder, ("bert" if name == "bert" else "char") + "_tokenizer"),
                 "--train-file", self.text, "--output-dir", out, "--max-steps", str(steps), "--per-device-train-batch-size", str(batch or job["batch"]),
                 "--block-size", str(block or job["block"]), "--learning-rate", "1e-3", "--lr-scheduler-type", "cosine_with_min_lr", "--min-lr", "1e-4", "--warmup-steps", "100",
                 "--adam-beta2", "0.99", "--weight-decay", "0.1", "--logging-steps", str(every), "--save-steps", "0", "--seed", "1337"]
        if name == "bert":
            words += ["--objective", "mlm"]
        if name == "char":
            words += ["--validation-fraction", "0.1", "--per-device-eval-batch-size", "64"]
        _, memory = self.call([*words, *more] + (["--bf16"] if bf16 else []))
        seconds, loss = self.log(out, every)
        return seconds, loss, memory

    def theirs(self, name, bf16, steps, batch=None, seed=1337):
        words = [sys.executable, os.path.abspath(__file__), "--peer", name, "--steps", str(steps), "--threads", str(self.o.threads), "--seed", str(seed)]
        out, memory = self.call(words + (["--bf16"] if bf16 else []) + (["--rows", str(batch)] if batch else []))
        result = json.loads(out.strip().splitlines()[-1])
        return result["seconds"][1:], result.get("eval_loss"), memory

    def typical(self, run, steps):
        """Seconds of a step, and what else `run` gives for a run of so many steps."""
        if not self.o.processor:
            seconds, *more = run(steps)
            return statistics.median(seconds), *more
        few = 2
        run(few)
        before = self.spent
        _, *more = run(few + steps)
        return (self.spent - before) / steps, *more

    def compare(self, name):
        steps = self.o.char_steps if name == "char" else self.o.steps
        for bf16 in (False, True) if self.has_bf16 else (False,):
            best = {}
            for _ in range(self.o.rounds):
                for who in (self.ours, self.theirs):
                    typical, loss, memory = self.typical(lambda n: who(name, bf16, n), steps)
                    if who not in best or typical < best[who][0]:
                        best[who] = (typical, loss, memory)
            (a, loss_a, memory_a), (b, loss_b, memory_b) = best[self.ours], best[self.theirs]
            share = operations(JOBS[name]) / 1e9 / self.limits[bf16]
            losses = f"{loss_a:.4f} / {loss_b:.4f}" if loss_a is not None and loss_b is not None else ""
            print(f"| {name} {'bf16' if bf16 else 'f32'} | {a * 1000:.1f} | {b * 1000:.1f} | {b / a:.2f} | {share / a:.0%} / {share / b:.0%} | {memory_a:.0f} / {memory_b:.0f} "
                  f"({memory_a / memory_b:.2f}) | {losses} |", flush=True)

    def lora(self):
        self.ours("llama", False, 1)
        model, out = os.path.join(self.folder, "llama_model"), os.path.join(self.folder, "out")
        shutil.rmtree(model, ignore_errors=True)
        shutil.move(out, model)
        kinds = {"all weights": (model, []), "adapters": (model, ["--lora-r", "8"])}
        for kind in ("q8_0", "q4_k_m"):
            file = os.path.join(self.folder, kind + ".gguf")
            self.call([self.o.mynah, "quantize", model, file, "--type", kind])
            kinds["adapters beside " + kind] = (file, ["--lora-r", "8"])
        rows = os.path.join(self.folder, "rows.jsonl")
        with open(self.text) as f, open(rows, "w") as to:
            text = f.read()
            for i in range(400):
                to.write(json.dumps({"text": text[i * 64 : i * 64 + 63]}) + "\n")
        print("\n| tokens | trained | ms | share | peak MB |\n|---|---|---|---|---|")
        for batch, bf16 in [(n, b) for n in (4, 1) for b in ((False, True) if self.has_bf16 else (False,))]:
            typical, peaks = {}, {}
            for _ in range(self.o.rounds):
                for name, (base, more) in kinds.items():
                    def run(steps, base=base, more=more):
                        shutil.rmtree(out, ignore_errors=True)
                        _, peak = self.call([self.o.mynah, "finetune", base, "--train-file", rows, "--output-dir", out, "--max-steps", str(steps), "--max-length", "64",
                                             "--per-device-train-batch-size", str(batch), "--learning-rate", "1e-4", "--logging-steps", "1", "--save-steps", "0", *more,
                                             *(["--bf16"] if bf16 else [])])
                        return self.log(out, 1)[0], peak
                    seconds, peaks[name] = self.typical(run, self.o.steps)
                    typical[name] = min(typical.get(name, 1e9), seconds)
            for name in kinds:
                print(f"| {batch} x 64 {'bf16' if bf16 else 'f32'} | {name} | {typical[name] * 1000:.0f} | {typical[name] / typical['all weights']:.2f} | {peaks[name]:.0f} |", flush=True)
        shutil.rmtree(model)

    def batches(self):
        each = {}
        for _ in range(self.o.rounds):
            for rows in (4, 32):
                seconds = self.typical(lambda n: self.ours("char", False, n, rows), 300)[0]
                each[rows] = min(each.get(rows, 1e9), seconds / rows / 64)
        print(f"\nmicroseconds a token: {each[4] * 1e6:.1f} with 4 rows, {each[32] * 1e6:.1f} with 32; ratio {each[4] / each[32]:.2f}")
        seconds, _, _ = self.ours("char", False, 1000)
        print(f"milliseconds a step: {statistics.median(seconds[:10]) * 1000:.1f} in steps 10 to 110, {statistics.median(seconds[-10:]) * 1000:.1f} in the last hundred of 1000")

    def recipe(self):
        losses = [], []
        print("\n| seed | mynah | PyTorch |\n|---|---|---|")
        for seed in self.o.seeds.split(","):
            losses[0].append(self.ours("char", False, self.o.char_steps, more=("--seed", seed))[1])
            losses[1].append(self.theirs("char", False, self.o.char_steps, seed=seed)[1])
            print(f"| {seed} | {losses[0][-1]:.4f} | {losses[1][-1]:.4f} |", flush=True)
        print(f"| mean | {statistics.mean(losses[0]):.4f} | {statistics.mean(losses[1]):.4f} |")

    def checkpointing(self):
        for more in ((), ("--gradient-checkpointing",)):
            seconds, _, memory = self.typical(lambda n: self.ours("gpt2", False, n, block=512, more=more), self.o.steps)
            print(f"GPT-2 on 4 x 512 tokens{' with ' + more[0] if more else ''}: {seconds:.2f} s a step, {memory:.0f} MB", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("mynah", nargs="?")
    p.add_argument("folder", nargs="?")
    p.add_argument("--only", default="char,dropout,gpt2,bert,vit,lora,batch,checkpointing")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--steps", type=int, default=30)
    p.add_argument("--char-steps", type=int, default=2000)
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--processor", action="store_true")
    p.add_argument("--peer", choices=list(JOBS), help=argparse.SUPPRESS)
    p.add_argument("--bf16", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    p.add_argument("--seed", type=int, default=1337, help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.peer:
        peer(o.peer, o.bf16, o.steps, o.threads, o.rows, o.seed)
        return
    if not o.mynah or not o.folder:
        p.error("the program and a folder to work in are needed")
    bench = Bench(o)
    print("| step | mynah ms | PyTorch ms | ratio | share of the limit | peak MB | validation loss |\n|---|---|---|---|---|---|---|")
    for name in o.only.split(","):
        if name in JOBS:
            bench.compare(name)
    if "lora" in o.only.split(","):
        bench.lora()
    if "recipe" in o.only.split(","):
        bench.recipe()
    if "batch" in o.only.split(","):
        bench.batches()
    if "checkpointing" in o.only.split(","):
        bench.checkpointing()


if __name__ == "__main__":
    main()
