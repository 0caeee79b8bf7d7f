"""YOLOS: position tables of other sizes, after every layer or not, the set loss. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=17, image_size=[8, 12], patch_size=4,
             num_detection_tokens=5, num_labels=3)


def objects(model):
    boxes = torch.rand(3, 4, generator=seeded("boxes")) * 0.4 + 0.2
    return dict(pixel_values=torch.randn(2, 3, 12, 8, generator=seeded("objects")),
                labels=[dict(class_labels=torch.tensor([2, 0]), boxes=boxes[:2]), dict(class_labels=torch.tensor([1]), boxes=boxes[2:])])


def larger(model):
    return dict(pixel_values=torch.randn(1, 3, 16, 20, generator=seeded("larger")))


CASES = {
    "yolos_model": case("YolosModel", SMALL, "plain larger", pixels=(3, 8, 12), inputs=dict(larger=larger)),
    "yolos_detect": case("YolosForObjectDetection", dict(SMALL, use_mid_position_embeddings=False), "plain grad", pixels=(3, 8, 12), inputs=dict(grad=objects)),
    "yolos_mid": case("YolosForObjectDetection", dict(SMALL, eos_coefficient=0.3, giou_cost=1, bbox_loss_coefficient=3), "plain larger grad", pixels=(3, 8, 12),
                      inputs=dict(grad=objects, larger=larger)),
}

if __name__ == "__main__":
    main(CASES)
