"""Whisper from faster-whisper's folder (CTranslate2's model.bin, stored in floats) as a file of whisper.cpp, in 16 bits as whisper.cpp ships them.

    python bench/whisper_ggml.py WHISPER_FOLDER OUT.bin

Needs numpy, tokenizers and transformers (the mel filters). Formats: CTranslate2's model_spec.py; whisper_model_load of whisper.cpp.
"""
import json
import os
import struct
import sys

sys.path.pop(0)  # bench/tokenizers.py is not the package of that name

import numpy  # noqa: E402
from transformers import WhisperFeatureExtractor  # noqa: E402

MAGIC, F32, F16 = 0x67676D6C, 0, 1
TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def variables(path):
    """The arrays of a model.bin by name, those that stand for others included."""
    data = open(path, "rb").read()
    at = 0

    def number(kind):
        nonlocal at
        value, = struct.unpack_from("<" + kind, data, at)
        at += struct.calcsize(kind)
        return value

    def text():
        nonlocal at
        size = number("H")
        at += size
        return data[at - size:at - 1].decode()

    version, spec = number("I"), text()
    if version != 6 or spec != "WhisperSpec":
        sys.exit(f"{path}: version {version} of {spec}, expected 6 of WhisperSpec")
    number("I")
    found = {}
    for _ in range(number("I")):
        name, shape = text(), [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        found[name] = numpy.frombuffer(data, TYPES[kind], size // numpy.dtype(TYPES[kind]).itemsize, at).reshape(shape)
        at += size
    for _ in range(number("I")):
        alias = text()
        found[alias] = found[text()]
    return found


def layers(found, side):
    return 1 + max(int(name.split("/")[1][6:]) for name in found if name.startswith(f"{side}/layer_") and not name.startswith(f"{side}/layer_norm"))


def tensors(found):
    """Names of OpenAI's checkpoints and their arrays."""
    for side in ("encoder", "decoder"):
        for i in range(layers(found, side)):
            ours, theirs = f"{side}/layer_{i}", f"{side}.blocks.{i}"

            def norm(source, name):
                yield f"{theirs}.{name}.weight", found[f"{ours}/{source}/gamma"]
                yield f"{theirs}.{name}.bias", found[f"{ours}/{source}/beta"]

            def joined(source, names):
                weights, biases = (numpy.split(found[f"{ours}/{source}/{part}"], len(names)) for part in ("weight", "bias"))
                for name, weight, bias in zip(names, weights, biases):
                    yield f"{theirs}.{name}.weight", weight
                    if not name.endswith(".key"):  # which has none
                        yield f"{theirs}.{name}.bias", bias

            yield from norm("self_attention/layer_norm", "attn_ln")
            yield from joined("self_attention/linear_0", ["attn.query", "attn.key", "attn.value"])
            yield from joined("self_attention/linear_1", ["attn.out"])
            if side == "decoder":
                yield from norm("attention/layer_norm", "cross_attn_ln")
                yield from joined("attention/linear_0", ["cross_attn.query"])
                yield from joined("attention/linear_1", ["cross_attn.key", "cross_attn.value"])
                yield from joined("attention/linear_2", ["cross_attn.out"])
            yield from norm("ffn/layer_norm", "mlp_ln")
            yield from joined("ffn/linear_0", ["mlp.0"])
            yield from joined("ffn/linear_1", ["mlp.2"])
        last = "ln_post" if side == "encoder" else "ln"
        yield f"{side}.{last}.weight", found[f"{side}/layer_norm/gamma"]
        yield f"{side}.{last}.bias", found[f"{side}/layer_norm/beta"]
        yield f"{side}.positional_embedding", found[f"{side}/position_encodings/encodings"]
    for conv in ("conv1", "conv2"):
        yield f"encoder.{conv}.weight", found[f"encoder/{conv}/weight"]
        yield f"encoder.{conv}.bias", found[f"encoder/{conv}/bias"][:, None]
    yield "decoder.token_embedding.weight", found["decoder/embeddings/weight"]


def token_bytes(folder):
    """The bytes of every ordinary token, by number."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's spelling of bytes
    byte_of = {chr(b): b for b in printable}
    byte_of |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)}
    vocabulary = json.load(open(os.path.join(folder, "tokenizer.json")))["model"]["vocab"]
    by_number = {number: bytes(byte_of[c] for c in text) for text, number in vocabulary.items() if not text.startswith("<|")}
    return [by_number.get(i, b"") for i in range(50257)]


folder, out = sys.argv[1:]
found = variables(os.path.join(folder, "model.bin"))
words, width = found["decoder/embeddings/weight"].shape
mels = found["encoder/conv1/weight"].shape[1]
filters = WhisperFeatureExtractor(feature_size=mels).mel_filters.T.astype("<f4")
with open(out, "wb") as file:
    write = lambda *numbers: file.write(struct.pack(f"<{len(numbers)}i", *numbers))
    write(MAGIC, words, found["encoder/position_encodings/encodings"].shape[0], width, int(found["encoder/num_heads"]), layers(found, "encoder"),
          found["decoder/position_encodings/encodings"].shape[0], width, int(found["decoder/num_heads"]), layers(found, "decoder"), mels, F16)
    write(*filters.shape)
    file.write(filters.tobytes())
    tokens = token_bytes(folder)
    write(len(tokens))
    for token in tokens:
        write(len(token))
        file.write(token)
    for name, value in tensors(found):
        small = value.ndim < 2 or value.shape[-1] == 1 or name.endswith("positional_embedding")
        write(value.ndim, len(name), F32 if small else F16, *reversed(value.shape))
        file.write(name.encode())
        file.write(numpy.ascontiguousarray(value, "<f4" if small else "<f2").tobytes())
