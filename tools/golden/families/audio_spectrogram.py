"""Audio spectrogram transformer: strides, odd sizes, classes. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=17, patch_size=4, frequency_stride=3, time_stride=2, max_length=15,
             num_mel_bins=9, num_labels=3)


def plain(model):
    return dict(input_values=torch.randn(2, model.config.max_length, model.config.num_mel_bins, generator=seeded("spectra")))


def grad(model):
    return dict(plain(model), labels=torch.tensor([2, 0]))


def numbers(model):
    return dict(plain(model), labels=torch.tensor([0.5, -1.0]))


CASES = {
    "ast_model": case("ASTModel", dict(SMALL, qkv_bias=False, hidden_act="relu"), "plain", inputs=dict(plain=plain)),
    "ast_classify": case("ASTForAudioClassification", dict(SMALL, num_hidden_layers=1), "plain grad", inputs=dict(plain=plain, grad=grad)),
    "ast_regression": case("ASTForAudioClassification", dict(SMALL, num_hidden_layers=1, num_labels=1, time_stride=4), "grad", inputs=dict(grad=numbers)),
}

if __name__ == "__main__":
    main(CASES)
