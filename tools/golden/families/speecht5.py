"""SpeechT5: text to spectrogram with its loss, speech to text, and the HiFi-GAN vocoder. See common.py.

The dropout of the spectrogram's prenet is part of the model. Its probability is 0 here, which means none; the reference would keep
nothing then, so its function is replaced."""
import torch
from common import case, main, seeded
from transformers.models.speecht5 import modeling_speecht5

modeling_speecht5.SpeechT5SpeechDecoderPrenet._consistent_dropout = lambda self, x, p: x

SMALL = dict(vocab_size=11, hidden_size=8, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=9, decoder_layers=2, decoder_attention_heads=2,
             decoder_ffn_dim=7, num_mel_bins=3, speech_decoder_prenet_units=5, speech_decoder_prenet_dropout=0.0, speaker_embedding_dim=4,
             speech_decoder_postnet_layers=2, speech_decoder_postnet_units=4, speech_decoder_postnet_kernel=3, encoder_max_relative_position=3,
             max_text_positions=20, max_speech_positions=40, conv_dim=[5, 4], conv_kernel=[5, 3], conv_stride=[3, 2], num_feat_extract_layers=2,
             num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, apply_spec_augment=False, mask_time_prob=0.0,
             guided_attention_loss_num_heads=1)
VOCODER = dict(model_in_dim=3, upsample_initial_channel=8, upsample_rates=[3, 2], upsample_kernel_sizes=[6, 4], resblock_kernel_sizes=[3, 5],
               resblock_dilation_sizes=[[1, 2], [2, 3]])


def text(model, mask=True):
    ids = torch.randint(3, 11, (2, 9), generator=seeded("text"))
    inputs = dict(input_ids=ids)
    if mask:
        inputs["attention_mask"] = torch.ones(2, 9, dtype=torch.long)
        inputs["attention_mask"][1, 6:] = 0
        ids[1, 6:] = 1
    return inputs


def voice():
    return dict(speaker_embeddings=torch.randn(2, 4, generator=seeded("voice")))


def frames(model):
    return torch.randn(2, 6, model.config.num_mel_bins, generator=seeded("frames"))


def plain(model):
    return dict(text(model, False), decoder_input_values=frames(model), **voice())


def masked(model):
    mask = torch.ones(2, 6, dtype=torch.long)
    mask[0, 4:] = 0
    return dict(text(model), decoder_input_values=frames(model), decoder_attention_mask=mask)


def spoken(model):
    labels = torch.randn(2, 12, model.config.num_mel_bins, generator=seeded("labels"))
    labels[1, 7:] = -100.0
    return dict(text(model), labels=labels, **voice())


def sound(mask=True):
    values = torch.randn(2, 97, generator=seeded("sound"))
    inputs = dict(input_values=values)
    if mask:
        inputs["attention_mask"] = torch.ones(2, 97, dtype=torch.long)
        inputs["attention_mask"][1, 60:] = 0
        values[1, 60:] = 0
    return inputs


def heard(model):
    return dict(sound(False), decoder_input_ids=torch.tensor([[2, 5, 6, 7], [2, 4, 4, 1]]))


def heard_masked(model):
    return dict(sound(), decoder_input_ids=torch.tensor([[2, 5, 6, 7], [2, 4, 4, 1]]), decoder_attention_mask=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]))


def written(model):
    return dict(sound(), labels=torch.tensor([[5, 6, 7, 2], [4, 4, 2, -100]]))


SPEAK = dict(plain=plain, masked=masked, grad=spoken)
HEAR = dict(plain=heard, masked=heard_masked, grad=written)

CASES = {
    "speecht5_speak": case("SpeechT5ForTextToSpeech", SMALL, "plain masked grad", inputs=SPEAK),
    "speecht5_speak_unguided": case("SpeechT5ForTextToSpeech", dict(SMALL, encoder_layers=1, reduction_factor=1, use_guided_attention_loss=False,
                                                                    speech_decoder_postnet_layers=1, hidden_act="relu"), "grad", inputs=SPEAK),
    "speecht5_hear": case("SpeechT5ForSpeechToText", dict(SMALL, encoder_layers=1), "plain masked grad", inputs=HEAR),
    "speecht5_hear_layer_norm": case("SpeechT5ForSpeechToText", dict(SMALL, decoder_layers=1, feat_extract_norm="layer", conv_bias=True, scale_embedding=True,
                                                                     num_conv_pos_embeddings=5), "grad", inputs=HEAR),
    "speecht5_vocoder": case("SpeechT5HifiGan", VOCODER, "frames single", call=lambda model, inputs: dict(waveform=model(**inputs)), inputs=dict(
        frames=lambda model: dict(spectrogram=torch.randn(2, 7, 3, generator=seeded("frames"))),
        single=lambda model: dict(spectrogram=torch.randn(5, 3, generator=seeded("frames"))))),
}

if __name__ == "__main__":
    main(CASES)
