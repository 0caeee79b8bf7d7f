"""VideoMAE: heads, pooling or the first tube, with and without biases. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=11, image_size=[8, 12], patch_size=4, num_frames=5, tubelet_size=2, num_labels=3)


def pixels(rows):
    return torch.randn(rows, 5, 3, 8, 12, generator=seeded("pixels"))


def plain(model):
    return dict(pixel_values=pixels(2))


def grad(model):
    return dict(pixel_values=pixels(3), labels=torch.tensor([2, 0, 1]))


def videos(kind, config, io):
    return case(kind, config, io, inputs=dict(plain=plain, grad=grad))


CASES = {
    "videomae_classify": videos("VideoMAEForVideoClassification", SMALL, "plain grad"),
    "videomae_first": videos("VideoMAEForVideoClassification", dict(SMALL, num_hidden_layers=1, use_mean_pooling=False, qkv_bias=False, hidden_act="relu", layer_norm_eps=0.05), "plain grad"),
    "videomae_model": videos("VideoMAEModel", dict(SMALL, num_hidden_layers=1), "plain"),
}

if __name__ == "__main__":
    main(CASES)
