"""Writes cases of tests/golden/train/ that read pictures and sounds: transformers' models trained for a few steps by torch.optim.AdamW
with a linear schedule and clipped gradients, to be repeated by `mynah finetune`.

    python tools/golden/train_media.py TESTS_GOLDEN_FOLDER      the folder that holds tasks/ (whose models are trained) and train/

Versions: torch 2.15.0, transformers 4.57.6. float32 on the CPU, training mode (batch norms move), dropout 0, rows in the order of the
file. Files as train_trl.py describes them; data/pictures has a folder for each label, data/sounds are a fifth of a second long.
"""
import json
import os
import sys

import numpy as np
import soundfile
import torch
from PIL import Image, ImageDraw
from transformers import (AutoConfig, AutoImageProcessor, AutoModelForCTC, AutoModelForImageClassification, AutoModelForObjectDetection,
                          AutoModelForSpeechSeq2Seq, AutoTokenizer, CLIPModel, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor)

GOLDEN = sys.argv[1]
OUT = os.path.join(GOLDEN, "train")
DATA = os.path.join(OUT, "data")
STEPS, BATCH, RATE = 5, 2, 1e-3
COLOURS = {"red": (210, 40, 30), "blue": (30, 60, 200)}


def picture(kind, colour, left, top, size, seed, side=24):
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(180, 255, (side, side, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    box = [left, top, left + size - 1, top + size - 1]
    draw.ellipse(box, fill=COLOURS[colour]) if kind == "circle" else draw.rectangle(box, fill=COLOURS[colour])
    return image


def make_data():
    rows = {"objects": [], "captions": [], "speech": []}
    for n in range(6):
        for kind in ("circle", "square"):
            folder = os.path.join(DATA, "pictures", kind)
            os.makedirs(folder, exist_ok=True)
            colour, left, top, size = ("red", "blue")[n % 2], 2 + n, 9 - n, 8 + n % 3
            picture(kind, colour, left, top, size, 10 * n + (kind == "square")).save(os.path.join(folder, f"{n}.png"))
            name = f"pictures/{kind}/{n}.png"
            rows["objects"].append({"image": name, "objects": {"bbox": [[left, top, size, size]], "category": [n % 2]}})
            rows["captions"].append({"image": name, "text": ("bird", "city")[kind == "square"] + (" happy" if n % 2 else "")})
    os.makedirs(os.path.join(DATA, "sounds"), exist_ok=True)
    for n, text in enumerate(("AB", "BAD", "AD", "DAB")):
        rng = np.random.default_rng(100 + n)
        t = np.arange(3200) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (200 + 90 * n) * t) + 0.05 * rng.standard_normal(len(t))
        soundfile.write(os.path.join(DATA, "sounds", f"{n}.wav"), wave.astype(np.float32), 16000, subtype="PCM_16")
        rows["speech"].append({"audio": f"sounds/{n}.wav", "text": text})
    for name, all_rows in rows.items():
        with open(os.path.join(DATA, f"{name}.jsonl"), "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in all_rows)
    return rows


def train(case, model, batches, words):
    """`batches`: inputs of each step."""
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    rows = []
    for step in range(STEPS):
        rate = RATE * (1 - step / STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = model(**batches[step % len(batches)]).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        rows.append({"step": step + 1, "loss": loss.item(), "grad_norm": norm.item(), "learning_rate": rate})
    weights = {}
    for name, value in model.state_dict().items():
        # The bias of keys has no gradient but rounding, which Adam makes steps of.
        if value.is_floating_point() and "masked_spec_embed" not in name and name != "proj_out.weight" and not name.endswith(("key.bias", "k_proj.bias")):
            weights[name] = {"norm": value.double().norm().item(), "first": value.flatten()[:3].tolist()}
    arguments = ["finetune", *words, "--no-shuffle", "--max-steps", str(STEPS), "--per-device-train-batch-size", str(BATCH), "--learning-rate", str(RATE), "--logging-steps", "1"]
    with open(os.path.join(OUT, f"{case}.json"), "w") as f:
        json.dump({"arguments": arguments, "rows": rows, "weights": weights}, f, indent=1)
        f.write("\n")
    print(case, [round(r["loss"], 4) for r in rows])


def in_batches(items):
    return [items[i : i + BATCH] for i in range(0, len(items), BATCH)]


def opened(name):
    return [Image.open(os.path.join(DATA, n)).convert("RGB") for n in name]


def sounds(rows):
    return [soundfile.read(os.path.join(DATA, r["audio"]), dtype="float32")[0] for r in rows]


def load(kind, folder, **changes):
    config = AutoConfig.from_pretrained(folder)
    for key, value in {**{k: 0.0 for k in vars(config) if "dropout" in k or k == "layerdrop"}, **changes}.items():
        setattr(config, key, value)
    return kind.from_pretrained(folder, config=config, attn_implementation="eager")


def main():
    torch.set_num_threads(1)
    rows = make_data()
    tasks = lambda name: os.path.join(GOLDEN, "tasks", name)

    for case, name in (("labels_resnet", "resnet_classifier"), ("labels_vit", "vit_classifier")):
        model, processor = load(AutoModelForImageClassification, tasks(name)), AutoImageProcessor.from_pretrained(tasks(name), use_fast=False)
        labelled = [{"image": r["image"], "label": i % 3} for i, r in enumerate(rows["captions"])]  # numbers: the model's head stays
        with open(os.path.join(DATA, "labels.jsonl"), "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in labelled)
        train(case, model, [{**processor(opened(r["image"] for r in b), return_tensors="pt"), "labels": torch.tensor([r["label"] for r in b])} for b in in_batches(labelled)],
              [f"../tasks/{name}", "--task", "image-classification", "--train-file", "data/labels.jsonl"])

    model, processor = load(AutoModelForObjectDetection, tasks("yolos")), AutoImageProcessor.from_pretrained(tasks("yolos"), use_fast=False)

    def target(row, side=24):
        (left, top, width, height), = row["objects"]["bbox"]
        return {"class_labels": torch.tensor(row["objects"]["category"]), "boxes": torch.tensor([[(left + width / 2) / side, (top + height / 2) / side, width / side, height / side]])}

    train("objects_yolos", model, [{"pixel_values": processor(opened(r["image"] for r in b), return_tensors="pt")["pixel_values"], "labels": [target(r) for r in b]}
                                   for b in in_batches(rows["objects"])],
          ["../tasks/yolos", "--task", "object-detection", "--train-file", "data/objects.jsonl"])

    folder = tasks("clip")
    model, processor, tokenizer = load(CLIPModel, folder), AutoImageProcessor.from_pretrained(folder, use_fast=False), AutoTokenizer.from_pretrained(folder)
    train("contrastive_clip", model, [{**processor(opened(r["image"] for r in b), return_tensors="pt"), **tokenizer([r["text"] for r in b], padding=True, return_tensors="pt"), "return_loss": True}
                                      for b in in_batches(rows["captions"])],
          ["../tasks/clip", "--task", "contrastive", "--train-file", "data/captions.jsonl"])

    folder = tasks("wav2vec2_ctc")
    tokenizer, extractor = Wav2Vec2CTCTokenizer.from_pretrained(folder), Wav2Vec2FeatureExtractor.from_pretrained(folder)

    def labels(batch, encode):
        ids = [encode(r["text"]) for r in batch]
        longest = max(map(len, ids))
        return torch.tensor([i + [-100] * (longest - len(i)) for i in ids])

    train("speech_ctc", load(AutoModelForCTC, folder),
          [{**extractor(sounds(b), sampling_rate=16000, padding=True, return_tensors="pt"), "labels": labels(b, lambda t: tokenizer(t).input_ids)} for b in in_batches(rows["speech"])],
          ["../tasks/wav2vec2_ctc", "--task", "automatic-speech-recognition", "--train-file", "data/speech.jsonl"])

    folder = tasks("whisper")
    tokenizer, extractor, model = AutoTokenizer.from_pretrained(folder), WhisperFeatureExtractor.from_pretrained(folder), load(AutoModelForSpeechSeq2Seq, folder)

    def without_start(text):
        ids = tokenizer(text).input_ids
        return ids[1:] if ids[0] == model.config.decoder_start_token_id else ids

    train("speech_whisper", model, [{**extractor(sounds(b), sampling_rate=16000, return_tensors="pt"), "labels": labels(b, without_start)} for b in in_batches(rows["speech"])],
          ["../tasks/whisper", "--task", "automatic-speech-recognition", "--train-file", "data/speech.jsonl"])


main()
