"""CLIP and SigLIP: both towers together and alone, projections, classifiers, losses. See common.py."""
import torch
from common import case, main, seeded

TEXT = dict(vocab_size=31, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17, max_position_embeddings=10,
            eos_token_id=30, bos_token_id=29, pad_token_id=30)
IMAGE = dict(hidden_size=9, num_hidden_layers=1, num_attention_heads=3, intermediate_size=14, image_size=8, patch_size=4)
BOTH = dict(text_config=TEXT, vision_config=IMAGE, projection_dim=7)
SIGLIP_TEXT = dict(TEXT, projection_size=9, pad_token_id=1, eos_token_id=2)
SIGLIP = dict(text_config=SIGLIP_TEXT, vision_config=IMAGE)


def texts(rows=3, end=30):
    ids = torch.randint(3, 29, (rows, 7), generator=seeded("texts"))
    ids[:, 6] = end
    ids[1, 4:] = end
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return dict(input_ids=ids, attention_mask=mask)


def images(rows=3, size=(8, 8)):
    return dict(pixel_values=torch.randn(rows, 3, *size, generator=seeded("images")))


def text(model):
    return texts()


def old_end(model):
    return texts(end=28)


def both(model):
    return {**texts(3), **images(2)}


def loss(model):
    return {**texts(3), **images(3), "return_loss": torch.tensor([True])}


def no_mask(model):
    return {"input_ids": texts(3)["input_ids"], **images(2)}


def larger(model):
    return {**images(2, (12, 8)), "interpolate_pos_encoding": torch.tensor([True])}


CASES = {
    "clip_both": case("CLIPModel", BOTH, "both grad", inputs=dict(both=both, grad=loss)),
    "clip_text": case("CLIPTextModel", dict(TEXT, hidden_act="gelu"), "plain", inputs=dict(plain=text)),
    "clip_old_end": case("CLIPTextModelWithProjection", dict(TEXT, eos_token_id=2, projection_dim=5), "plain", inputs=dict(plain=old_end)),
    "clip_image": case("CLIPVisionModel", dict(IMAGE, num_hidden_layers=2), "plain larger", pixels=(3, 8, 8), inputs=dict(larger=larger)),
    "clip_image_projection": case("CLIPVisionModelWithProjection", dict(IMAGE, projection_dim=5), "plain", pixels=(3, 8, 8)),
    "clip_classify": case("CLIPForImageClassification", dict(BOTH, num_labels=4), "plain grad", pixels=(3, 8, 8)),
    "siglip_both": case("SiglipModel", SIGLIP, "both grad", inputs=dict(both=no_mask, grad=loss)),
    "siglip_text": case("SiglipTextModel", SIGLIP_TEXT, "plain", inputs=dict(plain=text)),
    "siglip_image": case("SiglipVisionModel", IMAGE, "plain larger", pixels=(3, 8, 8), inputs=dict(larger=larger)),
    "siglip_classify": case("SiglipForImageClassification", dict(SIGLIP, num_labels=3), "plain grad", pixels=(3, 8, 8)),
}

if __name__ == "__main__":
    main(CASES)
