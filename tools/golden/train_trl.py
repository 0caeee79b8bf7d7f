"""Writes tests/golden/train/: runs of TRL's and transformers' trainers on tiny models, to be repeated by the program.

    python tools/golden/train_trl.py OUTPUT_FOLDER [CASE...]     in OUTPUT_FOLDER, where the bases of adapters are looked for

Versions: torch 2.15.0, transformers 5.24.0, trl 1.16.0, peft 0.21.2 (a virtual environment of its own; the other golden files
come from transformers 4.57). Everything in float32 on the CPU, dropout 0, rows in the order of the file, no checkpointing.

  models/NAME/             the model before the first step, with tokenizer files
  data/NAME.jsonl          training rows
  CASE.json                "arguments": the words after `mynah`, MODEL and FILE relative to this folder; "rows": log rows with TRL's
                           metric names; "weights": norm and first elements of every trained tensor at the end

Losses, gradient norms and metrics must agree to 1e-4 (times the magnitude where it exceeds 1), weights too.
"""
import json
import os
import random
import shutil
import sys
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (AutoModelForCausalLM, AutoModelForQuestionAnswering, AutoModelForSeq2SeqLM,
                          AutoModelForSequenceClassification, AutoModelForTokenClassification, BertConfig,
                          DataCollatorForSeq2Seq, DataCollatorForTokenClassification, DataCollatorWithPadding, GPT2Config,
                          LlamaConfig, PreTrainedTokenizerFast, T5Config, Trainer, TrainingArguments, default_data_collator, get_scheduler)
from trl import (DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer, RLOOConfig, RLOOTrainer, SFTConfig, SFTTrainer)
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

OUT = sys.argv[1]
ONLY = sys.argv[2:]
WORDS = ("the a cat dog bird sits sleeps sings on under mat tree and then runs fast slow red blue big small house river says hello "
         "world yes no why because sun moon").split()
TEMPLATE = ("{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + "
            "eos_token }}{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
            "{{ '<|assistant|>' }}{% endif %}")


