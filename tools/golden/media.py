"""Writes tests/golden/media/: pictures and sounds with what PIL and transformers' processors make of them.

    python tools/golden/media.py OUTPUT_FOLDER

picture.png (RGB, 41 x 30), grey.png, palette.png, alpha.png, deep.png (16 bits), picture.jpg (EXIF orientation 6), picture.webp
(lossless); decoded.safetensors: their RGB pixels. resized.safetensors: picture.png through every filter of PIL. processed.json
names the processors tried on picture.png and grey.png; processed.safetensors has their outputs. sound.wav (stereo, 16 bits, 8 kHz,
0.3 s), sound.flac; sound.safetensors: the mean of the channels, Whisper's features (short windows) and Wav2Vec2's values.
"""
import json
import os
import sys
import wave

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (BitImageProcessor, BlipImageProcessor, CLIPImageProcessor, ConvNextImageProcessor, DeiTImageProcessor, DetrImageProcessor, DPTImageProcessor, EfficientNetImageProcessor,
                          SegformerImageProcessor, SiglipImageProcessor, ViTImageProcessor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor,
                          YolosImageProcessor)

rng = np.random.default_rng(7)
FILTERS = dict(nearest=0, lanczos=1, bilinear=2, bicubic=3, box=4, hamming=5)
SIZES = [(13, 9), (60, 44), (41, 12), (20, 30), (97, 7)]


def picture(w, h, channels=3):
    y, x = np.mgrid[0:h, 0:w]
    waves = [127 + 80 * np.sin(x / (3 + c) + y / 5 + c) for c in range(channels)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 40, (h, w, channels)), 0, 255).astype(np.uint8)


