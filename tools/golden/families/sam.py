"""SAM: points, boxes, both, masks given, one mask, nothing; windows that do not divide the map; without positions. See common.py."""
import torch
from common import case, main, seeded

SIDE, PATCH = 20, 4  # a map of 5 x 5
VISION = dict(hidden_size=12, output_channels=16, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=PATCH, window_size=3, global_attn_indexes=[1], mlp_ratio=1.5,
              num_pos_feats=8)
PROMPTS = dict(hidden_size=16, image_size=SIDE, patch_size=PATCH, mask_input_channels=8)
DECODER = dict(hidden_size=16, mlp_dim=10, num_hidden_layers=2, num_attention_heads=2, iou_head_hidden_dim=9)


def asked(**more):
    def inputs(model):
        generator = seeded(str(sorted(more)))
        out = dict(pixel_values=torch.randn(2, 3, SIDE, SIDE, generator=generator))
        if more.get("points"):
            out["input_points"] = torch.rand(2, 2, 2, 2, generator=generator) * SIDE
            out["input_labels"] = torch.tensor([[[1, 0], [1, -10]], [[1, -1], [0, 0]]])
        if more.get("boxes"):
            corners = torch.rand(2, 2, 2, 2, generator=generator) * SIDE
            out["input_boxes"] = torch.cat([corners.min(2).values, corners.max(2).values], -1)
        if more.get("masks"):
            out["input_masks"] = torch.randn(2, 1, 4 * SIDE // PATCH, 4 * SIDE // PATCH, generator=generator)
        if more.get("one"):
            out["multimask_output"] = torch.tensor([0])
        return out
    return inputs


def sam(vision=(), prompts=(), decoder=(), io="points"):
    config = dict(vision_config={**VISION, **dict(vision)}, prompt_encoder_config={**PROMPTS, **dict(prompts)}, mask_decoder_config={**DECODER, **dict(decoder)})
    return case("SamModel", config, io, inputs=dict(points=asked(points=True), boxes=asked(boxes=True), both=asked(points=True, boxes=True), masks=asked(points=True, masks=True),
                                                    one=asked(points=True, one=True), none=asked()), frozen=True)


CASES = {
    "sam_base": sam(io="points boxes both one"),
    "sam_plain": sam(dict(use_rel_pos=False, use_abs_pos=False, qkv_bias=False, hidden_act="relu", mlp_dim=7), dict(hidden_act="relu"),
                     dict(num_multimask_outputs=2, iou_head_depth=4, attention_downsample_rate=4, hidden_act="gelu"), "points masks none"),
}

if __name__ == "__main__":
    main(CASES)
