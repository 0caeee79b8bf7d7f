"""BLIP: captions, answers, retrieval by both measures, contrast. See common.py."""
import torch
from common import GENERATION, case, main, seeded

SIDE, VOCAB, BOS, SEP = 8, 21, 20, 2
TEXT = dict(vocab_size=VOCAB, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7, max_position_embeddings=20, bos_token_id=BOS,
            sep_token_id=SEP, pad_token_id=0, eos_token_id=SEP)
VISION = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7, image_size=SIDE, patch_size=4)
BASE = dict(text_config=TEXT, vision_config=VISION, image_text_hidden_size=5, projection_dim=5)


def pixels(generator, rows=2, size=(SIDE, SIDE)):
    return (torch.randn(rows, 3, *size, generator=generator) * 2).round() / 2


def ids_of(generator, rows=2, length=6):
    return torch.randint(3, VOCAB - 1, (rows, length), generator=generator)


def mask_of(rows=2, length=6):
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[1, 4:] = 0
    return mask


def plain(model):
    generator = seeded("plain")
    return dict(pixel_values=pixels(generator), input_ids=ids_of(generator))


def right(model):
    inputs = dict(plain(model), attention_mask=mask_of())
    inputs["input_ids"][mask_of() == 0] = 0
    return inputs


def larger(model):
    return dict(plain(model), pixel_values=pixels(seeded("larger"), 2, (12, 8)), interpolate_pos_encoding=torch.tensor([True]))


def grad(model):
    inputs = right(model)
    labels = inputs["input_ids"].clone()
    labels[mask_of() == 0] = -100
    return dict(inputs, labels=labels)


def answer(model):
    return dict(right(model), decoder_input_ids=ids_of(seeded("answer"), 2, 4))


def answer_grad(model):
    return dict(right(model), labels=ids_of(seeded("answer"), 2, 4))


def both_grad(model):
    mask = mask_of(2, 5)
    labels = ids_of(seeded("answer"), 2, 5)
    labels[mask == 0] = -100
    return dict(right(model), decoder_input_ids=ids_of(seeded("read"), 2, 5), decoder_attention_mask=mask, labels=labels)


def apart(model):
    return dict(right(model), use_itm_head=torch.tensor([False]))


def contrast(model):
    return dict(right(model), return_loss=torch.tensor([True]))


def prompts(model, spec, generator):
    ids, mask = ids_of(generator), mask_of()
    if spec["kind"] == "BlipForConditionalGeneration":  # goes on from its last token
        mask = mask.flip(1)
    ids[mask == 0] = 0
    return dict(pixel_values=pixels(generator).tolist(), input_ids=ids.tolist(), attention_mask=mask.tolist())


def images(model, spec, generator):
    return dict(pixel_values=pixels(generator).tolist())


CASES = {
    "blip_captions": case("BlipForConditionalGeneration", dict(BASE, text_config=dict(TEXT, num_hidden_layers=2, hidden_size=6)), "plain right larger grad", GENERATION,
                          inputs=dict(plain=plain, right=right, larger=larger, grad=grad), prompts=prompts),
    "blip_smoothed": case("BlipForConditionalGeneration", dict(BASE, text_config=dict(TEXT, label_smoothing=0.2, hidden_act="relu"), vision_config=dict(VISION, hidden_act="gelu_pytorch_tanh")),
                          "grad", GENERATION[:1], inputs=dict(grad=grad), prompts=images),
    "blip_answers": case("BlipForQuestionAnswering", BASE, "answer grad both", GENERATION, inputs=dict(answer=answer, grad=answer_grad, both=both_grad), prompts=prompts),
    "blip_retrieval": case("BlipForImageTextRetrieval", BASE, "plain right apart", inputs=dict(plain=plain, right=right, apart=apart)),
    "blip_contrast": case("BlipModel", BASE, "right grad", inputs=dict(right=right, grad=contrast)),
}

if __name__ == "__main__":
    main(CASES)
