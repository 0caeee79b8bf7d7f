"""ResNet: both kinds of layers, both places of the stride. See common.py."""
from common import case, main

SMALL = dict(embedding_size=4, hidden_sizes=[8, 12], depths=[2, 1], num_labels=3)

CASES = {
    "resnet_bottleneck": case("ResNetForImageClassification", SMALL, "plain grad", pixels=(3, 32, 29)),
    "resnet_old_stride": case("ResNetForImageClassification", dict(SMALL, downsample_in_bottleneck=True, downsample_in_first_stage=True), "plain grad", pixels=(3, 32, 29)),
    "resnet_basic": case("ResNetForImageClassification", dict(SMALL, layer_type="basic", hidden_sizes=[6, 8], hidden_act="gelu"), "plain grad", pixels=(3, 31, 33)),
    "resnet_model": case("ResNetModel", dict(SMALL, num_channels=1), "plain", pixels=(1, 32, 32)),
}

if __name__ == "__main__":
    main(CASES)
