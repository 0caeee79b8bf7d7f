"""Writes tests/golden/train_char/: fifty training steps of a tiny character model, to be replayed step by step.

    python tools/golden/train_char.py TINYSHAKESPEARE OUTPUT_FOLDER

The model is GPT-2 with 2 layers, 2 heads, 64 channels, 32 positions, tied head, dropout 0, float32; its vocabulary is the sorted
characters of the whole text (65). Each step takes 8 rows of 32 characters from the first 20,000 and the loss of
GPT2LMHeadModel(input_ids=x, labels=x): the mean over 31 predictions a row. AdamW: learning rate 1e-3, constant; betas 0.9 and
0.95; eps 1e-8; weight decay 0.1 on parameters of two dimensions (embeddings too), none on biases and norms; no clipping.

  init/config.json, init/model.safetensors   the model before the first step
  batches.safetensors                        input_ids [50, 8, 32] I32
  losses.json                                per step: loss before the update, norm of all gradients; at the end: loss of batch 0
"""
import json
import os
import sys

import torch
from golden_common import fresh_folder
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

STEPS, ROWS, BLOCK = 50, 8, 32


def batches(text):
    letters = sorted(set(text))
    ids = torch.tensor([letters.index(c) for c in text[:20000]], dtype=torch.int32)
    starts = torch.randint(0, len(ids) - BLOCK, (STEPS, ROWS), generator=torch.Generator().manual_seed(7))
    return torch.stack([torch.stack([ids[s : s + BLOCK] for s in row]) for row in starts.tolist()]), len(letters)


def train(model, data):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for x in data.long():
        loss = model(input_ids=x, labels=x).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]).item())
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        final = model(input_ids=data[0].long(), labels=data[0].long()).loss.item()
    return {"loss": losses, "grad_norm": norms, "final_loss_of_batch_0": final}


def main(corpus, root):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    with open(corpus, encoding="utf-8") as f:
        data, vocab = batches(f.read())
    config = GPT2Config(vocab_size=vocab, n_positions=BLOCK, n_embd=64, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0,
                        attn_pdrop=0.0, summary_first_dropout=0.0, bos_token_id=None, eos_token_id=None)
    model = GPT2LMHeadModel._from_config(config, attn_implementation="eager").train()
    folder = fresh_folder(root, "train_char")
    init = os.path.join(folder, "init")
    model.save_pretrained(init)
    os.remove(os.path.join(init, "generation_config.json"))
    save_file({"input_ids": data}, os.path.join(folder, "batches.safetensors"))
    with open(os.path.join(folder, "losses.json"), "w") as f:
        json.dump(train(model, data), f, indent=1)
        f.write("\n")
    for name in ("init/model.safetensors", "batches.safetensors"):
        os.chmod(os.path.join(folder, name), 0o644)


if __name__ == "__main__":
    main(*sys.argv[1:])