def sentence(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def byte_tokenizer(folder, pad):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>"] + (["<pad>"] if pad else []) + ["<|user|>", "<|assistant|>", "<|system|>"]
    rng = random.Random(1)
    # Only characters that occur: the embedding stays small.
    t.train_from_iterator([sentence(rng, 5, 12) for _ in range(200)],
                          trainers.BpeTrainer(vocab_size=96, special_tokens=special, show_progress=False))
    fast = PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<|endoftext|>", pad_token="<pad>" if pad else None)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return fast


def bert_tokenizer(folder):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    rng = random.Random(2)
    t.train_from_iterator([sentence(rng, 5, 12) for _ in range(200)],
                          trainers.WordPieceTrainer(vocab_size=96, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    fast.save_pretrained(folder)
    return fast


def t5_tokenizer(folder):
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<pad>", "</s>", "<unk>"] + WORDS)}, unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=t, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return fast


def randomize(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            base = 1.0 if p.dim() == 1 and "norm" in name.lower() + ("norm" if ".ln_" in name else "") and name.endswith("weight") else 0.0
            p.copy_(base + torch.randn(p.shape, generator=g) * (0.1 if p.dim() == 1 else 0.15))
    return model.float()


def make_models():
    root = os.path.join(OUT, "models")
    shutil.rmtree(root, ignore_errors=True)
    for name, pad in (("llama", True), ("gpt2", False)):
        folder = os.path.join(root, name)
        tok = byte_tokenizer(folder, pad)
        ids = dict(bos_token_id=None, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id)
        if name == "llama":
            config = LlamaConfig(vocab_size=len(tok), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                                 num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False, **ids)
        else:
            config = GPT2Config(vocab_size=len(tok), n_embd=16, n_layer=2, n_head=2, n_positions=96, attn_pdrop=0, resid_pdrop=0, embd_pdrop=0, **ids)
        model = randomize(AutoModelForCausalLM.from_config(config, attn_implementation="eager"), 3)
        model.generation_config.pad_token_id = tok.pad_token_id
        model.save_pretrained(folder)
        if name == "llama":
            reward = AutoModelForSequenceClassification.from_config(LlamaConfig(**{**config.to_dict(), "num_labels": 1}), attn_implementation="eager")
            tok.save_pretrained(os.path.join(root, "llama_reward"))
            randomize(reward, 4).save_pretrained(os.path.join(root, "llama_reward"))
    folder = os.path.join(root, "bert")
    tok = bert_tokenizer(folder)
    base = dict(vocab_size=len(tok), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=48,
                hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    for name, cls, labels in (("bert_classes", AutoModelForSequenceClassification, 3), ("bert_tags", AutoModelForTokenClassification, 4),
                              ("bert_answers", AutoModelForQuestionAnswering, 2)):
        model = randomize(cls.from_config(BertConfig(**base, num_labels=labels), attn_implementation="eager"), 5)
        tok.save_pretrained(os.path.join(root, name))
        model.save_pretrained(os.path.join(root, name))
    shutil.rmtree(folder)
    folder = os.path.join(root, "t5")
    tok = t5_tokenizer(folder)
    model = randomize(AutoModelForSeq2SeqLM.from_config(T5Config(vocab_size=len(tok), d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, dropout_rate=0,
                                                                 decoder_start_token_id=0, pad_token_id=0, eos_token_id=1), attn_implementation="eager"), 6)
    model.save_pretrained(folder)
    make_adapters()
    for folder, _, files in os.walk(root):
        for f in files:
            if f == "README.md":
                os.remove(os.path.join(folder, f))


def make_adapters():
    """Adapters that are no longer at their start, so that every matrix matters."""
    root = os.path.join(OUT, "models")
    common = dict(r=4, lora_alpha=8, task_type="CAUSAL_LM")
    three = ["q_proj", "v_proj", "down_proj"]
    for name, base, more in (("llama_adapter", "llama", dict(target_modules=three)),
                             ("llama_dora", "llama", dict(target_modules=three, use_dora=True)),
                             ("llama_patterns", "llama", dict(target_modules=["q_proj", "v_proj"], rank_pattern={"q_proj": 2}, alpha_pattern={"layers.1.self_attn.v_proj": 3},
                                                              layers_to_transform=[1], modules_to_save=["lm_head"])),
                             ("gpt2_biases", "gpt2", dict(target_modules=["c_attn"], bias="lora_only", use_rslora=True))):
        if os.path.exists(os.path.join(root, name)):
            continue
        lora = get_peft_model(AutoModelForCausalLM.from_pretrained(os.path.join(root, base)), LoraConfig(**common, **more))
        g = torch.Generator().manual_seed(8)
        with torch.no_grad():
            for n, p in lora.named_parameters():
                if "lora_A" in n or "lora_B" in n:
                    p.copy_(torch.randn(p.shape, generator=g) * 0.1)
                elif p.requires_grad and "magnitude" not in n:
                    p.add_(torch.randn(p.shape, generator=g) * 0.1)
        lora.peft_config["default"].base_model_name_or_path = "models/" + base
        lora.save_pretrained(os.path.join(root, name))


def make_data():
    root = os.path.join(OUT, "data")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    rng = random.Random(9)

    def write(name, rows):
        with open(os.path.join(root, name + ".jsonl"), "w") as f:
            for r in rows:
                f.write(json.dumps(r, ensure_ascii=False) + "\n")

    n = 20
    write("text", [{"text": sentence(rng, 3, 12)} for _ in range(n)])
    write("completion", [{"prompt": sentence(rng, 2, 6), "completion": " " + sentence(rng, 1, 6)} for _ in range(n)])
    write("messages", [{"messages": [{"role": "user", "content": sentence(rng, 1, 4)}, {"role": "assistant", "content": sentence(rng, 1, 4)},
                                     {"role": "user", "content": sentence(rng, 1, 4)}, {"role": "assistant", "content": sentence(rng, 1, 4)}]} for _ in range(n)])
    write("pairs", [{"prompt": sentence(rng, 2, 6), "chosen": " " + sentence(rng, 1, 7), "rejected": " " + sentence(rng, 1, 7)} for _ in range(n)])
    write("chats", [{"prompt": [{"role": "user", "content": sentence(rng, 1, 4)}], "chosen": [{"role": "assistant", "content": sentence(rng, 1, 4)}],
                     "rejected": [{"role": "assistant", "content": sentence(rng, 1, 4)}]} for _ in range(n)])
    write("judged", [{"prompt": sentence(rng, 2, 6), "completion": " " + sentence(rng, 1, 6), "label": rng.random() < 0.6} for _ in range(n)])
    write("classes", [{"text": sentence(rng, 2, 9), "label": rng.randrange(3)} for _ in range(n)])
    write("tags", [{"tokens": sentence(rng, 3, 8).split()} for _ in range(n)])
    rows = [json.loads(line) for line in open(os.path.join(root, "tags.jsonl"))]
    write("tags", [{**r, "ner_tags": [rng.randrange(4) for _ in r["tokens"]]} for r in rows])
    questions = []
    for _ in range(n):
        words = sentence(rng, 12, 20).split()
        at = rng.randrange(len(words) - 5)
        size = rng.randint(1, 3)
        text = " ".join(words[at : at + size])
        questions.append({"question": sentence(rng, 2, 5), "context": " ".join(words), "answers": {"text": [text], "answer_start": [len(" ".join(words[:at])) + (at > 0)]}})
    write("answers", questions)
    write("transforms", [{"prompt": sentence(rng, 3, 8), "completion": sentence(rng, 1, 6)} for _ in range(n)])


COMMON = dict(per_device_train_batch_size=2, gradient_accumulation_steps=2, max_steps=8, learning_rate=2e-3, logging_steps=1, save_strategy="no",
              report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, gradient_checkpointing=False, seed=1, weight_decay=0.1, warmup_steps=2,
              lr_scheduler_type="cosine", optim="adamw_torch")
WORDS_OF_COMMON = ("--per-device-train-batch-size 2 --gradient-accumulation-steps 2 --max-steps 8 --learning-rate 2e-3 --logging-steps 1 --seed 1 "
                   "--weight-decay 0.1 --warmup-steps 2 --lr-scheduler-type cosine --no-shuffle --save-steps 0").split()


def in_order(cls):
    class InOrder(cls):
        def _get_train_sampler(self, *a, **k):
            return torch.utils.data.SequentialSampler(self.train_dataset)
    return InOrder


def finish(case, trainer, words, trained, common=WORDS_OF_COMMON):
    trainer.train()
    rows = [r for r in trainer.state.log_history if "loss" in r]
    keep = []
    for i, r in enumerate(rows):
        keep.append({"step": i + 1, **{k: v for k, v in r.items() if isinstance(v, (int, float)) and k not in ("epoch", "step", "step_time") and "given" not in k}})
    with tempfile.TemporaryDirectory() as folder:
        trained(trainer).save_pretrained(folder)
        name = "adapter_model.safetensors" if os.path.exists(os.path.join(folder, "adapter_model.safetensors")) else "model.safetensors"
        tensors = load_file(os.path.join(folder, name))
    # Parameters whose true gradient is 0 move by rounding alone.
    still = ("key.bias", "qa_outputs.bias", "c_attn.bias", "c_attn.base_layer.bias") + (("layer.1.output.LayerNorm.bias",) if case == "answers" else ())
    tensors = {k: v for k, v in tensors.items() if not k.endswith(still)}
    weights = {k: {"norm": v.double().norm().item(), "first": v.flatten()[:4].tolist()} for k, v in tensors.items()}
    with open(os.path.join(OUT, case + ".json"), "w") as f:
        json.dump({"arguments": words + common, "rows": keep, "weights": weights}, f, separators=(",", ":"))
    print(case, [round(r["loss"], 4) for r in keep], keep[-1])


def load(name, cls=AutoModelForCausalLM):
    return cls.from_pretrained(os.path.join(OUT, "models", name), attn_implementation="eager", dtype=torch.float32)


def tokenizer(name):
    return PreTrainedTokenizerFast.from_pretrained(os.path.join(OUT, "models", name))


def data(name):
    return Dataset.from_list([json.loads(line) for line in open(os.path.join(OUT, "data", name + ".jsonl"))])


def args_of(cls, **more):
    return cls(output_dir=tempfile.mkdtemp(), **{**COMMON, **more})


CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def sft(name, model, rows, words=(), peft=None, adapter=None, sgd=None, **more):
    m = load(model)
    if adapter:
        m = PeftModel.from_pretrained(m, os.path.join(OUT, "models", adapter), is_trainable=True)
    trainer = in_order(SFTTrainer)(m, args_of(SFTConfig, **{"max_length": 40, **more}), train_dataset=data(rows), processing_class=tokenizer(model), peft_config=peft)
    common = list(WORDS_OF_COMMON)
    if sgd is not None:  # transformers gives torch.optim.SGD nothing but the rate
        decayed = trainer.get_decay_parameter_names(trainer.model)
        named = list(trainer.model.named_parameters())
        trainer.optimizer = torch.optim.SGD([{"params": [p for n, p in named if (n in decayed) == d], "weight_decay": COMMON["weight_decay"] if d else 0} for d in (True, False)],
                                            lr=more["learning_rate"], **sgd)
        common[common.index("--learning-rate") + 1] = str(more["learning_rate"])
    finish(name, trainer, ["finetune", "models/" + model, "--train-file", f"data/{rows}.jsonl", "--max-length", str(more.get("max_length", 40)), *words], lambda t: t.model, common)


@case
def sft_text(): sft("sft_text", "llama", "text")
@case
def sft_completion(): sft("sft_completion", "gpt2", "completion")
@case
def sft_messages(): sft("sft_messages", "llama", "messages", ["--assistant-only-loss"], assistant_only_loss=True)
@case
def sft_packing(): sft("sft_packing", "llama", "text", ["--packing"], packing=True, padding_free=True)
@case
def sft_dft(): sft("sft_dft", "llama", "completion", ["--loss-type", "dft"], loss_type="dft")
@case
def sft_adapter(): sft("sft_adapter", "llama", "text", ["--adapter", "models/llama_adapter"], adapter="llama_adapter")
@case
def sft_dora(): sft("sft_dora", "llama", "text", ["--adapter", "models/llama_dora"], adapter="llama_dora")
@case
def sft_patterns(): sft("sft_patterns", "llama", "text", ["--adapter", "models/llama_patterns"], adapter="llama_patterns")
@case
def sft_biases(): sft("sft_biases", "gpt2", "completion", ["--adapter", "models/gpt2_biases"], adapter="gpt2_biases")

@case
def sft_sgd():
    sft("sft_sgd", "llama", "text", ["--optim", "sgd"], sgd={}, learning_rate=0.1)
@case
def sft_momentum():
    sft("sft_momentum", "gpt2", "completion", ["--optim", "sgd", "--optim-args", "momentum=0.9"], sgd={"momentum": 0.9}, learning_rate=0.05)
@case
def sft_nesterov():
    sft("sft_nesterov", "llama", "text", ["--optim", "sgd", "--momentum", "0.8", "--nesterov"], sgd={"momentum": 0.8, "nesterov": True}, learning_rate=0.05)


def dpo(name, model, rows, words=(), adapter=None, **more):
    m = load(model)
    if adapter:
        m = PeftModel.from_pretrained(m, os.path.join(OUT, "models", adapter), is_trainable=True)
    trainer = in_order(DPOTrainer)(m, None, args_of(DPOConfig, max_length=40, **more), train_dataset=data(rows), processing_class=tokenizer(model))
    finish(name, trainer, ["align", "dpo", "models/" + model, "--train-file", f"data/{rows}.jsonl", "--max-length", "40", *words], lambda t: t.model)


for kind in ("sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard aot aot_unpaired apo_zero apo_down discopop sft sigmoid_norm").split():
    def one(kind=kind):
        smooth = {"label_smoothing": 0.1} if kind in ("exo_pair", "robust", "aot", "aot_unpaired") else {}
        words = ["--label-smoothing", "0.1"] if smooth else []
        dpo("dpo_" + kind, "llama", "pairs", ["--loss-type", kind, *words], loss_type=[kind], **smooth)
    CASES["dpo_" + kind] = one


@case
def dpo_chat(): dpo("dpo_chat", "gpt2", "chats", ["--beta", "0.3"], beta=0.3)
@case
def dpo_adapter(): dpo("dpo_adapter", "llama", "pairs", ["--adapter", "models/llama_adapter"], adapter="llama_adapter")
@case
def dpo_js(): dpo("dpo_js", "llama", "pairs", ["--f-divergence-type", "js_divergence"], f_divergence_type="js_divergence")
@case
def dpo_alpha():
    dpo("dpo_alpha", "llama", "pairs", ["--f-divergence-type", "alpha_divergence", "--ld-alpha", "0.3"], f_divergence_type="alpha_divergence", ld_alpha=0.3)
@case
def dpo_mixed():
    dpo("dpo_mixed", "llama", "pairs", ["--loss-type", "sigmoid,sft", "--loss-weights", "1,0.5"], loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5])


@case
def kto():
    trainer = KTOTrainer(load("llama"), load("llama"), args_of(KTOConfig, max_length=40), train_dataset=data("judged"), processing_class=tokenizer("llama"))
    finish("kto", trainer, ["align", "kto", "models/llama", "--train-file", "data/judged.jsonl", "--max-length", "40"], lambda t: t.model)


@case
def kto_unpaired():
    trainer = KTOTrainer(load("llama"), load("llama"), args_of(KTOConfig, max_length=40, loss_type="apo_zero_unpaired"), train_dataset=data("judged"), processing_class=tokenizer("llama"))
    finish("kto_unpaired", trainer, ["align", "kto", "models/llama", "--train-file", "data/judged.jsonl", "--max-length", "40", "--loss-type", "apo_zero_unpaired"], lambda t: t.model)


@case
def orpo():
    trainer = in_order(ORPOTrainer)(load("llama"), args_of(ORPOConfig, max_length=40), train_dataset=data("pairs"), processing_class=tokenizer("llama"))
    finish("orpo", trainer, ["align", "orpo", "models/llama", "--train-file", "data/pairs.jsonl", "--max-length", "40"], lambda t: t.model)


@case
def reward():
    trainer = in_order(RewardTrainer)(load("llama_reward", AutoModelForSequenceClassification), args_of(RewardConfig, max_length=40, center_rewards_coefficient=0.01),
                                      train_dataset=data("pairs"), processing_class=tokenizer("llama_reward"))
    finish("reward", trainer, ["align", "reward", "models/llama_reward", "--train-file", "data/pairs.jsonl", "--max-length", "40",
                               "--center-rewards-coefficient", "0.01"], lambda t: t.model)


def replay_file(name, eos, pad, vocab, batches, rows, group, seed):
    """Random generation batches as the program reads them, and the lists that a trainer's generation returns."""
    rng = random.Random(seed)
    tensors, lists = {}, []
    for k in range(batches):
        prompts = [[rng.randrange(5, vocab) for _ in range(rng.randint(2, 5))] for _ in range(rows // group) for _ in range(1)]
        prompts = [p for p in prompts for _ in range(group)]
        completions = [[rng.randrange(5, vocab) for _ in range(rng.randint(1, 5))] + ([eos] if rng.random() < 0.7 else []) for _ in range(rows)]
        rewards = [round(rng.uniform(-1, 1), 3) for _ in range(rows)]
        width, depth = max(map(len, prompts)), max(map(len, completions))
        tensors[f"prompt_ids.{k}"] = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
        tensors[f"prompt_mask.{k}"] = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        tensors[f"completion_ids.{k}"] = torch.tensor([c + [pad] * (depth - len(c)) for c in completions])
        tensors[f"completion_mask.{k}"] = torch.tensor([[1] * len(c) + [0] * (depth - len(c)) for c in completions])
        tensors[f"rewards.{k}"] = torch.tensor(rewards)
        lists.append((prompts, completions, rewards))
    save_file(tensors, os.path.join(OUT, "data", name + ".safetensors"))
    return lists


def online(name, trainer_class, config_class, words, iterations=1, group=2, **more):
    tok = tokenizer("llama")
    rows, calls = 4, []
    lists = replay_file(name, tok.eos_token_id, tok.pad_token_id, len(tok), 8 // iterations, rows, group, 11)

    class Replayed(trainer_class):
        def _get_train_sampler(self, *a, **k):
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def _generate(self, prompts):
            made = lists[len(calls)]
            calls.append(made)
            lengths = torch.tensor([float(len(c)) for c in made[1]])
            ended = torch.tensor([c[-1] in (tok.eos_token_id, tok.pad_token_id) for c in made[1]])
            done = lengths[ended] if ended.any() else torch.zeros(1)
            for key, value in (("mean_length", lengths.mean()), ("min_length", lengths.min()), ("max_length", lengths.max()),
                               ("clipped_ratio", (~ended).float().mean()), ("mean_terminated_length", done.mean()),
                               ("min_terminated_length", done.min()), ("max_terminated_length", done.max())):
                self._metrics["train"]["completions/" + key].append(value.item())
            texts = ["x"] * rows
            if "rloo" in name:
                return made[0], made[1], texts
            return made[0], made[1], None, texts, None, {}, None, None

    def given(completions, **_):
        return calls[-1][2]

    args = args_of(config_class, num_generations=group, num_iterations=iterations, max_completion_length=16, shuffle_dataset=False, **more)
    trainer = Replayed(load("llama"), reward_funcs=given, args=args, train_dataset=Dataset.from_list([{"prompt": "x"}] * 64), processing_class=tok)
    # The generation batch is shuffled before it is cut into micro-batches; the order of the file is kept here.
    import trl.trainer.grpo_trainer as g
    import trl.trainer.rloo_trainer as r
    g.shuffle_sequence_dict = r.shuffle_sequence_dict = lambda x: x
    finish(name, trainer, ["align", "rloo" if "rloo" in name else "grpo", "models/llama", "--replay", f"data/{name}.safetensors", "--num-generations", str(group),
                           "--num-iterations", str(iterations), "--max-completion-length", "16", *words], lambda t: t.model)


@case
def grpo(): online("grpo", GRPOTrainer, GRPOConfig, [])
@case
def grpo_beta(): online("grpo_beta", GRPOTrainer, GRPOConfig, ["--beta", "0.1", "--loss-type", "grpo", "--temperature", "0.8"], iterations=2, beta=0.1, loss_type="grpo", temperature=0.8)
@case
def grpo_sequence():
    online("grpo_sequence", GRPOTrainer, GRPOConfig, ["--importance-sampling-level", "sequence", "--loss-type", "dr_grpo", "--scale-rewards", "none"], iterations=2,
           importance_sampling_level="sequence", loss_type="dr_grpo", scale_rewards="none")
@case
def grpo_cispo(): online("grpo_cispo", GRPOTrainer, GRPOConfig, ["--loss-type", "cispo", "--scale-rewards", "batch"], iterations=2, loss_type="cispo", scale_rewards="batch")
@case
def grpo_masked(): online("grpo_masked", GRPOTrainer, GRPOConfig, ["--mask-truncated-completions", "--loss-type", "grpo"], mask_truncated_completions=True, loss_type="grpo")
for kind in ("bnpo", "dapo", "sapo", "luspo", "vespo"):
    def one(kind=kind):
        online("grpo_" + kind, GRPOTrainer, GRPOConfig, ["--loss-type", kind, "--beta", "0.05"], iterations=2, loss_type=kind, beta=0.05)
    CASES["grpo_" + kind] = one


@case
def rloo(): online("rloo", RLOOTrainer, RLOOConfig, [], iterations=2)


@case
def ppo():
    """TRL's PPO (1.12, later versions have none) on replayed completions, written out: its trainer samples by itself."""
    tok = tokenizer("llama")
    rows, parts, epochs, steps = 4, 2, 2, 8
    replay_file("ppo", tok.eos_token_id, tok.pad_token_id, len(tok), steps, rows, 1, 13)
    data_ = load_file(os.path.join(OUT, "data", "ppo.safetensors"))
    policy, ref, value = load("llama").train(), load("llama").eval(), load("llama_reward", AutoModelForSequenceClassification).train()
    kl_coef, clip, vf_coef, clip_value, gamma, lam, temperature, lr = 0.05, 0.2, 0.1, 0.2, 1.0, 0.95, 0.7 + 1e-7, 2e-3
    named = [("p." + n, p) for n, p in policy.named_parameters()] + [("v." + n, p) for n, p in value.named_parameters()]
    decay = [p for n, p in named if p.dim() > 1]
    rest = [p for n, p in named if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=lr)
    schedule = get_scheduler("cosine", optimizer, 2, steps)

    def run(model, ids, mask):
        positions = mask.cumsum(1) - mask
        return model(input_ids=ids.masked_fill(mask == 0, 0), attention_mask=mask, position_ids=positions, output_hidden_states=True)

    def whiten(x, mask, shift=True):
        mean = x[mask].mean()
        out = (x - mean) * torch.rsqrt(x[mask].var() + 1e-8)
        return out if shift else out + mean

    log = []
    for k in range(steps):
        prompts, pm, comp, cm, scores = (data_[f"{n}.{k}"] for n in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "rewards"))
        ids, mask, start = torch.cat([prompts, comp], 1), torch.cat([pm, cm], 1), prompts.shape[1]
        gather = lambda logits, s=slice(None): torch.log_softmax(logits[:, start - 1 : -1] / temperature, -1).gather(2, comp[s, :, None])[:, :, 0]
        head = lambda out: value.score(out.hidden_states[-1])[:, start - 1 : -1, 0]
        with torch.no_grad():
            old, reference = gather(run(policy, ids, mask).logits), gather(run(ref, ids, mask).logits)
            values = head(run(value.model, ids, mask))
            last = cm.sum(1) - 1
            at = torch.arange(comp.shape[1])[None]
            pad, pad1 = at > last[:, None], at > last[:, None] + 1
            old, reference, values = old.masked_fill(pad, 1.0), reference.masked_fill(pad, 1.0), values.masked_fill(pad1, 0)
            kl = old - reference
            rewards = -kl_coef * kl
            penalty = rewards.clone()
            end = torch.where(last + 1 < comp.shape[1], last + 1, last)
            rewards[torch.arange(rows), end] += scores
            back, carry = [], 0
            for t in reversed(range(comp.shape[1])):
                nxt = values[:, t + 1] if t + 1 < comp.shape[1] else 0.0
                carry = rewards[:, t] + gamma * nxt - values[:, t] + gamma * lam * carry
                back.append(carry)
            adv = torch.stack(back[::-1], 1)
            returns = adv + values
            adv = whiten(adv, ~pad).masked_fill(pad, 0)
        stats = {n: [] for n in ("pg", "vf", "kl")}
        for _ in range(epochs):
            for i in range(0, rows, rows // parts):
                s = slice(i, i + rows // parts)
                new = gather(run(policy, ids[s], mask[s]).logits, s).masked_fill(pad[s], 1.0)
                v = head(run(value.model, ids[s], mask[s])).masked_fill(pad1[s], 0)
                vc = torch.clamp(v, values[s] - clip_value, values[s] + clip_value)
                vf = 0.5 * torch.max((v - returns[s]) ** 2, (vc - returns[s]) ** 2)[~pad1[s]].mean()
                ratio = torch.exp(new - old[s])
                pg = torch.max(-adv[s] * ratio, -adv[s] * torch.clamp(ratio, 1 - clip, 1 + clip))[~pad[s]].mean()
                ((pg + vf_coef * vf) / parts).backward()
                stats["pg"].append(pg.item())
                stats["vf"].append(vf.item())
                stats["kl"].append(0.5 * ((new - old[s]) ** 2).mean().item())
            norm = torch.nn.utils.clip_grad_norm_([p for _, p in named], 1e30).item()
            rate = schedule.get_last_lr()[0]
            optimizer.step()
            optimizer.zero_grad()
        schedule.step()
        mean = {n: sum(x) / len(x) for n, x in stats.items()}
        log.append({"step": k + 1, "loss": mean["pg"] + vf_coef * mean["vf"], "grad_norm": norm, "learning_rate": rate, "loss/policy_avg": mean["pg"],
                    "loss/value_avg": mean["vf"], "policy/approxkl_avg": mean["kl"], "objective/kl": kl.sum(1).mean().item(),
                    "objective/scores": scores.mean().item(), "objective/non_score_reward": penalty.sum(1).mean().item()})
    words = ["align", "ppo", "models/llama", "--replay", "data/ppo.safetensors", "--reward-model", "models/llama_reward", "--num-ppo-epochs", str(epochs)]
    weights = {k: {"norm": v.double().norm().item(), "first": v.flatten()[:4].tolist()} for k, v in policy.state_dict().items()}
    with open(os.path.join(OUT, "ppo.json"), "w") as f:
        json.dump({"arguments": words + WORDS_OF_COMMON, "rows": log, "weights": weights}, f, separators=(",", ":"))
    print("ppo", [round(r["loss"], 4) for r in log])


def plain(name, model, cls, dataset, rows, collator, words=()):
    trainer = in_order(Trainer)(load(model, cls), args_of(TrainingArguments, gradient_accumulation_steps=1, remove_unused_columns=True),
                                train_dataset=dataset, data_collator=collator)
    # transformers multiplies the loss of models without a token count by the accumulation; one micro-batch shows the true mean.
    common = list(WORDS_OF_COMMON)
    common[common.index("--gradient-accumulation-steps") + 1] = "1"
    finish(name, trainer, ["finetune", "models/" + model, "--train-file", f"data/{rows}.jsonl", *words], lambda t: t.model, common)


@case
def classes():
    tok = tokenizer("bert_classes")
    d = data("classes").map(lambda r: tok(r["text"]))
    plain("classes", "bert_classes", AutoModelForSequenceClassification, d, "classes", DataCollatorWithPadding(tok))


@case
def tags():
    tok = tokenizer("bert_tags")

    def encode(r):
        e = tok(r["tokens"], is_split_into_words=True)
        ids = e.word_ids()
        e["labels"] = [-100 if w is None or (i and ids[i - 1] == w) else r["ner_tags"][w] for i, w in enumerate(ids)]
        return e
    plain("tags", "bert_tags", AutoModelForTokenClassification, data("tags").map(encode), "tags", DataCollatorForTokenClassification(tok))


@case
def answers():
    tok = tokenizer("bert_answers")
    rows = []
    for r in data("answers"):
        e = tok(r["question"], r["context"], truncation="only_second", max_length=24, stride=6, return_overflowing_tokens=True, return_offsets_mapping=True, return_token_type_ids=True,
                padding="max_length")
        for i, offsets in enumerate(e["offset_mapping"]):
            seq = e.sequence_ids(i)
            first, last = seq.index(1), len(seq) - 1 - seq[::-1].index(1)
            a = r["answers"]["answer_start"][0]
            b = a + len(r["answers"]["text"][0])
            start = end = 0
            if offsets[first][0] <= a and offsets[last][1] >= b:
                start = max(t for t in range(first, last + 1) if offsets[t][0] <= a)
                end = min(t for t in range(first, last + 1) if offsets[t][1] >= b)
            rows.append({"input_ids": e["input_ids"][i], "attention_mask": e["attention_mask"][i], "token_type_ids": e["token_type_ids"][i],
                         "start_positions": start, "end_positions": end})
    plain("answers", "bert_answers", AutoModelForQuestionAnswering, Dataset.from_list(rows), "answers", default_data_collator, ["--max-length", "24", "--doc-stride", "6"])


@case
def transforms():
    tok = tokenizer("t5")
    model = load("t5", AutoModelForSeq2SeqLM)
    d = data("transforms").map(lambda r: {**tok(r["prompt"], return_token_type_ids=False), "labels": tok(r["completion"])["input_ids"]})
    plain("transforms", "t5", AutoModelForSeq2SeqLM, d, "transforms", DataCollatorForSeq2Seq(tok, model))


if __name__ == "__main__":
    if not ONLY or not os.path.exists(os.path.join(OUT, "models")):
        make_models()
        make_data()
    make_adapters()
    for name, run in CASES.items():
        if not ONLY or name in ONLY:
            run()
