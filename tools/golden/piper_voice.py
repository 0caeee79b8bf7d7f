"""Writes tests/golden/models/piper_voice: a tiny random voice as Piper's exporter leaves it, VOICE.onnx with VOICE.onnx.json, and what
the same weights give as transformers' VitsModel. The graph holds the nodes that name weights and say how convolutions slide, no more.

    python tools/golden/piper_voice.py OUTPUT_FOLDER
"""
import json
import os
import shutil
import sys

import onnx
import torch
import transformers
from onnx import helper, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "families"))
from common import made, randomise, save, seeded  # noqa: E402
from vits import VOICES  # noqa: E402

CONFIG = dict(VOICES, num_hidden_layers=1, wavenet_dilation_rate=2)
REPLACED = {"text_encoder": {"embed_tokens": "emb", "project": "proj"},
            "duration_predictor": {"conv_pre": "pre", "conv_proj": "proj", "conv_dds": "convs", "convs_dilated": "convs_sep", "convs_pointwise": "convs_1x1",
                                   "translate": "m"},
            "flow": {"conv_pre": "pre", "conv_post": "post", "wavenet": "enc"}, "decoder": {"upsampler": "ups"}}
SHORT = {"text_encoder": "enc_p", "duration_predictor": "dp", "flow": "flow", "decoder": "dec"}
ATTENTION = {"q_proj": "conv_q", "k_proj": "conv_k", "v_proj": "conv_v", "out_proj": "conv_o"}


def original_name(name):
    """The name in the implementation that Piper trains; None for what its exporter leaves out."""
    p = name.split(".")
    if p[0] == "posterior_encoder" or name.startswith(("duration_predictor.post_", "duration_predictor.flows.1.")):
        return None
    if p[0] == "embed_speaker":
        return "emb_g.weight"
    norm = len(p) > 2 and "norm" in p[-2] or "norms_" in name
    if norm:
        p[-1] = {"weight": "gamma", "bias": "beta"}[p[-1]]
    if name.startswith("text_encoder.encoder.layers."):
        number, part, rest = p[3], p[4], p[5:]
        if part in ("layer_norm", "final_layer_norm"):
            return ".".join(["enc_p.encoder", "norm_layers_1" if part == "layer_norm" else "norm_layers_2", number] + rest)
        return ".".join(["enc_p.encoder", "attn_layers" if part == "attention" else "ffn_layers", number] + [ATTENTION.get(r, r) for r in rest])
    if p[0] == "duration_predictor" and p[1] == "flows" and p[2] != "0":
        p[2] = str(2 * int(p[2]) - 1)
    if p[0] == "flow":
        p[2] = str(2 * int(p[2]))
    return ".".join([SHORT[p[0]]] + [REPLACED[p[0]].get(r, r) for r in p[1:]])


def write_voice(model, path):
    initialisers, nodes = [], []
    tensors = dict(model.state_dict())
    for key in [k for k in tensors if k.endswith("original0")]:
        base = key.removesuffix(".parametrizations.weight.original0")
        g, v = tensors.pop(key), tensors.pop(base + ".parametrizations.weight.original1")
        tensors[base + ".weight"] = g * v / v.norm(dim=(1, 2), keepdim=True)
    folded = {n for n in tensors if "wavenet" in n and n.endswith("weight")}
    modules = dict(model.named_modules())
    for number, (name, tensor) in enumerate(sorted(tensors.items())):
        new = original_name(name)
        if new is None:
            continue
        if new == "dp.flows.0.log_scale":
            new, tensor = "/dp/flows.0/Exp_output_0", torch.exp(-tensor)
        if ".attn_layers." in new and new.endswith("weight"):
            tensor = tensor.unsqueeze(-1)
        stem = new.removesuffix(".weight")
        stored = f"onnx::Conv_{8000 + number}" if name in folded else "sid" if new == "enc_p.emb.weight" else new
        initialisers.append(numpy_helper.from_array(tensor.contiguous().numpy(), stored))
        where = "/" + stem.replace(".", "/").replace("flows/", "flows.")
        module = modules.get(name.removesuffix(".weight"))
        if stored == "sid":
            nodes.append(helper.make_node("Gather", ["sid", "input"], ["e"], name="/enc_p/emb/Gather"))
        elif tensor.ndim == 3 and new.endswith("weight"):
            transposed = isinstance(module, torch.nn.ConvTranspose1d)
            slide = dict(strides=[module.stride[0]], dilations=[module.dilation[0]]) if hasattr(module, "stride") else dict(strides=[1], dilations=[1])
            bias = [stem + ".bias"] if name.removesuffix("weight") + "bias" in tensors else []
            nodes.append(helper.make_node("ConvTranspose" if transposed else "Conv", ["x", stored] + bias, [f"y{number}"], name=where + "/Conv", **slide))
    graph = helper.make_graph(nodes, "voice", [], [], initialisers)
    onnx.save(helper.make_model(graph), path)


def main():
    torch.set_num_threads(1)
    folder = os.path.join(sys.argv[1], "piper_voice")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = randomise(made(transformers.VitsModel, transformers.VitsConfig(**CONFIG)), "piper voice", 0.3)
    write_voice(model, os.path.join(folder, "voice.onnx"))
    description = {"audio": {"sample_rate": 8000}, "espeak": {"voice": "en-us"}, "inference": {"noise_scale": 0, "length_scale": 1, "noise_w": 0},
                   "phoneme_type": "text", "num_speakers": 3, "speaker_id_map": {"anna": 0, "ben": 1, "cleo": 2},
                   "phoneme_id_map": {c: [i] for i, c in enumerate("_^$ abcdefg")}}
    with open(os.path.join(folder, "voice.onnx.json"), "w") as f:
        json.dump(description, f)
    ids = torch.randint(0, 11, (1, 9), generator=seeded("piper ids"))
    for which, inputs in [("plain", dict(input_ids=ids)), ("voice", dict(input_ids=ids, speaker_id=torch.tensor([1])))]:
        with torch.no_grad():
            y = model(**inputs)
        save(os.path.join(folder, f"io_{which}.safetensors"), {**inputs, **{f"out.{k}": y[k].float() for k in ("waveform", "sequence_lengths", "spectrogram")}})
    print(sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)))


if __name__ == "__main__":
    main()
