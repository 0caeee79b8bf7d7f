"""Writes tests/golden/tasks/<model> for tasks that look at pictures and vision_cases.json, like tasks.py.

Run: python tools/golden/vision_tasks.py [model ...]   (transformers 4.57.6, torch 2.15.0, pillow)
Inputs are paths from tests/golden on; masks are PNG in base64. "processor": members that preprocessor_config.json gets for the case.
"""
import base64
import copy
import io
import json
import os
import shutil
import sys
import tempfile

import numpy
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import pipeline

import tasks
from tasks import OUT, labelled, patch, plain, randomise

GOLDEN = os.path.join(OUT, "..")
PICTURE, GREY, TURNED = "media/picture.png", "media/grey.png", "media/picture.jpg"
VIT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8)
TOWER = dict(hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
SIZE = dict(height=16, width=16)
NAMES = ["bird", "cat", "tree", "house", "park", "city", "sky"]
DETR = dict(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=8,
            decoder_attention_heads=2, encoder_ffn_dim=8, decoder_ffn_dim=8, num_queries=6,
            backbone_config=dict(model_type="resnet", embedding_size=4, hidden_sizes=[4, 4, 4, 8], depths=[1, 1, 1, 1], layer_type="basic",
                                 out_features=["stage1", "stage2", "stage3", "stage4"]), **labelled(NAMES))
DPT = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=11, image_size=32, patch_size=8, backbone_out_indices=[0, 1],
           neck_hidden_sizes=[4, 8], reassemble_factors=[2, 1], fusion_hidden_size=8, hidden_act="relu")
SEGFORMER = dict(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[4, 8], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
                 decoder_hidden_size=8, **labelled(NAMES))


def words(length, **more):
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + tasks.LETTERS + ["##" + c for c in tasks.LETTERS[:36]] + ["photo", "of"] + tasks.WORDS
    tok = Tokenizer(models.WordPiece({t: i for i, t in enumerate(dict.fromkeys(vocab))}, unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                                                model_max_length=length, **more)


def clip(kind, **text):
    def config(cls, tok):
        return cls.config_class(text_config=dict(TOWER, vocab_size=len(tok), **text), vision_config=dict(TOWER, image_size=16, patch_size=8), projection_dim=8)
    return config


MODELS = {
    "vit_classifier": ("ViTForImageClassification", dict(VIT, **labelled(NAMES)), transformers.ViTImageProcessor(size=SIZE), None),
    "resnet_classifier": ("ResNetForImageClassification", dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **labelled(NAMES[:3])),
                          transformers.ConvNextImageProcessor(size=dict(shortest_edge=24), crop_pct=0.8), None),
    "vit_model": ("ViTModel", VIT, transformers.ViTImageProcessor(size=SIZE), None),
    "yolos": ("YolosForObjectDetection", dict(VIT, image_size=[32, 48], num_detection_tokens=6, **labelled(NAMES)),
              transformers.YolosImageProcessor(size=dict(shortest_edge=32, longest_edge=64)), None),
    "detr": ("DetrForObjectDetection", dict(DETR, encoder_attention_heads=2), transformers.DetrImageProcessor(size=dict(shortest_edge=40, longest_edge=70)), None),
    "detr_masks": ("DetrForSegmentation", DETR, transformers.DetrImageProcessor(size=dict(shortest_edge=40, longest_edge=70)), None),
    "segformer": ("SegformerForSemanticSegmentation", SEGFORMER, transformers.SegformerImageProcessor(size=dict(height=32, width=40)), None),
    "dpt": ("DPTForDepthEstimation", DPT, transformers.DPTImageProcessor(size=dict(height=27, width=27), ensure_multiple_of=8), None),
    "sam": ("SamModel", dict(vision_config=dict(hidden_size=12, output_channels=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8, window_size=3,
                                                global_attn_indexes=[1], mlp_ratio=1.5, num_pos_feats=8),
                             prompt_encoder_config=dict(hidden_size=16, image_size=32, patch_size=8, mask_input_channels=8),
                             mask_decoder_config=dict(hidden_size=16, mlp_dim=10, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=9)),
            transformers.SamImageProcessor(size=dict(longest_edge=32), pad_size=dict(height=32, width=32)), None),
    "clip": ("CLIPModel", clip("CLIPModel", max_position_embeddings=24, eos_token_id=3, pad_token_id=0), transformers.CLIPImageProcessor(size=dict(shortest_edge=16), crop_size=SIZE),
             lambda: words(24, model_input_names=["input_ids", "attention_mask"])),
    "siglip": ("SiglipModel", clip("SiglipModel", max_position_embeddings=64, projection_size=12), transformers.SiglipImageProcessor(size=SIZE),
               lambda: words(64, model_input_names=["input_ids"])),
}


