"""Networks that see, with random weights, and a large JPEG: mynah beside ONNX Runtime, PyTorch and PIL, in turns on the same machine.

    python bench/vision.py build/release/bench/mynah_bench_vision MYNAH WORK_FOLDER [threads] [model ...]

Models: resnet50, vit_b16, clip_b32 (its image tower), yolo_s (the shape of YOLO v8 small at 640x640), jpeg (12 megapixels, decoded and made 224x224); all of
them without a name. Needs torch, transformers, onnx, onnxruntime and pillow. Prints for each batch the processor seconds of a forward pass (which other
work on the machine disturbs least) and the wall seconds of the fastest, and the peers' seconds divided by ours (above 1: mynah is faster).
"""
import json
import os
import resource
import subprocess
import sys
import time

sys.path.pop(0)  # bench/tokenizers.py is not the package of that name
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools/golden/families"))

import numpy  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

PROGRAM, MYNAH, FOLDER = sys.argv[1:4]
THREADS = int(sys.argv[4]) if len(sys.argv) > 4 else 1
REPEATS = 5
torch.set_num_threads(THREADS)
NAMES = {"resnet50": ("ResNetForImageClassification", "ResNetConfig"), "vit_b16": ("ViTForImageClassification", "ViTConfig"), "clip_b32": ("CLIPVisionModelWithProjection", "CLIPVisionConfig")}


def yolo():
    """YOLO v8 small: the network of the golden files, its head as wide as the released one's."""
    from yolo import Conv, Yolo, nn, randomise
    model = Yolo(True, (32, 64, 128, 256, 512), (1, 2, 2, 1), 1, 80)
    head = getattr(model.model, "22")
    branch = lambda i, inner, o: nn.Sequential(Conv(i, inner, 3), Conv(inner, inner, 3), nn.Conv2d(inner, o, 1))
    head.cv2, head.cv3 = (nn.ModuleList(branch(i, inner, o) for i in (128, 256, 512)) for inner, o in ((64, 64), (128, 80)))
    return randomise(model, "yolo_s")


def made(name):
    """The model in PyTorch and its folder, which holds it for both others."""
    torch.manual_seed(1)
    folder, side = os.path.join(FOLDER, name), 640 if name == "yolo_s" else 224
    if name == "yolo_s":
        model = yolo()
    else:
        kind, config = (getattr(transformers, n) for n in NAMES[name])
        model = kind(config()).eval()
    if not os.path.exists(f"{folder}/model.onnx"):
        os.makedirs(folder, exist_ok=True)
        if name == "yolo_s":
            save_file(model.state_dict(), f"{folder}/model.safetensors")
        else:
            model.save_pretrained(folder)
        torch.onnx.export(model, (torch.randn(1, 3, side, side),), f"{folder}/model.onnx", input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "b"}, "y": {0: "b"}}, dynamo=False)
    return model, folder, side


def measured(call):
    """Processor and least wall seconds of a call in this process."""
    call()
    before, walls = time.process_time(), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        walls.append(time.perf_counter() - start)
    return (time.process_time() - before) / REPEATS, min(walls)


def mynah(folder, side, images, dtype):
    """The same for a pass of mynah: what more passes cost than fewer."""
    spent, least = [], None
    for repeats in (1, REPEATS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([PROGRAM, folder, str(images), str(side), str(side), str(repeats), dtype], env=dict(os.environ, MYNAH_THREADS=str(THREADS)), capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        least = json.loads(out.stdout)["least_ms"] / 1000
    return (spent[1] - spent[0]) / REPEATS, least


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def network(name):
    model, folder, side = made(name)
    plain = session(f"{folder}/model.onnx")
    if not os.path.exists(f"{folder}/int8.onnx"):
        quantize_dynamic(f"{folder}/model.onnx", f"{folder}/int8.onnx", weight_type=QuantType.QUInt8 if name in ("resnet50", "yolo_s") else QuantType.QInt8)
    small = session(f"{folder}/int8.onnx")
    for images in (1, 8) if name == "resnet50" else (1,):
        x = torch.randn(images, 3, side, side)
        rows = {f"mynah {d}": mynah(folder, side, images, d) for d in ("f32", "bf16", "int8")}
        rows["ONNX Runtime f32"] = measured(lambda: plain.run(None, {"x": x.numpy()}))
        rows["ONNX Runtime int8"] = measured(lambda: small.run(None, {"x": x.numpy()}))
        with torch.inference_mode():
            rows["PyTorch f32"] = measured(lambda: model(x))
            with torch.autocast("cpu", torch.bfloat16):
                rows["PyTorch bf16"] = measured(lambda: model(x))
        theirs = rows["ONNX Runtime f32"]
        for row, (cpu, wall) in rows.items():
            print(f"{name} x{images} | {row}: {cpu:.3f} s processor, {wall:.3f} s wall; ONNX Runtime f32 / this: {theirs[0] / cpu:.2f}, {theirs[1] / wall:.2f}", flush=True)


def jpeg():
    """4000 x 3000 pixels of waves and noise -> the input of a ViT."""
    folder = os.path.join(FOLDER, "jpeg")
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/large.jpg"
    if not os.path.exists(path):
        y, x = numpy.mgrid[0:3000, 0:4000]
        waves = numpy.stack([128 + 100 * numpy.sin(x / a + y / b) for a, b in ((37, 91), (53, 41), (71, 29))], -1)
        Image.fromarray((waves + numpy.random.default_rng(1).normal(0, 8, waves.shape)).clip(0, 255).astype("uint8")).save(path, quality=90)
    processor = transformers.ViTImageProcessor()
    processor.save_pretrained(folder)
    spent = []
    for count in (1, 1 + REPEATS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([MYNAH, "forward", folder, *["--image", path] * count, "--output", f"{folder}/out.safetensors"], env=dict(os.environ, MYNAH_THREADS=str(THREADS)), check=True,
                       capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - start))
    ours = [(b - a) / REPEATS for a, b in zip(*spent)]
    theirs = measured(lambda: processor(Image.open(path).convert("RGB"), return_tensors="np"))
    print(f"jpeg | mynah: {ours[0]:.3f} s processor, {ours[1]:.3f} s wall; PIL and transformers: {theirs[0]:.3f} s, {theirs[1]:.3f} s; ratios {theirs[0] / ours[0]:.2f}, {theirs[1] / ours[1]:.2f}")


for name in sys.argv[5:] or [*NAMES, "yolo_s", "jpeg"]:
    jpeg() if name == "jpeg" else network(name)
