"""IDEFICS: the resampler, gates, norms of queries and keys, added words, what is frozen, masks of images. See common.py."""
import torch
from common import GENERATION, case, main, seeded

VOCAB, SIDE, LENGTH, IMAGES = 19, 8, 7, 2
VISION = dict(embed_dim=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7, image_size=SIDE, patch_size=4)
PERCEIVER = dict(resampler_n_latents=3, resampler_depth=2, resampler_n_heads=2, resampler_head_dim=3)
BASE = dict(vocab_size=VOCAB, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=7, vision_config=VISION, pad_token_id=0,
            freeze_text_layers=False, freeze_vision_layers=False, alpha_initializer="ones")


def words(model):
    return VOCAB + model.config.additional_vocab_size


def pictures(generator, rows=2, images=IMAGES, side=(SIDE, SIDE)):
    return (torch.randn(rows, images, 3, *side, generator=generator) * 2).round() / 2


def image_mask(rows=2, length=LENGTH, images=IMAGES):
    """Tokens see the last image before them; those of the second row see both at the end, and none at the beginning."""
    mask = torch.zeros(rows, length, images, dtype=torch.long)
    mask[0, :3, 0] = mask[0, 3:, -1] = 1
    mask[1, 2:, 0] = mask[1, 5:, -1] = 1
    return mask


def usual(model, name="usual", images=IMAGES, side=(SIDE, SIDE)):
    generator = seeded(name)
    ids = torch.randint(3, words(model), (2, LENGTH), generator=generator)
    if model.config.additional_vocab_size:
        ids[0, 4] = VOCAB
    return dict(input_ids=ids, image_attention_mask=image_mask(images=images),
                pixel_values=pictures(generator, images=images, side=side))


def plain(model):
    return usual(model)


def left(model):
    inputs = usual(model, "left", 3)
    mask = torch.ones(2, LENGTH, dtype=torch.long)
    mask[1, :2] = 0
    inputs["input_ids"][1, :2] = 0
    return dict(inputs, attention_mask=mask)


def larger(model):
    return dict(usual(model, "larger", 1, (8, 12)), interpolate_pos_encoding=torch.tensor([True]))


def grad(model):
    inputs = left(model)
    labels = torch.randint(0, words(model), (2, LENGTH), generator=seeded("labels"))
    labels[0, 4] = -100
    labels[1, :3] = -100  # padding, and the first token behind it, where the reference looks at everything
    if model.config.additional_vocab_size:  # 4.57 forgets the added words in the size of its logits
        usual_loss = model.loss_function
        model.loss_function = lambda logits, labels, vocab_size, **more: usual_loss(logits=logits, labels=labels, vocab_size=logits.shape[-1])
    return dict(inputs, labels=labels)


def prompts(model, spec, generator):
    ids, mask = torch.randint(3, words(model), (2, LENGTH), generator=generator), torch.ones(2, LENGTH, dtype=torch.long)
    mask[1, :2] = 0
    ids[mask == 0] = 0
    return dict(input_ids=ids.tolist(), attention_mask=mask.tolist(), pixel_values=pictures(generator).tolist(), image_attention_mask=image_mask().tolist())


def idefics(more, io="plain grad", generate=()):
    inputs = dict(plain=plain, left=left, larger=larger, grad=grad)
    return case("IdeficsForVisionText2Text", {**BASE, **more}, io, generate, inputs=inputs, prompts=prompts, frozen=True)


RESAMPLED = dict(use_resampler=True, perceiver_config=PERCEIVER)
NORMED = dict(use_resampler=True, perceiver_config=dict(PERCEIVER, resampler_depth=1, qk_layer_norms_perceiver=True))

CASES = {
    "idefics_base": idefics({}, "plain left larger grad", GENERATION),
    "idefics_resampler": idefics(dict(RESAMPLED, alpha_type="vector", cross_layer_interval=2), generate=GENERATION[:1]),
    "idefics_norms": idefics(dict(NORMED, qk_layer_norms=True, alpha_type="vector", alpha_initializer="random", alphas_initializer_range=0.3, hidden_act="gelu")),
    "idefics_added": idefics(dict(additional_vocab_size=2, cross_layer_interval=2), "left grad", GENERATION[:1]),
    "idefics_tied": idefics(dict(tie_word_embeddings=True, num_hidden_layers=1), "plain grad"),
    "idefics_frozen": idefics(dict(RESAMPLED, freeze_text_layers=True, freeze_vision_layers=True, freeze_lm_head=True, num_hidden_layers=1), "grad"),
    "idefics_partly_frozen": idefics(dict(freeze_text_layers=True, freeze_vision_layers=True, freeze_text_module_exceptions=["Linear"], num_hidden_layers=1,
                                          freeze_vision_module_exceptions=["LayerNorm", "Embedding"], additional_vocab_size=1), "grad"),
    "idefics_frozen_norms": idefics(dict(freeze_text_layers=True, freeze_vision_layers=True, freeze_text_module_exceptions=["LayerNorm"], num_hidden_layers=1,
                                         freeze_vision_module_exceptions=["Linear"], tie_word_embeddings=True), "grad"),
    "idefics_model": case("IdeficsModel", BASE, "plain left", inputs=dict(plain=plain, left=left), frozen=True),
}

if __name__ == "__main__":
    main(CASES)
