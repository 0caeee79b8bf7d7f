"""Qwen2-VL: pictures of several sizes, videos, both, none; texts with padding; windows; old flat configs. See common.py."""
import json
import os

import torch
from common import GENERATION, case, main, seeded

IMAGE, VIDEO, START, VOCAB, PATCH, MERGE, FRAMES = 20, 19, 18, 22, 2, 2, 2
TEXT = dict(vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=9, max_position_embeddings=64,
            bos_token_id=1, eos_token_id=2, pad_token_id=0, rope_scaling=dict(type="mrope", mrope_section=[1, 2, 3]))
VISION = dict(depth=2, embed_dim=16, num_heads=2, mlp_ratio=1.5, hidden_size=24, patch_size=PATCH, spatial_merge_size=MERGE, temporal_patch_size=FRAMES)
BASE = dict(text_config=TEXT, vision_config=VISION, image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=17)
GRIDS = {"a": (1, 4, 6), "b": (1, 2, 4), "v": (3, 2, 4)}


def texts(rows, generator):
    """Rows of names from GRIDS; padded on the left."""
    made = []
    for row in rows:
        ids = torch.randint(3, 17, (2,), generator=generator).tolist()
        for name in row:
            t, h, w = GRIDS[name]
            ids += [START] + [VIDEO if name == "v" else IMAGE] * (t * h * w // MERGE ** 2) + torch.randint(3, 17, (2,), generator=generator).tolist()
        made.append(ids)
    length = max(map(len, made))
    return torch.tensor([[0] * (length - len(r)) + r for r in made]), torch.tensor([[0] * (length - len(r)) + [1] * len(r) for r in made])


def looks(rows, generator):
    ids, mask = texts(rows, generator)
    out = dict(input_ids=ids, attention_mask=mask)
    for pixels, grid, kind in (("pixel_values", "image_grid_thw", "ab"), ("pixel_values_videos", "video_grid_thw", "v")):
        grids = [GRIDS[n] for row in rows for n in row if n in kind]
        if grids:
            patches = sum(t * h * w for t, h, w in grids)
            out[pixels] = (torch.randn(patches, 3 * FRAMES * PATCH ** 2, generator=generator) * 2).round() / 2
            out[grid] = torch.tensor(grids)
    return out


def of(*rows):
    def inputs(model):
        return looks(rows, seeded(str(rows)))
    return inputs


def unmasked(model):
    out = looks(("a", "a"), seeded("plain"))
    del out["attention_mask"]
    return out


def grad(model):
    inputs = looks(("avb", "b"), seeded("grad"))
    labels = inputs["input_ids"].clone()
    labels[inputs["attention_mask"] == 0] = -100
    labels[(labels == IMAGE) | (labels == VIDEO)] = -100
    labels[1, int((inputs["attention_mask"][1] == 0).sum())] = -100  # would be predicted from padding
    return dict(inputs, labels=labels)


def prompts(model, spec, generator):
    """With beams the reference repeats rows in the wrong order where they hold several pictures."""
    return {k: v.tolist() for k, v in looks(("a", "b") if len(spec["generate"]) > 1 else ("ab", "v"), generator).items()}


def flat_config(folder):
    """As the first checkpoints have it: the text's settings stand beside the tower's."""
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        config = json.load(f)
    text = config.pop("text_config")
    for key in ("model_type", "tie_word_embeddings"):
        text.pop(key, None)
    with open(path, "w") as f:
        json.dump({**text, **config}, f, indent=1)


def on_disk(key):
    for ours, theirs in (("model.visual.", "visual."), ("model.language_model.", "model.")):
        if key.startswith(ours):
            return theirs + key[len(ours):]
    return key


def bare(key):
    return "model." + key[len("language_model."):] if key.startswith("language_model.") else key


def qwen(more, io="plain several none grad", generate=(), kind="Qwen2VLForConditionalGeneration", **options):
    inputs = dict(plain=unmasked, several=of("ab", "b"), video=of("v", "av"), none=of("", ""), grad=grad)
    return case(kind, {**BASE, **more}, io, generate, inputs=inputs, prompts=prompts, **{**dict(rename=on_disk), **options})


CASES = {
    "qwen2_vl": qwen({}, "plain several video none grad", GENERATION),
    "qwen2_vl_tied": qwen(dict(tie_word_embeddings=True, vision_config=dict(VISION, hidden_act="gelu", num_heads=1)), "several", GENERATION[:1], edit=flat_config),
    "qwen2_vl_windows": qwen(dict(text_config=dict(TEXT, use_sliding_window=True, sliding_window=4, max_window_layers=1)), "several", GENERATION[:1]),
    "qwen2_vl_model": qwen({}, "plain video", kind="Qwen2VLModel", rename=bare),
}

if __name__ == "__main__":
    main(CASES)