def make(name):
    kind, config, processor, tokenizer = MODELS[name]
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    cls, tok = getattr(transformers, kind), tokenizer and tokenizer()
    model = cls._from_config(config(cls, tok) if callable(config) else cls.config_class(**config))
    randomise(model, name, 0.2 if kind.startswith("ResNet") else 0.5, frozen=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if tok:
        tok.save_pretrained(folder)
        os.remove(f"{folder}/special_tokens_map.json")
    os.chmod(f"{folder}/model.safetensors", 0o644)


CASES = []


def add(model, task, inputs, config=None, processor=None, **options):
    case = dict(model=model, task=task, inputs=inputs, options=options)
    if config:
        case["config"] = config
    if processor:
        case["processor"] = processor
    CASES.append(case)


def classification_cases():
    m, t = "vit_classifier", "image-classification"
    add(m, t, PICTURE)
    add(m, t, [PICTURE, GREY, TURNED], top_k=2)
    add(m, t, [PICTURE], top_k=100)
    add(m, t, TURNED, function_to_apply="sigmoid")
    add(m, t, TURNED, function_to_apply="None")
    add(m, t, GREY, config=dict(problem_type="multi_label_classification"))
    add(m, t, GREY, config=dict(id2label=None, label2id=None, num_labels=7), top_k=3)
    add("resnet_classifier", t, PICTURE)
    add("resnet_classifier", t, [GREY, TURNED], top_k=1)


def zero_shot_cases():
    for m in ("clip", "siglip"):
        t = "zero-shot-image-classification"
        add(m, t, PICTURE, candidate_labels=["bird", "a happy city", "tree"])
        add(m, t, [PICTURE, TURNED], candidate_labels=["bird", "park"], hypothesis_template="the {} of {{x}}")
        add(m, t, GREY, candidate_labels=["bird"])
    add("clip", t, GREY, candidate_labels=["bird sings in the park and in the city", "cat"], tokenizer_kwargs=dict(truncation=True, max_length=6))


def detection_cases():
    m, t = "yolos", "object-detection"
    add(m, t, PICTURE, threshold=0.2)
    add(m, t, [PICTURE, TURNED], threshold=0.1)
    add(m, t, TURNED)
    add(m, t, TURNED, threshold=1.0)


    m = "detr"
    add(m, t, PICTURE, threshold=0.2)
    add(m, t, [GREY, TURNED], threshold=0.3)


def segmentation_cases():
    m, t = "segformer", "image-segmentation"
    add(m, t, PICTURE)
    add(m, t, [GREY, TURNED], subtask="semantic")
    m = "detr_masks"
    add(m, t, PICTURE, threshold=0.1)
    add(m, t, [PICTURE, TURNED], threshold=0.1, subtask="instance", mask_threshold=0.1, overlap_mask_area_threshold=0.1)
    add(m, t, GREY, threshold=0.2, subtask="panoptic", overlap_mask_area_threshold=0.0)
    add(m, t, GREY, subtask="semantic")
    add(m, t, GREY)


def depth_cases():
    add("dpt", "depth-estimation", PICTURE)
    add("dpt", "depth-estimation", [GREY], processor=dict(size=dict(height=40, width=40)))


def suppressed(boxes, scores, idxs, iou_threshold):
    """torchvision's batched_nms for one group, which the reference needs here."""
    left, top, right, bottom = boxes.unbind(1)
    area, kept = (right - left) * (bottom - top), []
    for i in scores.argsort(descending=True, stable=True).tolist():
        width = torch.minimum(right[i], right[kept]) - torch.maximum(left[i], left[kept])
        height = torch.minimum(bottom[i], bottom[kept]) - torch.maximum(top[i], top[kept])
        both = width.clamp(min=0) * height.clamp(min=0)
        if not (both / (area[i] + area[kept] - both) > iou_threshold).any():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def mask_cases():
    transformers.models.sam.image_processing_sam.batched_nms = suppressed
    m, t = "sam", "mask-generation"
    add(m, t, PICTURE, points_per_crop=3, points_per_batch=3, pred_iou_thresh=-9.0, stability_score_thresh=0.5, stability_score_offset=0.3, crops_nms_thresh=1.0)
    add(m, t, [PICTURE, GREY], points_per_crop=4, points_per_batch=8, pred_iou_thresh=0.1, stability_score_thresh=0.0, mask_threshold=0.2, output_rle_mask=True, output_bboxes_mask=True)


def feature_cases():
    m, t = "vit_model", "image-feature-extraction"
    add(m, t, PICTURE)
    add(m, t, [PICTURE, GREY], pool=True)
    add(m, t, PICTURE, pool=True, image_processor_kwargs=dict(do_normalize=False))
    add("resnet_classifier", t, GREY)
    add("resnet_classifier", t, GREY, pool=True)


def with_masks(x):
    if isinstance(x, dict):
        return {k: with_masks(v) for k, v in x.items()}
    if isinstance(x, list):
        return [with_masks(v) for v in x]
    if isinstance(x, numpy.ndarray) and x.dtype == bool:
        x = Image.fromarray(x)
    if isinstance(x, Image.Image):
        buffer = io.BytesIO()
        x.save(buffer, "PNG", optimize=True)
        return base64.b64encode(buffer.getvalue()).decode()
    return x


PIPES = {}


def opened(case):
    key = json.dumps([case["model"], case["task"], case.get("config"), case.get("processor")])
    if key not in PIPES:
        folder = tempfile.mkdtemp()
        shutil.copytree(os.path.join(OUT, case["model"]), folder, dirs_exist_ok=True)
        for member, file in (("config", "config.json"), ("processor", "preprocessor_config.json")):
            if member in case:
                patch(os.path.join(folder, file), case[member])
        PIPES[key] = pipeline(case["task"], model=folder, device="cpu")
        shutil.rmtree(folder)
    return PIPES[key]


def answer(case):
    place = lambda x: [place(y) for y in x] if isinstance(x, list) else os.path.join(GOLDEN, x)
    given = opened(case)(place(case["inputs"]), **copy.deepcopy(case["options"]))
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, dict):
            one.pop("is_last", None)  # which batches of points there were
    return plain(with_masks(given))


def main():
    for name in sys.argv[1:] or MODELS:
        if name in MODELS:
            make(name)
    for group in (classification_cases, zero_shot_cases, detection_cases, segmentation_cases, depth_cases, mask_cases, feature_cases):
        group()
    for case in CASES:
        try:
            case["output"] = answer(case)
        except Exception as error:
            print("FAILS", case, "\n   ", type(error).__name__, error)
    with open(os.path.join(OUT, "vision_cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES if "output" in c) + "\n]\n")


if __name__ == "__main__":
    main()
