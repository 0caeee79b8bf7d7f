"""DETR with ResNet's config as backbone: detection, masks, padding, learned positions, auxiliary losses. See common.py."""
import torch
from common import case, main, seeded

BACKBONE = dict(model_type="resnet", num_channels=1, embedding_size=4, hidden_sizes=[4, 4, 6, 8], depths=[1, 1, 1, 1], layer_type="basic",
                out_features=["stage1", "stage2", "stage3", "stage4"])
SMALL = dict(num_channels=1, use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=BACKBONE, d_model=16, encoder_layers=1, decoder_layers=2,
             encoder_attention_heads=4, decoder_attention_heads=2, encoder_ffn_dim=6, decoder_ffn_dim=5, num_queries=5, num_labels=3)


def masked(images=2, height=33, width=40):
    mask = torch.ones(images, height, width, dtype=torch.int32)
    mask[1, 15:] = 0
    mask[1, :, 31:] = 0
    return dict(pixel_values=torch.randn(images, 1, height, width, generator=seeded("detr")), pixel_mask=mask)


def padded(model):
    return masked()


def odd(model):
    return dict(pixel_values=torch.randn(1, 1, 33, 101, generator=seeded("odd")))


def objects(model):
    boxes = torch.rand(3, 4, generator=seeded("boxes")) * 0.4 + 0.2
    return dict(masked(), labels=[dict(class_labels=torch.tensor([2, 0]), boxes=boxes[:2]), dict(class_labels=torch.tensor([1]), boxes=boxes[2:])])


def shapes(model):
    inputs = objects(model)
    generator = seeded("masks")
    for entry, size in zip(inputs["labels"], ((20, 17), (15, 24))):
        entry["masks"] = (torch.rand(len(entry["class_labels"]), *size, generator=generator) > 0.6).float()
    return inputs


IO = dict(grad=objects, padded=padded, odd=odd)
HEADS = dict(SMALL, decoder_layers=1, encoder_attention_heads=8)
CASES = {
    "detr_model": case("DetrModel", dict(SMALL, backbone_config=dict(BACKBONE, out_features=["stage3"])), "plain padded", pixels=(1, 33, 40), inputs=IO,
                       frozen=True),
    "detr_detect": case("DetrForObjectDetection", SMALL, "plain odd grad", pixels=(1, 33, 40), inputs=IO, frozen=True),
    "detr_learned": case("DetrForObjectDetection", dict(SMALL, position_embedding_type="learned", auxiliary_loss=True, activation_function="gelu",
                                                        backbone_config=dict(BACKBONE, layer_type="bottleneck", hidden_sizes=[8, 8, 8, 8])),
                         "plain grad", pixels=(1, 33, 40), inputs=IO, frozen=True),
    "detr_masks": case("DetrForSegmentation", dict(HEADS, mask_loss_coefficient=2, dice_loss_coefficient=3), "plain grad", pixels=(1, 33, 40),
                       inputs=dict(IO, grad=shapes), frozen=True),
}

if __name__ == "__main__":
    main(CASES)
