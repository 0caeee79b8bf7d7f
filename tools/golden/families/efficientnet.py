"""EfficientNet: blocks of both kernels and strides, borders, weights of channels. See common.py."""
from common import case, main

SMALL = dict(image_size=32, width_coefficient=0.1, depth_coefficient=1.1, depth_divisor=2, kernel_sizes=[3, 5, 3], in_channels=[32, 16, 24], out_channels=[16, 24, 40],
             strides=[1, 2, 2], num_block_repeats=[1, 1, 1], expand_ratios=[1, 3, 2], hidden_dim=128, num_labels=3)

CASES = {
    "efficientnet_model": case("EfficientNetModel", dict(SMALL, depthwise_padding=[4], pooling_type="max", hidden_act="relu"), "plain", pixels=(3, 27, 22)),
    "efficientnet_classify": case("EfficientNetForImageClassification", dict(SMALL, depth_coefficient=1.0, squeeze_expansion_ratio=0.5), "plain grad", pixels=(3, 20, 23)),
}

if __name__ == "__main__":
    main(CASES)
