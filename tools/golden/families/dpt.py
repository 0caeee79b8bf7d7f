"""DPT and Depth Anything: depth and labels of pixels from the layers of a transformer. See common.py."""
import torch
from common import case, main, seeded

NECK = dict(neck_hidden_sizes=[4, 6, 8], reassemble_factors=[2, 1, 0.5], fusion_hidden_size=8)
SMALL = dict(hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=11, image_size=16, patch_size=4, backbone_out_indices=[0, 1, 2], **NECK)
DINO = dict(model_type="dinov2", hidden_size=8, num_hidden_layers=3, num_attention_heads=2, mlp_ratio=2, image_size=14, patch_size=7, reshape_hidden_states=False,
            out_indices=[1, 2, 3], apply_layernorm=True)
ANY = dict(backbone_config=DINO, patch_size=7, reassemble_hidden_size=8, head_hidden_size=5, **NECK)


def labels(model):
    chosen = torch.randint(0, 3, (2, 11, 13), generator=seeded("labels"))
    chosen[0, :4] = 255
    return dict(pixel_values=torch.randn(2, 3, 16, 16, generator=seeded("dpt")), labels=chosen)


def larger(model):
    return dict(pixel_values=torch.randn(1, 3, 24, 24, generator=seeded("larger")))


CASES = {
    "dpt_model": case("DPTModel", dict(SMALL, qkv_bias=False), "plain larger", pixels=(3, 16, 16), inputs=dict(larger=larger)),
    "dpt_depth": case("DPTForDepthEstimation", dict(SMALL, readout_type="add", use_batch_norm_in_fusion_residual=True), "plain larger", pixels=(3, 16, 16),
                      inputs=dict(larger=larger)),
    "dpt_labels": case("DPTForSemanticSegmentation", dict(SMALL, num_labels=3, head_in_index=-2), "plain grad", pixels=(3, 16, 16), inputs=dict(grad=labels)),
    "depth_anything": case("DepthAnythingForDepthEstimation", ANY, "plain", pixels=(3, 21, 28)),
    "depth_anything_metric": case("DepthAnythingForDepthEstimation", dict(ANY, depth_estimation_type="metric", max_depth=20,
                                                                          backbone_config=dict(DINO, apply_layernorm=False)), "plain", pixels=(3, 14, 14)),
}

if __name__ == "__main__":
    main(CASES)
