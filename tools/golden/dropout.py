"""Losses and gradient norms of the golden models in training mode, with the dropout masks that mynah draws.

    python dropout.py ../../tests/golden [CASE...]

torch's dropout is replaced by masks of the counter-based generator, counted in the order of the calls, so that both programs drop
the same elements and the results can be compared like any other. One row each: there mynah's calls are those of the reference.
"""

import json
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

SEED, STEP = 7, 3
DROPOUT = 4  # base/random.h: RandomPurpose::dropout
M32 = np.uint64(0xFFFFFFFF)


def philox(stream, positions):
    c = [positions & M32, positions >> np.uint64(32), np.full_like(positions, stream & 0xFFFFFFFF), np.full_like(positions, stream >> 32)]
    k0, k1 = (SEED & 0xFFFFFFFF) ^ (DROPOUT * 0x9E3779B9 & 0xFFFFFFFF), SEED >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & M32, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & M32]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, 1)


class Masks:
    def __init__(self):
        self.calls = 0

    def stream(self):
        self.calls += 1
        return STEP << 20 | self.calls - 1

    def bits(self, count):
        return philox(self.stream(), np.arange((count + 3) // 4, dtype=np.uint64)).reshape(-1)[:count]

    # For weights [1, heads, queries, keys] as kernels/attention.h has it: key j of a query's head takes word j / 16 % 4 of the position
    # (query * heads + head) * 2^32 + j / 64 * 16 + j % 16.
    def attention_bits(self, heads, queries, keys):
        rows = np.arange(queries, dtype=np.uint64) * np.uint64(heads) + np.arange(heads, dtype=np.uint64)[:, None]
        key = np.arange(keys, dtype=np.uint64)
        positions = rows[:, :, None] << np.uint64(32) | key // 64 * 16 + key % 16
        words = philox(self.stream(), positions.reshape(-1))
        return words[np.arange(len(words)), np.tile(key // 16 % 4, heads * queries)]

    def dropout(self, x, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return x
        # Weights are known by their sums: no other numbers that are dropped have rows of sum 1.
        weights = x.dim() > 2 and bool((x >= 0).all()) and bool(torch.all((x.sum(-1) - 1).abs() < 1e-4))
        bits = self.attention_bits(*x.shape[-3:]) if weights else self.bits(x.numel())
        assert len(bits) == x.numel()
        keep = torch.from_numpy(bits >= np.uint64(int(p * 2**32)))
        return x * keep.reshape(x.shape).to(x.dtype) / (1 - p)

    def rand(self, *shape, **_):
        shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        if len(shape) == 0:  # whether a layer is skipped
            return torch.tensor(float(self.bits(1)[0] >> np.uint64(8)) * 2**-24) if self.layers else torch.tensor(1.0)
        count = int(np.prod(shape))  # stochastic depth
        return torch.from_numpy(self.bits(count).astype(np.float64) / 2**32).reshape(shape).float()

    # What SpecAugment draws: one stream for each set of spans.
    def rounding(self, _):
        self.drawn_from, self.drawn = self.stream(), 0
        return np.array([self.next()])

    def next(self):
        self.drawn += 1
        return float(philox(self.drawn_from, np.array([self.drawn - 1], dtype=np.uint64))[0, 0] >> np.uint64(8)) * 2**-24

    def choice(self, places, count, replace):
        assert not replace
        places = list(places)
        for i in range(count):
            chosen = i + int(self.next() * (len(places) - i))
            places[i], places[chosen] = places[chosen], places[i]
        return np.array(places[:count])


BART = {"dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.1, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0, "classifier_dropout": 0.15}
BERT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3}
GPT = {"attn_pdrop": 0.3, "resid_pdrop": 0.2, "embd_pdrop": 0.1}
WAV = {"hidden_dropout": 0.1, "attention_dropout": 0.3, "activation_dropout": 0.2, "feat_proj_dropout": 0.15, "final_dropout": 0.25, "layerdrop": 0.0, "apply_spec_augment": False}
T5 = {"dropout_rate": 0.2, "classifier_dropout": 0.3}
XLNET = {"dropout": 0.2, "summary_last_dropout": 0.3}
MODERN = {"embedding_dropout": 0.1, "attention_dropout": 0.2, "mlp_dropout": 0.3, "classifier_dropout": 0.4}
VIT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3}
ATTENTION = {"attention_dropout": 0.3}
AUGMENT = {"apply_spec_augment": True, "mask_time_prob": 0.4, "mask_time_length": 2, "mask_time_min_masks": 1,
           "mask_feature_prob": 0.3, "mask_feature_length": 3, "mask_feature_min_masks": 1}
CASES = {  # by folder; a word behind it tells cases of one folder apart
    "gpt2_base": GPT, "gpt2_tokens": GPT | {"classifier_dropout": 0.25}, "gpt1_base": GPT, "gptj_base": GPT,
    "gpt_neo_base": {"attention_dropout": 0.3, "resid_dropout": 0.2, "embed_dropout": 0.1},
    "gpt_neox_base": {"hidden_dropout": 0.2} | ATTENTION, "gpt_neox_sequential": {"hidden_dropout": 0.2} | ATTENTION,
    "bloom_base": {"hidden_dropout": 0.2} | ATTENTION, "falcon_7b": {"hidden_dropout": 0.2}, "falcon_sequential": {"hidden_dropout": 0.2, "attention_dropout": 0.1},
    # not falcon_rw: the reference's eager attention, which this needs, scales its bf16 slopes otherwise than its sdpa attention does
    "opt_base": {"dropout": 0.2} | ATTENTION, "opt_350m": {"dropout": 0.2, "layerdrop": 0.5} | ATTENTION,
    "phi_base": {"resid_pdrop": 0.2, "embd_pdrop": 0.1} | ATTENTION, "phi3_base": {"resid_pdrop": 0.2} | ATTENTION,
    "stablelm_base": {"hidden_dropout": 0.2} | ATTENTION, "stablelm_parallel": {"hidden_dropout": 0.2} | ATTENTION,
    "starcoder2_base": {"residual_dropout": 0.2, "embedding_dropout": 0.1} | ATTENTION, "llama_base": ATTENTION, "llama_tokens": {"classifier_dropout": 0.25},
    "mixtral_balance": ATTENTION, "gemma2_base": ATTENTION, "cohere_base": ATTENTION, "mamba_base": {},
    "bert_masked_lm": BERT, "bert_classify": BERT | {"classifier_dropout": 0.4}, "bert_tokens": BERT, "bert_answers": BERT, "bert_relative_query": BERT,
    "roberta_classify": BERT | {"classifier_dropout": 0.4}, "roberta_tokens": BERT, "mpnet_classify": BERT, "mpnet_masked_lm": BERT,
    "distilbert_classify": {"dropout": 0.2, "attention_dropout": 0.3, "seq_classif_dropout": 0.4}, "distilbert_tokens": {"dropout": 0.2, "attention_dropout": 0.3},
    "distilbert_answers": {"dropout": 0.2, "attention_dropout": 0.3, "qa_dropout": 0.25},
    "albert_classify": BERT | {"classifier_dropout_prob": 0.4}, "albert_tokens": BERT | {"classifier_dropout_prob": 0.4}, "albert_pretraining": BERT | {"classifier_dropout_prob": 0.4},
    "albert_groups": BERT, "electra_classify": BERT | {"classifier_dropout": 0.4}, "electra_generator": BERT, "electra_discriminator": BERT,
    "deberta_v2_classify": BERT | {"pooler_dropout": 0.25, "cls_dropout": 0.4}, "deberta_v2_answers": BERT, "deberta_v2_lm": BERT,
    "modernbert_classify": MODERN, "modernbert_tokens": MODERN,
    "t5_base": T5, "t5_gated": T5, "t5_classify": T5, "t5_tokens": T5, "umt5_base": T5,
    "bart_base": BART, "bart_classify": BART, "bart_answers": BART, "bart_decoder": BART, "mbart_base": BART, "mbart_classify": BART,
    "marian_base": BART, "pegasus_base": BART, "m2m_100_base": BART | {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5},
    "whisper_base": BART | {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5},
    "xlnet_lm": XLNET, "xlnet_summary": XLNET, "xlnet_classify": XLNET, "xlnet_tokens": XLNET, "xlnet_untied": XLNET, "xlnet_answers": XLNET,
    "vit_classify": VIT, "deit_classify": VIT, "yolos_detect": VIT, "ast_classify": VIT,
    "swin_classify": {"hidden_dropout_prob": 0.2, "drop_path_rate": 0.5}, "convnext_classify": {"drop_path_rate": 0.5}, "segformer_classify": VIT | {"drop_path_rate": 0.5},
    "segformer_labels": VIT | {"classifier_dropout_prob": 0.3}, "detr_detect": {"dropout": 0.2, "activation_dropout": 0.1} | ATTENTION,
    "efficientnet_classify": {"dropout_rate": 0.3, "drop_connect_rate": 0.5},
    "wav2vec2_ctc": WAV, "hubert_ctc": WAV | {"layerdrop": 0.01},
    "wav2vec2_ctc augmented": WAV | AUGMENT, "hubert_ctc augmented": WAV | {"layerdrop": 0.01} | AUGMENT,
    "whisper_base augmented": BART | {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5} | AUGMENT,
}


def first_row(name, value):
    return value if name.startswith("labels.") else value[:1].clone()


def run(folder, changes):
    config = transformers.AutoConfig.from_pretrained(folder)
    for key, value in changes.items():
        setattr(config, key, value)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder, config=config, attn_implementation="eager", torch_dtype=torch.float32).train()
    masks = Masks()
    masks.layers = any(changes.get(k, 0) > 0 for k in ("layerdrop", "encoder_layerdrop", "decoder_layerdrop"))
    inputs = {k: first_row(k, v) for k, v in load_file(os.path.join(folder, "io_grad.safetensors")).items()
              if not k.startswith(("out.", "grad.")) and (not k.startswith("labels.") or k.startswith("labels.0.")) and k not in ("attention_mask", "decoder_attention_mask")}
    inputs = {k: v.long() if not v.is_floating_point() else v for k, v in inputs.items()}
    names = sorted(inputs)
    objects = {k.split(".", 2)[2]: inputs.pop(k) for k in names if k.startswith("labels.0.")}
    if objects:
        inputs["labels"] = [objects]
    kept = torch.nn.functional.dropout, torch.rand, np.random.rand, np.random.choice
    torch.nn.functional.dropout, torch.rand, np.random.rand, np.random.choice = masks.dropout, masks.rand, masks.rounding, masks.choice
    try:
        loss = model(**inputs).loss
    finally:
        torch.nn.functional.dropout, torch.rand, np.random.rand, np.random.choice = kept
    loss.backward()
    norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in model.parameters() if p.grad is not None))
    return {"config": changes, "inputs": names, "loss": loss.item(), "grad_norm": norm.item(), "calls": masks.calls}


def main(golden):
    only = sys.argv[2:]
    out = {}
    for name, changes in CASES.items():
        if only and name not in only:
            continue
        try:
            out[name] = run(os.path.join(golden, "models", name.split()[0]), changes)
        except Exception as e:
            print(name, type(e).__name__, str(e)[:300], file=sys.stderr)
            continue
        print(name, out[name]["loss"], out[name]["grad_norm"], out[name]["calls"])
    path = os.path.join(golden, "dropout.json")
    if only:
        with open(path) as f:
            out = json.load(f) | out
    if out:
        with open(path, "w") as f:
            f.write("{" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()) + "}\n")


main(sys.argv[1])
