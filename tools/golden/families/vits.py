"""VITS: both duration predictors, several speakers, windows, both spellings of weight norm. Noise is off. See common.py."""
import os

import torch
from common import case, main, seeded
from safetensors.torch import load_file, save_file

SMALL = dict(vocab_size=11, hidden_size=6, num_hidden_layers=2, num_attention_heads=2, window_size=2, ffn_dim=7, flow_size=4, spectrogram_bins=3,
             upsample_initial_channel=8, depth_separable_num_layers=2, upsample_rates=[3, 2], upsample_kernel_sizes=[6, 4], resblock_kernel_sizes=[3, 5],
             resblock_dilation_sizes=[[1, 2], [2, 3]], duration_predictor_flow_bins=3, duration_predictor_num_flows=2, duration_predictor_filter_channels=7,
             prior_encoder_num_flows=2, prior_encoder_num_wavenet_layers=2, posterior_encoder_num_wavenet_layers=1, wavenet_kernel_size=3,
             noise_scale=0.0, noise_scale_duration=0.0)
VOICES = dict(SMALL, num_speakers=3, speaker_embedding_size=4)


def ids(model):
    return torch.randint(0, model.config.vocab_size, (2, 9), generator=seeded("vits ids"))


def plain(model):
    return dict(input_ids=ids(model))


def masked(model):
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return dict(input_ids=ids(model), attention_mask=mask)


def single(model):
    return dict(input_ids=ids(model)[:1, :2])


def voice(model):
    return dict(input_ids=ids(model), speaker_id=torch.tensor([2]))


def old_name(key):
    """Weight norm as checkpoints of transformers below 4.31 spell it."""
    return key.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v")


def old_names(folder):
    path = os.path.join(folder, "model.safetensors")
    save_file({old_name(key): tensor for key, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


BOTH = dict(plain=plain, masked=masked, single=single, voice=voice)

CASES = {
    "vits": case("VitsModel", dict(SMALL, num_hidden_layers=1), "plain masked single", inputs=BOTH),
    "vits_plain_durations": case("VitsModel", dict(SMALL, use_stochastic_duration_prediction=False, speaking_rate=0.7, use_bias=False, window_size=3,
                                                   hidden_act="gelu", ffn_kernel_size=4), "plain masked", inputs=BOTH),
    "vits_voices": case("VitsModel", dict(VOICES, wavenet_dilation_rate=2, leaky_relu_slope=0.2, duration_predictor_tail_bound=1.5), "plain voice", inputs=BOTH),
    "vits_voices_plain": case("VitsModel", dict(VOICES, use_stochastic_duration_prediction=False, num_hidden_layers=1, ffn_kernel_size=1, num_attention_heads=1), "voice", inputs=BOTH,
                              edit=old_names, rename=old_name),
}

if __name__ == "__main__":
    main(CASES)
