"""LLaVA: feature layers, both strategies, towers and text families, old and new names. See common.py."""
import os

import torch
from common import GENERATION, case, main, seeded
from safetensors.torch import load_file, save_file

IMAGE_TOKEN, VOCAB, SIDE = 20, 21, 8
TEXT = dict(model_type="llama", vocab_size=VOCAB, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1, intermediate_size=9,
            max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
CLIP = dict(model_type="clip_vision_model", hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=10, image_size=SIDE, patch_size=4)
SIGLIP = dict(CLIP, model_type="siglip_vision_model", vision_use_head=False)
BASE = dict(vision_config=CLIP, text_config=TEXT, image_token_index=IMAGE_TOKEN, image_seq_length=4)


def on_disk(key):
    for ours, theirs in (("model.language_model.", "language_model.model."), ("lm_head.", "language_model.lm_head."), ("model.", "")):
        if key.startswith(ours):
            return theirs + key[len(ours):]
    return key


def bare(key):
    return key.replace("language_model.", "language_model.model.")


def features(model):
    tokens = (SIDE // 4) ** 2 + (model.config.vision_config.model_type == "clip_vision_model")
    return tokens - (model.config.vision_feature_select_strategy == "default")


def texts(model, rows, images, generator):
    """`images[b]` pictures in row b, the rows as long as the longest; what is too short is padded on the left."""
    count = features(model)
    made = []
    for wanted in images:
        row = torch.randint(3, IMAGE_TOKEN, (2,), generator=generator).tolist()
        for _ in range(wanted):
            row += [IMAGE_TOKEN] * count + torch.randint(3, IMAGE_TOKEN, (2,), generator=generator).tolist()
        made.append(row)
    length = max(map(len, made))
    mask = [[0] * (length - len(row)) + [1] * len(row) for row in made]
    return torch.tensor([[0] * (length - len(row)) + row for row in made]), torch.tensor(mask)


def plain(model):
    ids, _ = texts(model, 2, (1, 1), seeded("plain"))
    return dict(input_ids=ids, pixel_values=torch.randn(2, 3, SIDE, SIDE, generator=seeded("images")))


def several(model):
    ids, mask = texts(model, 3, (2, 0, 1), seeded("several"))
    return dict(input_ids=ids, attention_mask=mask, pixel_values=torch.randn(3, 3, SIDE, SIDE, generator=seeded("images")))


def grad(model):
    inputs = several(model)
    labels = inputs["input_ids"].clone()
    labels[inputs["attention_mask"] == 0] = -100
    labels[labels == IMAGE_TOKEN] = -100
    for row, mask in zip(labels, inputs["attention_mask"]):
        row[mask.argmax()] = -100  # the first token follows padding, where the reference looks at everything
    return dict(inputs, labels=labels)


def none(model):
    ids, mask = texts(model, 2, (0, 0), seeded("none"))
    return dict(input_ids=ids, attention_mask=mask)


def prompts(model, spec, generator):
    images = (1, 1) if len(spec["generate"]) > 1 else (2, 1)  # with beams the reference gives a row's copies different pictures of several
    ids, mask = texts(model, 2, images, generator)
    return dict(input_ids=ids.tolist(), attention_mask=mask.tolist(), pixel_values=((torch.randn(sum(images), 3, SIDE, SIDE, generator=generator) * 2).round() / 2).tolist())


def new_names(folder):
    path = os.path.join(folder, "model.safetensors")
    tensors = load_file(path)
    save_file({new(key): value for key, value in tensors.items()}, path)


def new(key):
    if key.startswith("language_model.lm_head."):
        return key[len("language_model."):]
    return "model." + key.replace("language_model.model.", "language_model.")


def llava(more, io="plain several grad", generate=(), **options):
    inputs = dict(plain=plain, several=several, grad=grad, none=none)
    return case("LlavaForConditionalGeneration", {**BASE, **more}, io, generate, **{**dict(inputs=inputs, rename=on_disk, prompts=prompts), **options})


CASES = {
    "llava_base": llava({}, "plain several grad none", GENERATION),
    "llava_layers": llava(dict(vision_feature_layer=[-2, 1, 3], projector_hidden_act="relu", multimodal_projector_bias=False)),
    "llava_full": llava(dict(text_config=dict(TEXT, num_hidden_layers=2), vision_feature_select_strategy="full", vision_feature_layer=-1, vision_config=SIGLIP), "plain grad", GENERATION[:1]),
    "llava_qwen2": llava(dict(text_config=dict(TEXT, model_type="qwen2", tie_word_embeddings=True), vision_feature_layer=1), "several grad", GENERATION[:1],
                         rename=lambda key: on_disk("model.language_model.embed_tokens.weight" if key == "lm_head.weight" else key)),
    "llava_new_names": llava({}, "grad", edit=new_names, rename=lambda key: key),
    "llava_model": case("LlavaModel", BASE, "plain several", inputs=dict(plain=plain, several=several), rename=bare),
}

if __name__ == "__main__":
    main(CASES)
