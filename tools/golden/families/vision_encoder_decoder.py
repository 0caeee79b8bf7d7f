"""An image encoder with a decoder of text: ViT, DeiT and Donut's Swin with GPT-2, BERT, TrOCR and mBART, of one width and of two. See common.py."""
import torch
import transformers
from common import GENERATION, case, main, seeded

SIDE = 8
VIT = dict(model_type="vit", hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=10, image_size=SIDE, patch_size=4)
GPT2 = dict(model_type="gpt2", vocab_size=21, n_embd=12, n_layer=2, n_head=3, n_positions=20, n_inner=9, bos_token_id=1, eos_token_id=2, add_cross_attention=True,
            is_decoder=True)
BERT = dict(model_type="bert", vocab_size=21, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=9, max_position_embeddings=20,
            type_vocab_size=2, add_cross_attention=True, is_decoder=True)
TROCR = dict(model_type="trocr", vocab_size=21, d_model=12, decoder_layers=2, decoder_attention_heads=3, decoder_ffn_dim=9, max_position_embeddings=20, pad_token_id=0,
             bos_token_id=1, eos_token_id=2, cross_attention_hidden_size=8, use_cache=True)
MBART = dict(model_type="mbart", vocab_size=21, d_model=12, decoder_layers=1, decoder_attention_heads=3, decoder_ffn_dim=9, max_position_embeddings=20, pad_token_id=0,
             bos_token_id=1, eos_token_id=2, add_cross_attention=True, is_decoder=True, scale_embedding=True, add_final_layer_norm=True)
DONUT = dict(model_type="donut-swin", image_size=SIDE, patch_size=1, embed_dim=4, depths=[2, 1], num_heads=[2, 2], window_size=4, mlp_ratio=2.0)
SPECIAL = dict(decoder_start_token_id=1, pad_token_id=0, eos_token_id=2)


def pixels(generator, rows=2):
    return (torch.randn(rows, 3, SIDE, SIDE, generator=generator) * 2).round() / 2


def plain(model):
    generator = seeded("plain")
    return dict(pixel_values=pixels(generator), decoder_input_ids=torch.randint(3, 20, (2, 5), generator=generator))


def masked(model):
    mask = torch.ones(2, 5, dtype=torch.long)
    mask[0, 3:] = 0
    return dict(plain(model), decoder_attention_mask=mask)


def grad(model):
    generator = seeded("grad")
    labels = torch.randint(3, 20, (2, 5), generator=generator)
    labels[1, 3:] = -100
    return dict(pixel_values=pixels(generator), labels=labels)


def prompts(model, spec, generator):
    return dict(pixel_values=pixels(generator).tolist())


def task_prompts(model, spec, generator):
    return dict(prompts(model, spec, generator), decoder_input_ids=torch.randint(3, 20, (2, 3), generator=generator).tolist())


def pair(encoder, decoder, io="plain masked grad", generate=GENERATION, prompts=prompts, **more):
    return case("VisionEncoderDecoderModel", dict(encoder=encoder, decoder=decoder, **SPECIAL, **more), io, generate,
                inputs=dict(plain=plain, masked=masked, grad=grad), prompts=prompts)


CASES = {
    "vit_gpt2": pair(VIT, GPT2),
    "deit_gpt2": pair(dict(VIT, model_type="deit", hidden_size=12, num_attention_heads=3), dict(GPT2, n_layer=1, scale_attn_by_inverse_layer_idx=True), "plain grad", ()),
    "vit_bert": pair(VIT, BERT),
    "vit_trocr": pair(VIT, TROCR),
    "vit_trocr_plain": pair(VIT, dict(TROCR, decoder_layers=1, use_learned_position_embeddings=False, layernorm_embedding=False, scale_embedding=True, activation_function="relu"),
                            "plain grad", GENERATION[:1]),
    "vit_mbart": pair(VIT, MBART, "plain grad", GENERATION[:1]),
    "donut": pair(DONUT, MBART, "plain grad", GENERATION),
    "donut_task": pair(DONUT, MBART, "plain", GENERATION, task_prompts),  # no start token goes before a prompt
}

if __name__ == "__main__":
    main(CASES)
