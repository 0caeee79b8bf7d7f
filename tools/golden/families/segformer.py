"""SegFormer: the pyramid alone, with a classifier and with labels of pixels. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(num_channels=3, num_encoder_blocks=3, depths=[1, 2, 1], sr_ratios=[4, 2, 1], hidden_sizes=[4, 6, 8], patch_sizes=[7, 3, 3], strides=[4, 2, 2],
             num_attention_heads=[1, 2, 2], mlp_ratios=[2, 1.5, 2], decoder_hidden_size=6, num_labels=4)


def pixels():
    return torch.randn(2, 3, 36, 28, generator=seeded("segformer"))


def labels(classes):
    def inputs(model):
        chosen = torch.randint(0, classes, (2, 19, 23), generator=seeded("labels"))
        chosen[0, :5] = chosen[1, 3:9, 4] = model.config.semantic_loss_ignore_index
        return dict(pixel_values=pixels(), labels=chosen)
    return inputs


SIZE = (3, 32, 41)
CASES = {
    "segformer_model": case("SegformerModel", dict(SMALL, hidden_act="relu", reshape_last_stage=False), "plain", pixels=SIZE),
    "segformer_classify": case("SegformerForImageClassification", SMALL, "plain grad", pixels=SIZE),
    "segformer_labels": case("SegformerForSemanticSegmentation", SMALL, "plain grad", pixels=SIZE, inputs=dict(grad=labels(4))),
    "segformer_one": case("SegformerForSemanticSegmentation", dict(SMALL, num_labels=1, semantic_loss_ignore_index=-1), "grad", pixels=SIZE, inputs=dict(grad=labels(2))),
}

if __name__ == "__main__":
    main(CASES)
