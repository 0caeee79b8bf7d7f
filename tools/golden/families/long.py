"""Inputs longer than the usual ones, for distances beyond windows and exact buckets."""
import torch

from common import seeded


def long_right(model, length=40, hidden=7):
    """[2, length] ids, the second row padded on the right by `hidden` tokens."""
    generator = seeded("long inputs")
    ids = torch.randint(3, model.config.vocab_size, (2, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, length - hidden:] = 0
    ids[mask == 0] = model.config.pad_token_id or 0
    return dict(input_ids=ids, attention_mask=mask)
