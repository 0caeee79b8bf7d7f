"""Writes tests/golden/models/<case>/: tiny random Llama and GPT-2 checkpoints with inputs and the outputs of transformers.

    python tools/golden/models.py OUTPUT_FOLDER [case ...]

Reference: float32, evaluation mode, eager attention. See tests/golden/README.md for the cases and the tensors of each file.
"""
import json
import os
import sys

import torch
from golden_common import fresh_folder, gradients, greedy, inputs_for, padding_masks, positions, randomise, run, save
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2LMHeadModel, LlamaForCausalLM

# Small and tiny shapes for cases that vary one thing; 19, 37 and 33 are odd on purpose.
SMALL = dict(vocab_size=33, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, intermediate_size=19,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
TINY = dict(SMALL, hidden_size=16, num_attention_heads=2, num_key_value_heads=1)
BASE = dict(SMALL, vocab_size=67, num_hidden_layers=2, intermediate_size=37, max_position_embeddings=512)
GPT2_SMALL = dict(vocab_size=33, n_positions=20, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
GPT2_BASE = dict(GPT2_SMALL, vocab_size=67, n_positions=40, n_embd=24, n_layer=2, n_head=3)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=4096)
LONGROPE = dict(rope_type="longrope", short_factor=[1.0, 1.1, 1.3, 1.5], long_factor=[1.5, 2.0, 4.0, 7.0])
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128)

# case: (configuration, options). Options: files (which outputs), short (an input of 5 tokens too), on_disk (how the folder is rewritten).
LLAMA = {
    "llama_base": (BASE, dict(files="plain left right position grad generate")),
    "llama_mha": (dict(SMALL, num_key_value_heads=4), dict(files="plain left generate")),
    "llama_mqa": (dict(SMALL, num_key_value_heads=1), dict(files="plain left generate")),
    "llama_bias": (dict(SMALL, attention_bias=True, mlp_bias=True), {}),
    "llama_tied": (dict(TINY, tie_word_embeddings=True, num_hidden_layers=2), {}),
    "llama_head_dim": (dict(SMALL, head_dim=12), {}),
    "llama_rope_theta": (dict(TINY, rope_theta=500.0), dict(files="plain position generate")),
    "llama_rope_linear": (dict(TINY, rope_scaling=dict(rope_type="linear", factor=2.5)), dict(files="plain position grad generate")),
    "llama_rope_old_type": (dict(TINY, rope_scaling=dict(type="linear", factor=4.0)), dict(files="plain position")),
    "llama_rope_dynamic": (dict(TINY, max_position_embeddings=6, rope_scaling=dict(rope_type="dynamic", factor=3.0)),
                           dict(files="plain short grad")),
    "llama_rope_yarn": (dict(TINY, rope_scaling=YARN), dict(files="plain position grad generate")),
    "llama_rope_yarn_attention": (dict(TINY, rope_scaling=dict(YARN, attention_factor=1.3, beta_fast=16.0, beta_slow=2.0)),
                                  dict(files="plain position")),
    "llama_rope_yarn_mscale": (dict(TINY, rope_scaling=dict(YARN, mscale=0.7, mscale_all_dim=1.4)), dict(files="plain position")),
    "llama_rope_yarn_smooth": (dict(TINY, rope_scaling=dict(YARN, truncate=False)), dict(files="plain position")),
    "llama_rope_longrope": (dict(TINY, max_position_embeddings=24, original_max_position_embeddings=6, rope_scaling=LONGROPE),
                            dict(files="plain short grad")),
    "llama_rope_llama3": (dict(TINY, rope_theta=500.0, rope_scaling=LLAMA3), dict(files="plain position grad generate")),
    "llama_rope_parameters": (dict(TINY, rope_theta=500.0, rope_scaling=LLAMA3), dict(files="plain position", on_disk="rope_parameters")),
    "llama_rms_eps": (dict(TINY, rms_norm_eps=0.05), dict(files="plain grad")),
    "llama_pad_id": (dict(TINY, pad_token_id=0), dict(files="plain grad")),
    "llama_gelu": (dict(TINY, hidden_act="gelu"), dict(files="plain grad")),
    "llama_gelu_tanh": (dict(TINY, hidden_act="gelu_pytorch_tanh"), dict(files="plain grad")),
    "llama_relu": (dict(TINY, hidden_act="relu"), dict(files="plain grad")),
    "llama_bf16": (TINY, dict(files="plain grad", on_disk="bf16")),
    "llama_sharded": (TINY, dict(files="plain grad", on_disk="sharded")),
    "llama_bin": (TINY, dict(files="plain grad", on_disk="bin")),
}
GPT2 = {
    "gpt2_base": (GPT2_BASE, dict(files="plain left right position grad generate")),
    "gpt2_untied": (dict(GPT2_SMALL, tie_word_embeddings=False), {}),
    "gpt2_inner": (dict(GPT2_SMALL, n_inner=37), {}),
    "gpt2_gelu": (dict(GPT2_SMALL, activation_function="gelu"), dict(files="plain grad")),
    "gpt2_relu": (dict(GPT2_SMALL, activation_function="relu"), dict(files="plain grad")),
    "gpt2_inverse_layer": (dict(GPT2_SMALL, n_layer=2, scale_attn_by_inverse_layer_idx=True), {}),
    "gpt2_unscaled": (dict(GPT2_SMALL, scale_attn_weights=False), dict(files="plain grad")),
    "gpt2_reorder": (dict(GPT2_SMALL, n_layer=2, reorder_and_upcast_attn=True, scale_attn_by_inverse_layer_idx=True),
                     dict(files="plain grad")),
    "gpt2_bare_names": (GPT2_SMALL, dict(files="plain grad", on_disk="bare_names")),
    "gpt2_buffers": (dict(GPT2_SMALL, n_positions=16), dict(files="plain grad", on_disk="buffers")),
    "gpt2_eps": (dict(GPT2_SMALL, layer_norm_epsilon=0.05), dict(files="plain grad")),
}
DEFAULT_FILES = "plain left grad generate"