def pictures(root):
    rgb = Image.fromarray(picture(41, 30))
    rgb.save(f"{root}/picture.png")
    Image.fromarray(picture(23, 35, 1)[..., 0]).save(f"{root}/grey.png")
    rgb.quantize(16).save(f"{root}/palette.png")
    alpha = np.concatenate([picture(17, 11), rng.integers(0, 256, (11, 17, 1), dtype=np.uint8)], -1)
    Image.fromarray(alpha, "RGBA").save(f"{root}/alpha.png")
    Image.fromarray(rng.integers(0, 65536, (9, 12), dtype=np.uint16)).save(f"{root}/deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth = Image.fromarray(picture(48, 40)).resize((160, 120), Image.BICUBIC)
    smooth.save(f"{root}/picture.jpg", quality=90, subsampling=0, exif=exif)
    rgb.save(f"{root}/picture.webp", lossless=True)


def decoded(root):
    from PIL import ImageOps
    out = {}
    for name in sorted(os.listdir(root)):
        if not name.endswith((".png", ".jpg", ".webp")):
            continue
        image = ImageOps.exif_transpose(Image.open(f"{root}/{name}"))
        if name == "deep.png":  # PIL's own conversion cuts at 255; the high byte is what viewers show
            high = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
            image = Image.fromarray(high)
        out[name] = torch.from_numpy(np.array(image.convert("RGB")))
    save_file(out, f"{root}/decoded.safetensors")


def resized(root):
    image, out = Image.open(f"{root}/picture.png"), {}
    for name, number in FILTERS.items():
        for w, h in SIZES:
            out[f"{name}.{w}x{h}"] = torch.from_numpy(np.array(image.resize((w, h), resample=number)))
    save_file(out, f"{root}/resized.safetensors")


PROCESSORS = {
    "vit": ViTImageProcessor(size=dict(height=16, width=12)),
    "clip": CLIPImageProcessor(size=dict(shortest_edge=17), crop_size=dict(height=14, width=16)),
    "clip_small": CLIPImageProcessor(size=dict(shortest_edge=10), crop_size=dict(height=13, width=20)),
    "deit": DeiTImageProcessor(size=dict(height=19, width=18), crop_size=dict(height=15, width=15)),
    "bit": BitImageProcessor(size=dict(shortest_edge=18), crop_size=dict(height=16, width=16)),
    "siglip": SiglipImageProcessor(size=dict(height=12, width=12)),
    "blip": BlipImageProcessor(size=dict(height=14, width=14)),
    "convnext": ConvNextImageProcessor(size=dict(shortest_edge=15), crop_pct=0.8),
    "efficientnet": EfficientNetImageProcessor(size=dict(height=17, width=13), resample=3),
    "efficientnet_offset": EfficientNetImageProcessor(size=dict(height=12, width=12), rescale_offset=True, rescale_factor=1 / 127.5, include_top=False, do_center_crop=True,
                                                      crop_size=dict(height=9, width=10)),
    "dpt": DPTImageProcessor(size=dict(height=37, width=52), keep_aspect_ratio=True, ensure_multiple_of=8),
    "dpt_square": DPTImageProcessor(size=dict(height=20, width=20), ensure_multiple_of=14),
    "convnext_large": ConvNextImageProcessor(size=dict(shortest_edge=384), do_normalize=False, do_rescale=True, resample=0),
    "segformer": SegformerImageProcessor(size=dict(height=11, width=13)),
    "detr": DetrImageProcessor(size=dict(shortest_edge=20, longest_edge=26)),
    "yolos": YolosImageProcessor(size=dict(shortest_edge=33, longest_edge=70)),
    "plain": ViTImageProcessor(do_resize=False, do_rescale=False, do_normalize=True, image_mean=[100, 110, 120], image_std=[50, 60, 70]),
}


def processed(root):
    names, out = {}, {}
    batch = [Image.open(f"{root}/{n}").convert("RGB") for n in ("picture.png", "grey.png")]
    for name, processor in PROCESSORS.items():
        names[name] = json.loads(processor.to_json_string())
        images = batch[:1] if name in ("plain", "convnext_large", "dpt") else batch
        for key, value in processor(images, return_tensors="pt").items():
            if name == "convnext_large":  # too large to keep: every 16th pixel
                value = value[..., ::16, ::16]
            out[f"{name}.{key}"] = value.float().contiguous()
    with open(f"{root}/processed.json", "w") as f:
        json.dump(names, f, indent=1, sort_keys=True)
    save_file(out, f"{root}/processed.safetensors")


def sounds(root):
    t = np.arange(2400) / 8000
    left = 0.5 * np.sin(2 * np.pi * 440 * t) + rng.normal(0, 0.05, t.shape)
    right = 0.3 * np.sin(2 * np.pi * 900 * t) * np.exp(-5 * t)
    pcm = np.clip(np.stack([left, right], -1) * 32768, -32768, 32767).astype("<i2")
    with wave.open(f"{root}/sound.wav", "wb") as f:
        f.setnchannels(2), f.setsampwidth(2), f.setframerate(8000)
        f.writeframes(pcm.tobytes())
    mono = (pcm.astype(np.float32) / 32768).mean(-1)
    whisper = WhisperFeatureExtractor(feature_size=10, sampling_rate=8000, chunk_length=1, hop_length=200, n_fft=400)
    whisper_json = json.loads(whisper.to_json_string())
    plain = Wav2Vec2FeatureExtractor(sampling_rate=8000, return_attention_mask=False)
    masked = Wav2Vec2FeatureExtractor(sampling_rate=8000, return_attention_mask=True, padding_value=0.0)
    both = [mono, mono[:1000]]
    out = dict(mean=torch.from_numpy(mono), whisper=whisper(both, sampling_rate=8000, return_tensors="pt").input_features,
               plain=plain(both, sampling_rate=8000, padding=True, return_tensors="pt").input_values)
    y = masked(both, sampling_rate=8000, padding=True, return_tensors="pt")
    out.update(masked=y.input_values, mask=y.attention_mask.float())
    save_file({k: v.float().contiguous() for k, v in out.items()}, f"{root}/sound.safetensors")
    with open(f"{root}/sound.json", "w") as f:
        json.dump(dict(whisper=whisper_json, plain=json.loads(plain.to_json_string()), masked=json.loads(masked.to_json_string())), f, indent=1, sort_keys=True)


def main(root):
    os.makedirs(root, exist_ok=True)
    pictures(root), decoded(root), resized(root), processed(root), sounds(root)


if __name__ == "__main__":
    main(sys.argv[1])
