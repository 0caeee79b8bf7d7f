"""What the golden checkpoints of causal language models have in common: random parameters, inputs, expected outputs."""
import os
import shutil
import zlib

import torch
from safetensors.torch import save_file

BATCH, LENGTH = 3, 9


def randomise(model, name, spread=0.3):
    """Every parameter random, norms around 1: initial zeros and ones would hide mistakes."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        for key, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            is_norm = key.endswith("weight") and any(part in key for part in ("norm", "ln_"))
            p.copy_(1 + 0.3 * noise if is_norm else spread * noise)
    return model.eval()


def inputs_for(name, vocab):
    """input_ids and labels [3, 9], both with some zeros (a padding id, perhaps); labels also with -100, among them one row's end."""
    generator = torch.Generator().manual_seed(zlib.crc32(("inputs of " + name).encode()))
    ids = torch.randint(0, vocab, (BATCH, LENGTH), generator=generator)
    ids[0, 1] = ids[1, 5] = 0
    labels = ids.clone()
    labels[0, 3] = labels[1, 0] = -100
    labels[2, 6:] = -100
    return ids, labels


def padding_masks():
    left, right = torch.ones(BATCH, LENGTH, dtype=torch.long), torch.ones(BATCH, LENGTH, dtype=torch.long)
    left[1, :2] = 0
    left[2, :5] = 0
    right[0, 7:] = 0
    right[2, 4:] = 0
    return left, right


def positions():
    steps = torch.tensor([[1] * 8, [3, 1, 7, 2, 1, 11, 5, 2], [40, 1, 1, 1, 1, 60, 1, 30]])
    start = torch.tensor([[0], [2], [1]])
    return torch.cat([start, start + steps.cumsum(1)], 1)


def save(path, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    os.chmod(path, 0o644)


def run(model, hidden=False, **kwargs):
    """The model's outputs under the names of `mynah forward`, with the prefix out."""
    with torch.no_grad():
        y = model(**kwargs, output_hidden_states=hidden, use_cache=False)
    out = {"out.logits": y.logits.float()}
    if hidden:
        out.update({f"out.hidden_states.{i}": h.float() for i, h in enumerate(y.hidden_states)})
    return out


def gradients(model, ids, labels, name_on_disk=lambda key: key):
    """Loss and the gradient of every parameter; a tied weight appears once."""
    model.zero_grad()
    y = model(input_ids=ids, labels=labels, use_cache=False)
    y.loss.backward()
    out = {"out.loss": y.loss.float()}
    for key, p in model.named_parameters():
        out[f"out.grad.{name_on_disk(key)}"] = p.grad.float()
    return out


def greedy(model, name, vocab, pad=0):
    """Greedy continuations of a left-padded batch, without and with an end-of-sequence id that one row reaches early.

    Seeds whose two best logits ever come closer than 1e-3 are passed over, so that ids can be compared exactly.
    """
    for seed in range(100):
        generator = torch.Generator().manual_seed(zlib.crc32(f"prompt {seed} of {name}".encode()))
        ids = torch.randint(1, vocab, (3, 6), generator=generator)
        mask = torch.ones_like(ids)
        mask[1, :2] = 0
        mask[2, :4] = 0
        ids[mask == 0] = pad
        common = dict(attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=pad)
        y = model.generate(ids, eos_token_id=None, output_logits=True, return_dict_in_generate=True, **common)
        top = torch.stack(y.logits).topk(2).values
        margin = (top[..., 0] - top[..., 1]).min().item()
        new = y.sequences[:, 6:].tolist()
        unused = [t for t in range(1, vocab) if all(t not in row for row in new)]
        early = [t for t in new[0][2:6] if t not in new[0][:2] and t != pad]
        if margin < 1e-3 or not unused or not early:
            continue
        stopped = model.generate(ids, eos_token_id=early[0], **common)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "pad_token_id": torch.tensor([pad]),
            "unused_token_id": torch.tensor([unused[0]]),
            "out.sequences": y.sequences,
            "eos_token_id": torch.tensor([early[0]]),
            "out.sequences_eos": stopped,
        }
    raise RuntimeError(f"{name}: no seed without near ties")


def fresh_folder(root, case):
    folder = os.path.join(root, case)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder
