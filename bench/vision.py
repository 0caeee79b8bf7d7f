"""ResNet-50 and ViT-B/16 with random weights: mynah beside ONNX Runtime, in turns on the same machine.

    python bench/vision.py build/release/bench/mynah_bench_vision WORK_FOLDER [threads] [images]

Needs torch, transformers, onnx and onnxruntime. Prints the CPU time of a forward pass (user seconds, which other work on the machine disturbs
least) and the least wall time of each, and their ratios (above 1: mynah is faster).
"""
import json
import os
import resource
import subprocess
import sys
import time

sys.path.pop(0)  # bench/tokenizers.py is not the package of that name

import numpy  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

PROGRAM, FOLDER = sys.argv[1:3]
THREADS, IMAGES = (int(sys.argv[i]) if len(sys.argv) > i else 1 for i in (3, 4))
REPEATS = 8
MODELS = {"resnet50": (transformers.ResNetForImageClassification, transformers.ResNetConfig()), "vit_b16": (transformers.ViTForImageClassification, transformers.ViTConfig())}


def made(name):
    folder = os.path.join(FOLDER, name)
    if not os.path.exists(f"{folder}/model.onnx"):
        kind, config = MODELS[name]
        model = kind(config).eval()
        model.save_pretrained(folder)
        torch.onnx.export(model, (torch.randn(1, 3, 224, 224),), f"{folder}/model.onnx", input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "b"}, "y": {0: "b"}}, dynamo=False)
    return folder


def children_seconds():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def mynah(folder):
    """CPU seconds of one pass: what more passes cost than fewer; and the least wall seconds."""
    spent, least = [], None
    for repeats in (1, REPEATS + 1):
        before = children_seconds()
        out = subprocess.run([PROGRAM, folder, str(IMAGES), "224", "224", str(repeats)], env=dict(os.environ, MYNAH_THREADS=str(THREADS)), capture_output=True, check=True)
        spent.append(children_seconds() - before)
        least = json.loads(out.stdout)["least_ms"] / 1000
    return (spent[1] - spent[0]) / REPEATS, least


def onnx(folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    x = numpy.random.randn(IMAGES, 3, 224, 224).astype("float32")
    session.run(None, {"x": x})
    before, walls = resource.getrusage(resource.RUSAGE_SELF).ru_utime, []
    for _ in range(REPEATS):
        start = time.perf_counter()
        session.run(None, {"x": x})
        walls.append(time.perf_counter() - start)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_utime - before) / REPEATS, min(walls)


for name in MODELS:
    folder = made(name)
    ours, theirs = mynah(folder), onnx(folder)
    print(f"{name}: mynah {ours[0]:.3f} s CPU, {ours[1]:.3f} s wall; ONNX Runtime {theirs[0]:.3f} s, {theirs[1]:.3f} s; ratios {theirs[0] / ours[0]:.2f}, {theirs[1] / ours[1]:.2f}")
