"""Writes tests/golden/tasks/vits: a tiny random voice with noise off and speech.json, what transformers' pipeline text-to-audio makes of texts.

    python tools/golden/speech.py OUTPUT_FOLDER
"""
import json
import os
import shutil
import sys

import torch
import transformers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "families"))
from common import randomise  # noqa: E402
from vits import VOICES  # noqa: E402

LETTERS = "_ 'abcdefghijklmnopqrstuvwxyz"


def main():
    torch.set_num_threads(1)
    folder = os.path.join(sys.argv[1], "vits")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    config = transformers.VitsConfig(**dict(VOICES, num_hidden_layers=1, vocab_size=len(LETTERS) + 1, sampling_rate=8000))
    with transformers.modeling_utils.no_init_weights():
        model = transformers.VitsModel(config)
    randomise(model, "tasks vits", 0.3).save_pretrained(folder)
    vocab = os.path.join(folder, "vocab.json")
    with open(vocab, "w") as f:
        json.dump({letter: i for i, letter in enumerate(LETTERS)} | {"<unk>": len(LETTERS)}, f)
    transformers.VitsTokenizer(vocab, pad_token="_", unk_token="<unk>", phonemize=False, normalize=True, add_blank=True).save_pretrained(folder)
    pipe = transformers.pipeline("text-to-audio", model=folder)
    cases = []
    for inputs, options in [("The bird sings", {}), (["A bird.", "Anna's park, 3 trees"], {}), ("two voices", {"forward_params": {"speaker_id": 2}})]:
        output = pipe(inputs, **options)
        plain = [{"audio": o["audio"].tolist(), "sampling_rate": o["sampling_rate"]} for o in (output if isinstance(output, list) else [output])]
        cases.append({"inputs": inputs, "options": options, "output": plain if isinstance(output, list) else plain[0]})
    with open(os.path.join(folder, "speech.json"), "w") as f:
        json.dump(cases, f, separators=(",", ":"))
    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)


if __name__ == "__main__":
    main()
