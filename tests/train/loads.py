"""What training leaves is read by transformers and PEFT, and their logits are mynah's.

    python loads.py MYNAH GOLDEN

Exit code 77 where transformers or PEFT are not installed.
"""

import json
import os
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
    from peft import PeftModel
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(missing)
    sys.exit(77)

MYNAH, GOLDEN = sys.argv[1], os.path.join(sys.argv[2], "train")
WORK = tempfile.mkdtemp(prefix="mynah-loads-")
os.environ.update(MYNAH_HOME=os.path.join(WORK, "home"), MYNAH_OFFLINE="1")
FEW = ["--max-steps", "4", "--learning-rate", "1e-2", "--save-steps", "0", "--logging-steps", "1"]


def mynah(*words):
    run = subprocess.run([MYNAH, *words], capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"mynah {' '.join(words)}: {run.stderr}")


def of(kind, name):
    return os.path.join(GOLDEN, kind, name)


def expect(name, theirs, folder, inputs):
    """Outputs of the reference beside those of `mynah forward`, and that training moved them."""
    save_file(inputs, os.path.join(WORK, "in.safetensors"))
    mynah("forward", folder, "--input", os.path.join(WORK, "in.safetensors"), "--output", os.path.join(WORK, "out.safetensors"))
    ours = load_file(os.path.join(WORK, "out.safetensors"))
    with torch.no_grad():
        reference = theirs(**inputs)
    worst = 0.0
    for key in ("logits", "start_logits", "end_logits"):
        if key in ours:
            expected = reference[key]
            worst = max(worst, ((ours[key] - expected).abs().max() / max(1, expected.abs().max())).item())
    print(f"{name}: logits differ by {worst:.1e}")
    if not worst < 1e-4:
        sys.exit(f"{name}: logits differ by {worst}, expected less than 1e-4")


def trained(name, *words):
    folder = os.path.join(WORK, name)
    mynah(*words, *FEW, "--output-dir", folder)
    return folder


def whole(name, cls, inputs, *words):
    folder = trained(name, *words)
    model, info = cls.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[what]:
            sys.exit(f"{name}: {what} {info[what]}")
    expect(name, model.eval(), folder, inputs)
    if transformers.__version__ >= "5":  # which wrote the golden tokenizers
        transformers.AutoTokenizer.from_pretrained(folder)


def adapter(name, *words):
    folder, base = trained(name, "finetune", of("models", "llama"), "--train-file", of("data", "text.jsonl"), *words), of("models", "llama")
    with open(os.path.join(folder, "adapter_config.json")) as f:
        named = json.load(f)["base_model_name_or_path"]
    if os.path.abspath(named) != os.path.abspath(base):
        sys.exit(f"{name}: names its base {named}, expected {base}")
    model = PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), folder).eval()
    with torch.no_grad():
        with model.disable_adapter():
            before = model(**IDS).logits
        if not (model(**IDS).logits - before).abs().max() > 1e-2:
            sys.exit(f"{name}: the adapter changes nothing in PEFT")
    merged = folder + "_merged"
    mynah("merge", folder, "--output-dir", merged)
    expect(name, model, merged, IDS)


IDS = {"input_ids": torch.tensor([[7, 20, 31, 9, 24, 12, 30, 33, 8]])}
TARGET = {**IDS, "decoder_input_ids": torch.tensor([[0, 14, 22, 9]])}
text, classes = of("data", "text.jsonl"), of("data", "classes.jsonl")
whole("sft", transformers.AutoModelForCausalLM, IDS, "finetune", of("models", "llama"), "--train-file", text)
whole("gpt2", transformers.AutoModelForCausalLM, IDS, "align", "dpo", of("models", "gpt2"), "--train-file", of("data", "pairs.jsonl"))
whole("reward", transformers.AutoModelForSequenceClassification, IDS, "align", "reward", of("models", "llama"), "--train-file", of("data", "pairs.jsonl"))
whole("classes", transformers.AutoModelForSequenceClassification, IDS, "finetune", of("models", "bert_classes"), "--train-file", classes)
whole("tags", transformers.AutoModelForTokenClassification, IDS, "finetune", of("models", "bert_tags"), "--train-file", of("data", "tags.jsonl"), "--task", "token-classification")
whole("answers", transformers.AutoModelForQuestionAnswering, IDS, "finetune", of("models", "bert_answers"), "--train-file", of("data", "answers.jsonl"), "--max-length", "40", "--doc-stride", "8")
whole("transforms", transformers.AutoModelForSeq2SeqLM, TARGET, "finetune", of("models", "t5"), "--train-file", of("data", "transforms.jsonl"))
for objective, model, cls, inputs in (("clm", "llama", transformers.AutoModelForCausalLM, IDS), ("mlm", "pretrain_bert", transformers.AutoModelForMaskedLM, IDS),
                                      ("denoising", "pretrain_bart", transformers.AutoModelForSeq2SeqLM, TARGET), ("plm", "pretrain_xlnet", transformers.XLNetLMHeadModel, IDS),
                                      ("rtd", "pretrain_electra", transformers.ElectraForPreTraining, IDS), ("span", "t5", transformers.AutoModelForSeq2SeqLM, TARGET)):
    whole("pretrain_" + objective, cls, inputs, "pretrain", "--objective", objective, "--model", of("models", model), "--train-file", of("data", "prose.txt"), "--block-size", "24")
adapter("lora", "--lora-r", "4")
adapter("lora_all", "--lora-r", "4", "--lora-target-modules", "all-linear", "--init-lora-weights", "false")
adapter("rslora", "--lora-r", "4", "--use-rslora", "--lora-target-modules", "q_proj,down_proj")
adapter("dora", "--lora-r", "4", "--use-dora")
adapter("lora_saved", "--lora-r", "4", "--lora-modules-to-save", "lm_head")
