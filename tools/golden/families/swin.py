"""Swin: windows that are shifted or not, maps that fit them or not, odd maps that merge. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(image_size=24, patch_size=2, embed_dim=4, depths=[2, 1], num_heads=[2, 4], window_size=3, mlp_ratio=2.0, num_labels=3)


def other(model):
    return dict(pixel_values=torch.randn(1, 3, 19, 26, generator=seeded("other")))


CASES = {
    "swin_model": case("SwinModel", dict(SMALL, qkv_bias=False, hidden_act="relu", mlp_ratio=1.5), "plain other", pixels=(3, 18, 24), inputs=dict(other=other)),
    "swin_classify": case("SwinForImageClassification", dict(SMALL, window_size=4), "plain other grad", pixels=(3, 20, 18), inputs=dict(other=other)),
    "donut_swin": case("DonutSwinModel", {k: v for k, v in SMALL.items() if k != "num_labels"}, "plain other", pixels=(3, 18, 24), inputs=dict(other=other)),
}

if __name__ == "__main__":
    main(CASES)
