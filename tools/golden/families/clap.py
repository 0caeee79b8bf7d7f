"""CLAP: both towers together and alone, spectrograms shorter than the picture, fused ones, projections. See common.py."""
import torch
from common import case, main, seeded

BANDS, SIDE = 8, 16
TEXT = dict(vocab_size=31, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=9, max_position_embeddings=20, type_vocab_size=1, pad_token_id=1,
            bos_token_id=0, eos_token_id=2, projection_dim=10)
AUDIO = dict(num_mel_bins=BANDS, spec_size=SIDE, patch_size=2, patch_stride=[2, 2], window_size=4, patch_embeds_hidden_size=4, depths=[2, 1], num_attention_heads=[2, 2],
             hidden_size=8, projection_dim=10, mlp_ratio=1.5, aff_block_r=2)


def ids(generator):
    rows = torch.randint(3, 31, (2, 6), generator=generator)
    mask = torch.ones_like(rows)
    mask[1, 4:] = 0
    rows[mask == 0] = 1
    return dict(input_ids=rows, attention_mask=mask)


def sounds(model, generator, frames):
    config = getattr(model.config, "audio_config", model.config)
    fused = config.enable_fusion
    out = dict(input_features=torch.randn(2, 4 if fused else 1, frames, BANDS, generator=generator))
    if fused:
        out["is_longer"] = torch.tensor([[1], [0]])
    return out


def hears(model, which, frames):
    generator = seeded(which)
    kind = type(model).__name__
    return {**(ids(generator) if "Audio" not in kind else {}), **(sounds(model, generator, frames) if "Text" not in kind else {})}


def plain(model):
    return hears(model, "plain", 2 * SIDE)


def shorter(model):
    return hears(model, "shorter", 27)


def grad(model):
    return dict(hears(model, "grad", 29), return_loss=torch.tensor([1]))


def clap(kind="ClapModel", text=(), audio=(), io="plain shorter grad"):
    config = {**TEXT, **dict(text)} if "Text" in kind else {**AUDIO, **dict(audio)} if "Audio" in kind else \
        dict(text_config={**TEXT, **dict(text)}, audio_config={**AUDIO, **dict(audio)}, projection_dim=10)
    return case(kind, config, io, inputs=dict(plain=plain, shorter=shorter, grad=grad))


FUSED = dict(enable_fusion=True, fusion_type="aff_2d")
CASES = {
    "clap_base": clap(),
    "clap_fused": clap(audio=FUSED),
    "clap_plain_patches": clap(audio=dict(enable_patch_layer_norm=False, qkv_bias=False, hidden_act="relu", projection_hidden_act="gelu"), text=dict(projection_hidden_act="gelu"), io="shorter grad"),
    "clap_text": clap("ClapTextModelWithProjection", io="plain"),
    "clap_audio": clap("ClapAudioModelWithProjection", io="plain shorter"),
}

if __name__ == "__main__":
    main(CASES)
