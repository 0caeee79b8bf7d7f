"""Idefics3 and SmolVLM: pictures with padding, smaller ones, padding pictures, scale factors. See common.py."""
import torch
from common import GENERATION, case, main, seeded

IMAGE, VOCAB, SIDE, PATCH = 20, 21, 8, 2
TEXT = dict(model_type="llama", vocab_size=VOCAB, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1, intermediate_size=9,
            max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
VISION = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=9, image_size=SIDE, patch_size=PATCH)
BASE = dict(vision_config=VISION, text_config=TEXT, image_token_id=IMAGE, scale_factor=2, pad_token_id=0)


def count(model, side=SIDE):
    return (side // PATCH) ** 2 // model.config.scale_factor ** 2


def texts(model, images, generator, side=SIDE):
    rows = []
    for wanted in images:
        row = torch.randint(3, IMAGE, (2,), generator=generator).tolist()
        for _ in range(wanted):
            row += [IMAGE] * count(model, side) + torch.randint(3, IMAGE, (2,), generator=generator).tolist()
        rows.append(row)
    length = max(map(len, rows))
    return torch.tensor([[0] * (length - len(r)) + r for r in rows]), torch.tensor([[0] * (length - len(r)) + [1] * len(r) for r in rows])


def pictures(images, generator, side=SIDE):
    """[B, most, 3, side, side]; what is missing is 0."""
    out = torch.zeros(len(images), max(images), 3, side, side)
    for b, wanted in enumerate(images):
        out[b, :wanted] = (torch.randn(wanted, 3, side, side, generator=generator) * 2).round() / 2 + 0.25
    return out


def plain(model):
    ids, _ = texts(model, (1, 1), seeded("plain"))
    return dict(input_ids=ids, pixel_values=pictures((1, 1), seeded("images")))


def several(model):
    ids, mask = texts(model, (2, 1), seeded("several"))
    return dict(input_ids=ids, attention_mask=mask, pixel_values=pictures((2, 1), seeded("images")))


def cut(model):
    """Pictures that do not fill their squares."""
    inputs = several(model)
    seen = torch.ones(2, 2, SIDE, SIDE, dtype=torch.long)
    seen[0, 0, 5:] = 0
    seen[0, 1, :, 4:] = 0
    return dict(inputs, pixel_attention_mask=seen)


def larger(model):
    ids, _ = texts(model, (1, 1), seeded("larger"), 12)
    return dict(input_ids=ids, pixel_values=pictures((1, 1), seeded("images"), 12))


def grad(model):
    inputs = cut(model)
    labels = inputs["input_ids"].clone()
    labels[inputs["attention_mask"] == 0] = -100
    labels[labels == IMAGE] = -100
    labels[1, int((inputs["attention_mask"][1] == 0).sum())] = -100  # would be predicted from padding
    return dict(inputs, labels=labels)


def prompts(model, spec, generator):
    ids, mask = texts(model, (2, 1), generator)
    return dict(input_ids=ids.tolist(), attention_mask=mask.tolist(), pixel_values=pictures((2, 1), generator).tolist())


def seeing(kind, more, io="plain several cut larger grad", generate=()):
    return case(kind, {**BASE, **more}, io, generate, inputs=dict(plain=plain, several=several, cut=cut, larger=larger, grad=grad), prompts=prompts)


CASES = {
    "idefics3_base": seeing("Idefics3ForConditionalGeneration", {}, generate=GENERATION),
    "idefics3_tied": seeing("Idefics3ForConditionalGeneration", dict(text_config=dict(TEXT, tie_word_embeddings=True), scale_factor=1, vision_config=dict(VISION, hidden_act="gelu")),
                            "several grad"),
    "idefics3_model": seeing("Idefics3Model", {}, "plain several"),
    "smolvlm_base": seeing("SmolVLMForConditionalGeneration", {}, "plain several cut", GENERATION[:1]),
}

if __name__ == "__main__":
    main(CASES)
