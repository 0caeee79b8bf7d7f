"""Writes cases of tests/golden/train/ that learn vectors of texts: an encoder trained for a few steps by the losses of sentence-transformers,
torch.optim.AdamW with a linear schedule and clipped gradients, to be repeated by `mynah finetune`.

    python tools/golden/train_sentences.py TESTS_GOLDEN_FOLDER      the folder that holds tasks/ (whose model is trained, without dropout) and train/

Versions: torch 2.15.0, transformers 4.57.6, sentence-transformers 5.7.0. float32 on the CPU, dropout 0, rows in the order of the file.
"""
import json
import os
import shutil
import sys

import torch
from sentence_transformers import SentenceTransformer, losses

GOLDEN = sys.argv[1]
OUT = os.path.join(GOLDEN, "train")
DATA = os.path.join(OUT, "data")
MODEL = os.path.join(OUT, "models", "sentences")
STEPS, BATCH, RATE = 8, 3, 1e-3
WORDS = "the bird sang in a happy city while dogs ran home over green hills and old rivers".split()


def text(seed, length):
    return " ".join(WORDS[(seed * 7 + i * (3 + seed % 4)) % len(WORDS)] for i in range(length))


def train(case, file, columns, make_loss, label=None):
    rows = [{c: text(31 * n + 5 * k, 2 + (n + 2 * k) % 5) for k, c in enumerate(columns)} for n in range(9)]
    if label:
        for n, row in enumerate(rows):
            row[label] = n % 2 if label == "label" else round(-0.2 + 0.13 * n, 2)
    with open(os.path.join(DATA, file), "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    model = SentenceTransformer(MODEL, device="cpu")
    model.train()
    loss_of = make_loss(model)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    log = []
    for step in range(STEPS):
        rate = RATE * (1 - step / STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = [rows[(step * BATCH + i) % len(rows)] for i in range(BATCH)]
        features = [model.tokenize([r[c] for r in batch]) for c in columns]
        labels = torch.tensor([float(r[label]) for r in batch]) if label else None
        optimizer.zero_grad()
        loss = loss_of(features, labels)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        log.append({"step": step + 1, "loss": loss.item(), "grad_norm": norm.item(), "learning_rate": rate})
    weights = {}
    for name, value in model[0].auto_model.state_dict().items():
        # The bias of keys has no gradient but rounding, which Adam makes steps of.
        if value.is_floating_point() and not name.endswith("key.bias"):
            weights["bert." + name] = {"norm": value.double().norm().item(), "first": value.flatten()[:3].tolist()}
    arguments = ["finetune", "models/sentences", "--task", "sentence-similarity", "--train-file", f"data/{file}", "--no-shuffle", "--max-steps", str(STEPS),
                 "--per-device-train-batch-size", str(BATCH), "--learning-rate", str(RATE), "--logging-steps", "1"]
    with open(os.path.join(OUT, f"{case}.json"), "w") as f:
        json.dump({"arguments": arguments, "rows": log, "weights": weights}, f, indent=1)
        f.write("\n")
    print(case, [round(r["loss"], 4) for r in log])


def main():
    torch.set_num_threads(1)
    shutil.copytree(os.path.join(GOLDEN, "tasks", "sentences_weighted"), MODEL, dirs_exist_ok=True)
    with open(os.path.join(MODEL, "config.json")) as f:
        config = json.load(f)
    config["hidden_dropout_prob"] = config["attention_probs_dropout_prob"] = 0.0
    with open(os.path.join(MODEL, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
    train("sentences_ranked", "anchors.jsonl", ("anchor", "positive"), losses.MultipleNegativesRankingLoss)
    train("sentences_negatives", "negatives.jsonl", ("anchor", "positive", "negative"), losses.MultipleNegativesRankingLoss)
    train("sentences_contrastive", "belonging.jsonl", ("sentence1", "sentence2"), losses.ContrastiveLoss, "label")
    train("sentences_scored", "scored.jsonl", ("sentence1", "sentence2"), losses.CosineSimilarityLoss, "score")


main()
