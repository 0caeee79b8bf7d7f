"""Writes tests/golden/tasks/{videomae,donut} and video_document_cases.json: what the reference's pipelines say about videos and pages.

Run: python tools/golden/video_document_tasks.py   (transformers 4.57.6, torch 2.15.0, pillow, av)
The reference reads an uncompressed video, mynah the same frames as an animation without losses, tests/golden/media/moving.webp.
"""
import json
import os
import shutil
import tempfile

import av
import numpy
import torch
import transformers
from PIL import Image
from transformers import pipeline

from tasks import labelled, plain
from tasks_multimodal import OUT, made, pieces, randomise

GOLDEN = os.path.join(OUT, "..")
ANIMATION = "media/moving.webp"
SIDE = 8
MARKS = ["<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "</s_answer>"]


def frames():
    """Twelve frames of 26x20: a square that wanders over a slope."""
    out = []
    for i in range(12):
        f = numpy.zeros((20, 26, 3), numpy.uint8)
        f[..., 0] = numpy.arange(26) * 8
        f[..., 1] = numpy.arange(20)[:, None] * 10
        f[3 + i % 5:9 + i % 5, i:i + 8] = (250, 20 * i, 60)
        out.append(f)
    return out


def write_videos(folder):
    images = [Image.fromarray(f) for f in frames()]
    path = os.path.join(GOLDEN, ANIMATION)
    images[0].save(path, "WEBP", save_all=True, append_images=images[1:], duration=200, lossless=True, quality=100, method=6)
    video = os.path.join(folder, "moving.avi")
    with av.open(video, "w") as container:
        stream = container.add_stream("rawvideo", rate=5)
        stream.width, stream.height, stream.pix_fmt = 26, 20, "bgr24"
        for f in frames():
            for packet in stream.encode(av.VideoFrame.from_ndarray(f, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    with av.open(video) as container:
        assert all((f.to_ndarray(format="rgb24") == g).all() for f, g in zip(container.decode(video=0), frames(), strict=True))
    with Image.open(path) as again:
        for i, f in enumerate(frames()):
            again.seek(i)
            assert (numpy.asarray(again.convert("RGB")) == f).all()
    return video


def save(name, model, processor, tok=None):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    for part in (model, processor, tok):
        if part:
            part.save_pretrained(folder)
    for extra in ("special_tokens_map.json", "tokenizer.model"):
        if os.path.exists(f"{folder}/{extra}"):
            os.remove(f"{folder}/{extra}")
    for file in os.listdir(folder):
        os.chmod(f"{folder}/{file}", 0o644)
    return folder


def videomae():
    config = transformers.VideoMAEConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8, num_frames=4, tubelet_size=2,
                                         **labelled(["walks", "sings", "flies", "sleeps"]))
    model = randomise(made(transformers.VideoMAEForVideoClassification, config), "videomae", 0.5, True)
    return save("videomae", model, transformers.VideoMAEImageProcessor(size=dict(shortest_edge=16), crop_size=dict(height=16, width=16)))


def donut(seed):
    tok = pieces(*MARKS)
    tok.padding_side = "right"
    encoder = dict(model_type="donut-swin", image_size=[2 * SIDE, SIDE], patch_size=2, embed_dim=4, depths=[1, 1], num_heads=[2, 2], window_size=2, mlp_ratio=2.0)
    decoder = dict(model_type="mbart", vocab_size=len(tok), d_model=8, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=9, max_position_embeddings=60, pad_token_id=0,
                   bos_token_id=1, eos_token_id=2, add_cross_attention=True, is_decoder=True, scale_embedding=True, add_final_layer_norm=True)
    config = transformers.VisionEncoderDecoderConfig(encoder=encoder, decoder=decoder, decoder_start_token_id=2, pad_token_id=0, eos_token_id=2)
    model = randomise(made(transformers.VisionEncoderDecoderModel, config), f"donut {seed}", 0.5, True)
    model.generation_config.pad_token_id = 0
    model.generation_config.max_length = 24  # the pipeline passes no settings on
    return save("donut", model, transformers.DonutImageProcessor(size=dict(height=2 * SIDE, width=SIDE), do_align_long_axis=seed % 2 == 1), tok)


def main():
    cases = []

    def add(pipe, model, task, inputs, real=None, **options):
        output = plain(pipe(real or inputs, **options))
        cases.append(dict(model=model, task=task, inputs=inputs, options=options, output=output))
        print(inputs, options, output)
        return output

    with tempfile.TemporaryDirectory() as folder:
        video = write_videos(folder)
        pipe, t = pipeline("video-classification", model=videomae(), device="cpu"), "video-classification"
        add(pipe, "videomae", t, ANIMATION, video)
        add(pipe, "videomae", t, [ANIMATION, ANIMATION], [video, video], top_k=2, frame_sampling_rate=3)
        add(pipe, "videomae", t, ANIMATION, video, top_k=9, frame_sampling_rate=2, function_to_apply="sigmoid")
        add(pipe, "videomae", t, ANIMATION, video, top_k=1, num_frames=4, function_to_apply="none")
    t, pages = "document-question-answering", ["media/picture.png", "media/grey.png", "media/palette.png"]
    for seed in range(1, 400):
        pipe = pipeline(t, model=donut(seed), device="cpu")
        asked = [dict(image=os.path.join(GOLDEN, p), question=q) for p in pages for q in ("what color is the bird?", "where?")]
        answers = [pipe(a)[0]["answer"] for a in asked]
        if len({a for a in answers if a}) >= 2:
            break
    else:
        raise RuntimeError("no seed answers")
    for a in asked:
        page = dict(image=a["image"].replace(GOLDEN + "/", ""), question=a["question"])
        add(pipe, "donut", t, page, a)
    with open(os.path.join(OUT, "video_document_cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
