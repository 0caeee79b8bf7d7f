"""Wav2Vec2, MMS and HuBERT: norms, kernels, masks, CTC and classifiers. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(vocab_size=9, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=17, conv_dim=[6, 5], conv_kernel=[5, 3],
             conv_stride=[3, 2], num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, pad_token_id=0,
             apply_spec_augment=False, classifier_proj_size=7, num_labels=3)
STABLE = dict(SMALL, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True, num_conv_pos_embeddings=5)


def sound(masked=True, **more):
    values = torch.randn(2, 97, generator=seeded("sound"))
    mask = torch.ones(2, 97, dtype=torch.long)
    mask[1, 60:] = 0
    values[mask == 0] = 0
    return dict(input_values=values, **(dict(attention_mask=mask) if masked else {}), **more)


def plain(model):
    return sound(False)


def masked(model):
    return sound()


def spelled(model):
    labels = torch.tensor([[1, 1, 3, 2, 8], [4, 5, -100, -100, -100]])
    return sound(labels=labels)


def classes(model):
    return sound(labels=torch.tensor([2, 0]))



BOTH = dict(plain=plain, masked=masked)

CASES = {
    "wav2vec2_model": case("Wav2Vec2Model", SMALL, "plain masked", inputs=BOTH),
    "wav2vec2_stable": case("Wav2Vec2Model", STABLE, "plain masked", inputs=BOTH),
    "wav2vec2_ctc": case("Wav2Vec2ForCTC", dict(SMALL, num_hidden_layers=1), "plain masked grad", inputs=dict(BOTH, grad=spelled)),
    "wav2vec2_ctc_mean": case("Wav2Vec2ForCTC", dict(STABLE, num_hidden_layers=1, ctc_loss_reduction="mean", adapter_attn_dim=4), "plain grad",
                              inputs=dict(plain=plain, grad=spelled)),
    "wav2vec2_classify": case("Wav2Vec2ForSequenceClassification", dict(SMALL, use_weighted_layer_sum=True), "plain masked grad", inputs=dict(BOTH, grad=classes)),
    "hubert_model": case("HubertModel", dict(SMALL, conv_pos_batch_norm=True, num_hidden_layers=1), "plain masked", inputs=BOTH),
    "hubert_ctc": case("HubertForCTC", dict(SMALL, feat_proj_layer_norm=False, num_hidden_layers=1), "plain grad", inputs=dict(plain=plain, grad=spelled)),
    "hubert_classify": case("HubertForSequenceClassification", dict(STABLE, num_hidden_layers=1), "masked grad", inputs=dict(masked=masked, grad=classes)),
}

if __name__ == "__main__":
    main(CASES)
