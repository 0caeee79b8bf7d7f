"""Writes tests/golden/models/ct2_whisper*: Whisper in CTranslate2's layout, as ctranslate2's converter writes it, with the outputs of the
same weights in transformers. See families/common.py.

    python tools/golden/ct2_whisper.py OUTPUT_FOLDER
"""
import json
import os
import struct
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "families"))
import common  # noqa: E402
import whisper  # noqa: E402

TYPES = {np.dtype(t): i for i, t in enumerate((np.float32, np.int8, np.int16, np.int32, np.float16))}


def text(s):
    data = s.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def variables(model):
    """Names of WhisperSpec -> arrays, from a model's weights."""
    state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    config, out = model.config, {}

    def linear(name, *parts):
        out[name + "/weight"] = np.concatenate([state[p + ".weight"] for p in parts])
        out[name + "/bias"] = np.concatenate([state.get(p + ".bias", np.zeros(state[p + ".weight"].shape[0], np.float32)) for p in parts])

    def norm(name, part):
        out[name + "/gamma"], out[name + "/beta"] = state[part + ".weight"], state[part + ".bias"]

    for side, layers, heads in (("encoder", config.encoder_layers, config.encoder_attention_heads), ("decoder", config.decoder_layers, config.decoder_attention_heads)):
        out[side + "/num_heads"] = np.array(heads, np.int16)
        out[side + "/position_encodings/encodings"] = state[f"model.{side}.embed_positions.weight"]
        norm(side + "/layer_norm", f"model.{side}.layer_norm")
        for i in range(layers):
            to, of = f"{side}/layer_{i}", f"model.{side}.layers.{i}"
            linear(to + "/self_attention/linear_0", *(f"{of}.self_attn.{p}_proj" for p in "qkv"))
            linear(to + "/self_attention/linear_1", of + ".self_attn.out_proj")
            norm(to + "/self_attention/layer_norm", of + ".self_attn_layer_norm")
            if side == "decoder":
                linear(to + "/attention/linear_0", of + ".encoder_attn.q_proj")
                linear(to + "/attention/linear_1", of + ".encoder_attn.k_proj", of + ".encoder_attn.v_proj")
                linear(to + "/attention/linear_2", of + ".encoder_attn.out_proj")
                norm(to + "/attention/layer_norm", of + ".encoder_attn_layer_norm")
            linear(to + "/ffn/linear_0", of + ".fc1")
            linear(to + "/ffn/linear_1", of + ".fc2")
            norm(to + "/ffn/layer_norm", of + ".final_layer_norm")
    for name in ("conv1", "conv2"):
        linear("encoder/" + name, "model.encoder." + name)
    out["decoder/embeddings/weight"] = state["model.decoder.embed_tokens.weight"]
    for name, value in (("scale_embeddings", 0), ("pre_norm", 1), ("activation", 3), ("alibi", 0), ("start_from_zero_embedding", 0)):
        out["decoder/" + name] = np.array(value, np.int8)
    for name, value in (("alignment_heads", 1), ("alignment_layer", -1)):
        out["decoder/" + name] = np.array(value, np.int16)
    return out


def stored(arrays, kind):
    """The arrays as a conversion to `kind` keeps them, and what they stand for."""
    kept, meant = {}, {}
    for name, a in arrays.items():
        matrix = name.endswith("/weight")
        if a.dtype != np.float32:
            kept[name] = a
        elif kind == "float16":
            kept[name] = a.astype(np.float16)
            meant[name] = kept[name].astype(np.float32)
        elif matrix and kind == "int8":
            rows = a.reshape(a.shape[0], -1)
            scale = (127 / np.abs(rows).max(1)).astype(np.float32)
            kept[name], kept[name + "_scale"] = np.rint(rows * scale[:, None]).astype(np.int8).reshape(a.shape), scale
            meant[name] = (kept[name].reshape(rows.shape).astype(np.float32) / scale[:, None]).reshape(a.shape)
        elif matrix and kind == "int16":
            scale = np.float32(1024 / np.abs(a).max())
            kept[name], kept[name + "_scale"] = np.rint(a * scale).astype(np.int16), np.array(scale, np.float32)
            meant[name] = kept[name].astype(np.float32) / scale
        else:
            kept[name] = a
            meant[name] = a
    return kept, meant


def take_back(model, meant):
    """Gives the model the weights that were stored."""
    state = model.state_dict()
    for name, a in meant.items():
        current = variables(model)[name]
        if np.array_equal(a, current):
            continue
        parts = []  # the parameters that lie in the array, in order
        target = torch.tensor(a)
        for key, p in state.items():
            if p.numel() and p.shape[1:] == target.shape[1:] and key != "proj_out.weight":
                at = [i for i in range(0, current.shape[0] - p.shape[0] + 1) if np.array_equal(current[i:i + p.shape[0]], p.numpy())]
                parts += [(i, key) for i in at[:1]]
        for i, key in parts:
            state[key].copy_(target[i:i + state[key].shape[0]])


def write(root, name, kind):
    spec = common.case("WhisperForConditionalGeneration", dict(whisper.SMALL, encoder_layers=1), "plain", inputs=whisper.BOTH)
    model = common.randomise(common.build(spec), name, 0.3)
    kept, meant = stored(variables(model), kind)
    with torch.no_grad():
        take_back(model, meant)
    folder = common.fresh(root, name)
    with open(os.path.join(folder, "model.bin"), "wb") as f:
        f.write(struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(kept)))
        for key in sorted(kept):
            a = np.ascontiguousarray(kept[key])
            f.write(text(key) + struct.pack("<B", kept[key].ndim) + struct.pack(f"<{kept[key].ndim}I", *kept[key].shape) + struct.pack("<BI", TYPES[a.dtype], a.nbytes) + a.tobytes())
        f.write(struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight"))
    words = [f"w{i}" for i in range(41)]
    for i, token in {30: "<|endoftext|>", 31: "<|startoftranscript|>", 32: "<|en|>", 33: "<|fr|>", 34: "<|translate|>", 35: "<|transcribe|>", 36: "<|startofprev|>",
                     37: "<|nocaptions|>", 38: "<|notimestamps|>"}.items():
        words[i] = token
    with open(os.path.join(folder, "vocabulary.txt"), "w") as f:
        f.write("\n".join(words) + "\n")
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(dict(suppress_ids=[3, 31], suppress_ids_begin=[2, 30], lang_ids=[32, 33], alignment_heads=[[0, 0]]), f)
    common.write_io(model, spec, name, folder, "plain", {})
    print(name, sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for kind in ("float16", "int8", "int16"):
        write(sys.argv[1], f"ct2_whisper_{kind}", kind)
