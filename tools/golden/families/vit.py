"""ViT and DeiT: heads, sizes, interpolated positions. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=19, image_size=8, patch_size=2)
ONE = dict(SMALL, num_hidden_layers=1, num_labels=3)


def larger(model):
    return dict(pixel_values=torch.randn(2, 3, 10, 6, generator=seeded("larger")), interpolate_pos_encoding=torch.tensor([True]))


CASES = {
    "vit_model": case("ViTModel", SMALL, "plain larger", pixels=(3, 8, 8), inputs={"larger": larger}),
    "vit_classify": case("ViTForImageClassification", dict(ONE, qkv_bias=False, hidden_act="relu", layer_norm_eps=0.05), "plain grad", pixels=(3, 8, 8)),
    "vit_multi_label": case("ViTForImageClassification", dict(ONE, problem_type="multi_label_classification"), "grad", pixels=(3, 8, 8)),
    "deit_classify": case("DeiTForImageClassification", ONE, "plain larger grad", pixels=(3, 8, 8), inputs={"larger": larger}),
    "deit_teacher": case("DeiTForImageClassificationWithTeacher", ONE, "plain", pixels=(3, 8, 8)),
    "deit_model": case("DeiTModel", dict(SMALL, num_hidden_layers=1, pooler_act="sigmoid"), "plain", pixels=(3, 8, 8)),
}

if __name__ == "__main__":
    main(CASES)
