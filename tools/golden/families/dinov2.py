"""DINOv2 and ConvNeXt. See common.py."""
import torch
from common import case, main, seeded

DINO = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, mlp_ratio=2, image_size=8, patch_size=2, num_labels=3)
NEXT = dict(hidden_sizes=[6, 10], depths=[1, 2], num_stages=2, num_labels=3)


def larger(model):
    return dict(pixel_values=torch.randn(2, 3, 10, 6, generator=seeded("larger")))


CASES = {
    "dinov2_model": case("Dinov2Model", DINO, "plain larger", pixels=(3, 8, 8), inputs=dict(larger=larger)),
    "dinov2_gated": case("Dinov2ForImageClassification", dict(DINO, num_hidden_layers=1, use_swiglu_ffn=True), "plain grad", pixels=(3, 8, 8)),
    "convnext_model": case("ConvNextModel", NEXT, "plain", pixels=(3, 19, 16)),
    "convnext_classify": case("ConvNextForImageClassification", dict(NEXT, hidden_act="relu"), "plain grad", pixels=(3, 16, 16)),
}

if __name__ == "__main__":
    main(CASES)