def edit_json(path, edit):
    with open(path) as f:
        data = json.load(f)
    edit(data)
    with open(path, "w") as f:
        json.dump(data, f, indent=2, sort_keys=True)
        f.write("\n")


def edit_weights(folder, edit):
    path = os.path.join(folder, "model.safetensors")
    save_file(edit(load_file(path)), path, metadata={"format": "pt"})


def to_rope_parameters(config):
    """The spelling of transformers 5: one object, no rope_theta and no rope_scaling beside it."""
    config["rope_parameters"] = dict(config.pop("rope_scaling"), rope_theta=config.pop("rope_theta"))
    config["transformers_version"] = "5.0.0"


def write_checkpoint(model, folder, on_disk):
    """Saves `model` in the given disguise; returns the map from parameter names to names on disk."""
    if on_disk == "bf16":
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(p.bfloat16().float())
    stored = model
    if on_disk == "bf16":
        stored = type(model)(model.config)
        stored.load_state_dict(model.state_dict())
        stored = stored.bfloat16()
    stored.save_pretrained(folder, max_shard_size="6KB" if on_disk == "sharded" else "5GB")
    model.config.dtype = None
    rename = lambda key: key
    if on_disk == "rope_parameters":
        edit_json(os.path.join(folder, "config.json"), to_rope_parameters)
    elif on_disk == "bin":
        os.remove(os.path.join(folder, "model.safetensors"))
        torch.save(model.state_dict(), os.path.join(folder, "pytorch_model.bin"))
    elif on_disk == "bare_names":
        rename = lambda key: key.removeprefix("transformer.")
        edit_weights(folder, lambda w: {rename(k): v for k, v in w.items()})
    elif on_disk == "buffers":
        n = model.config.n_positions
        triangle = torch.tril(torch.ones(n, n)).to(torch.uint8).view(1, 1, n, n)
        edit_weights(folder, lambda w: dict(w, **{f"transformer.h.{i}.attn.bias": triangle.clone() for i in range(model.config.n_layer)},
                                            **{f"transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(model.config.n_layer)}))
    os.remove(os.path.join(folder, "generation_config.json"))
    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)
    return rename


def write_case(root, name, kind, config, options):
    config = kind.config_class(**config)
    config._attn_implementation = "eager"
    make = lambda: kind._from_config(config, attn_implementation="eager")
    model = randomise(make(), name)
    folder = fresh_folder(root, name)
    rename = write_checkpoint(model, folder, options.get("on_disk"))
    state = model.state_dict()

    def fresh():  # dynamic and longrope keep state between calls
        m = make().eval()
        m.load_state_dict(state)
        return m

    files = options.get("files", DEFAULT_FILES).split()
    ids, labels = inputs_for(name, config.vocab_size)
    left, right = padding_masks()
    path = lambda which: os.path.join(folder, f"io_{which}.safetensors")
    plain = run(fresh(), hidden=True, input_ids=ids)
    save(path("plain"), {"input_ids": ids, **plain})
    for which, mask in (("left", left), ("right", right)):
        if which in files:
            save(path(which), {"input_ids": ids, "attention_mask": mask, **run(fresh(), input_ids=ids, attention_mask=mask)})
    if "position" in files:
        at = positions().remainder(config.max_position_embeddings) if kind is GPT2LMHeadModel else positions()
        save(path("position"), {"input_ids": ids, "position_ids": at, **run(fresh(), input_ids=ids, position_ids=at)})
    if "short" in files:
        save(path("short"), {"input_ids": ids[:, :5].contiguous(), **run(fresh(), input_ids=ids[:, :5])})
    if "grad" in files:
        save(path("grad"), {"input_ids": ids, "labels": labels, **gradients(fresh(), ids, labels, rename)})
    if "generate" in files:
        save(path("generate"), greedy(fresh(), name, config.vocab_size))
    check_reload(folder, ids, plain["out.logits"], options.get("on_disk"))


def check_reload(folder, ids, logits, on_disk):
    """The folder must mean the same to transformers itself."""
    if on_disk == "rope_parameters":
        return  # 4.57 does not read this spelling
    again = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    difference = (run(again, input_ids=ids)["out.logits"] - logits).abs().max().item()
    assert difference == 0, f"{folder}: reloading changes logits by {difference}"


def main(root, *only):
    torch.set_num_threads(1)
    for cases, kind in ((LLAMA, LlamaForCausalLM), (GPT2, GPT2LMHeadModel)):
        for name, (config, options) in cases.items():
            if not only or name in only:
                write_case(root, name, kind, config, options)
                folder = os.path.join(root, name)
                size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
                print(f"{name}: {size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
