"""Writes tests/golden/models/<case>/ for families of transformers: a tiny random checkpoint, inputs and the outputs of the reference.

    python tools/golden/families/<family>.py OUTPUT_FOLDER [case ...]

A family's file holds CASES, a dictionary from case names to case(...), and ends with `main(CASES)`. Files of a case:

    io_<which>.safetensors   inputs under the reference's argument names, its outputs with the prefix "out."; which: plain (hidden
                             states too), right and left (with an attention mask), types (token_type_ids), grad (labels, loss and the
                             gradient of every parameter under its name on disk), or a name of the case's own
    generate.json            [{"input_ids", "attention_mask"?, "decoder_input_ids"?, "args": {GenerationConfig}, "sequences",
                             "sequences_scores" with beams}]

Reference: float32, evaluation mode, eager attention; the versions that tests/golden/README.md names.
"""
import copy
import json
import os
import shutil
import sys
import zlib

import torch
import transformers
from safetensors.torch import load_file, save_file

BATCH, LENGTH, TARGET = 3, 9, 7

# Runs of generate() for decoders.
GENERATION = [dict(max_new_tokens=10), dict(max_new_tokens=8, num_beams=3, num_return_sequences=2, length_penalty=0.6)]


def sizes(**more):
    """A small decoder by Llama's key names."""
    return {**dict(vocab_size=21, hidden_size=16, num_attention_heads=4, num_key_value_heads=2, intermediate_size=11, max_position_embeddings=64,
                   bos_token_id=1, eos_token_id=2), **more}


def case(kind, config, io="plain right grad", generate=(), **options):
    """`kind`: class name in transformers; `config`: keyword arguments of its config class. Options:
    inputs        {which: function(case) -> inputs}, for what the usual inputs do not cover
    generate      list of GenerationConfig argument dictionaries, each with prompts of its own
    besides       arguments of every run of generate() that are no part of the case: they only make the reference right
    prompts       function(model, spec, generator) -> tensors' lists by argument name, for prompts other than two rows of 6
    edit          function(folder), changes the saved folder (old names, buffers); `rename`: function(parameter name) -> name on disk
    spread        standard deviation of the random parameters (0.3)
    padded        whether prompts of generate() have padding (True)
    fresh         the model is made anew for every input: it keeps state between calls
    attention     "eager" (default) or "sdpa"
    frozen        parameters without a gradient are random too: they are frozen by the config, not computed
    call          function(model, inputs) -> outputs by name, for a model whose forward() is called in another way
    pixels        (channels, height, width) of pixel_values, for families that look at images; two of them
    settings      generation_config.json of the case
    answers       function(model, arguments) -> sequences, where generate() gives no scores of its steps
    vocab         ids are drawn below it, where it is not config.vocab_size
    """
    return dict(kind=kind, config=config, io=io.split(), generate=list(generate), **options)


def seeded(text):
    return torch.Generator().manual_seed(zlib.crc32(text.encode()))


def randomise(model, name, spread, frozen=False):
    """Every parameter and floating buffer random, norms around 1: initial zeros and ones would hide mistakes."""
    generator = seeded(name)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if not p.requires_grad and not frozen and not type(model).__name__.startswith("Whisper"):
                continue  # computed tables; Whisper's are read from the file
            noise = torch.randn(p.shape, generator=generator)
            p.copy_(1 + 0.3 * noise if p.ndim == 1 and key.endswith("weight") else spread * noise)
        for key, b in model.named_buffers():
            if key.endswith(("final_logits_bias", "running_mean")) or key == "mean":
                b.copy_(spread * torch.randn(b.shape, generator=generator))
            if key.endswith("positional_embedding"):
                b.copy_(3 * torch.randn(b.shape, generator=generator))
            if frozen and key.endswith("normalization.weight"):
                b.copy_(1 + 0.3 * torch.randn(b.shape, generator=generator))
            if frozen and key.endswith("normalization.bias"):
                b.copy_(spread * torch.randn(b.shape, generator=generator))
            if key.endswith("running_var") or key == "scale":
                b.copy_(0.5 + torch.rand(b.shape, generator=generator))
    return model.eval()


def build(spec):
    kind = getattr(transformers, spec["kind"])
    config = kind.config_class(**copy.deepcopy(spec["config"]))  # some classes change what they are given
    config._attn_implementation = spec.get("attention", "eager")
    return made(kind, config, spec.get("attention", "eager"))


def made(kind, config, attention="eager"):
    """A model whose parameters mean nothing yet: the reference cannot initialise all that it can load."""
    with transformers.modeling_utils.no_init_weights():
        model = kind._from_config(config, attn_implementation=attention)
    model.tie_weights()
    return model


def masks(length=LENGTH):
    left, right = torch.ones(BATCH, length, dtype=torch.long), torch.ones(BATCH, length, dtype=torch.long)
    left[1, :2] = 0
    left[2, : length // 2 + 1] = 0
    right[0, length - 2:] = 0
    right[2, length // 2:] = 0
    return left, right


def labels_for(model, spec, ids, generator):
    """Label arguments for the head of `kind`, with some -100 where that is allowed."""
    kind, config = spec["kind"], model.config
    if kind.endswith("ForSequenceClassification") or "ForImageClassification" in kind:
        if getattr(config, "problem_type", None) == "multi_label_classification":
            return dict(labels=torch.rand(BATCH, config.num_labels, generator=generator).round())
        if config.num_labels == 1:
            return dict(labels=torch.randn(BATCH, 1, generator=generator))
        return dict(labels=torch.randint(0, config.num_labels, (BATCH,), generator=generator))
    if kind.endswith("ForMultipleChoice"):
        return dict(labels=torch.randint(0, 2, (BATCH,), generator=generator))
    if "ForQuestionAnswering" in kind:
        return dict(start_positions=torch.tensor([1, 0, 40]), end_positions=torch.tensor([3, 2, 2]))
    if kind.endswith("ForNextSentencePrediction"):
        return dict(labels=torch.tensor([0, 1, 1]))
    if kind.endswith("ForTokenClassification"):
        labels = torch.randint(0, config.num_labels, ids.shape, generator=generator)
    elif config.is_encoder_decoder:
        labels = torch.randint(3, ids_below(model, spec), (BATCH, TARGET), generator=generator)
    else:
        labels = torch.randint(0, ids_below(model, spec), ids.shape, generator=generator)
    if kind == "ElectraForPreTraining":
        return dict(labels=labels % 2)
    labels[0, 3] = labels[1, 0] = -100
    labels[2, 5:] = -100
    if kind == "AlbertForPreTraining":
        return dict(labels=labels, sentence_order_label=torch.tensor([1, 0, 1]))
    if "ForPreTraining" in kind and "Electra" not in kind:
        return dict(labels=labels, next_sentence_label=torch.tensor([1, 0, 1]))
    return dict(labels=labels)


def ids_below(model, spec):
    return spec.get("vocab", model.config.vocab_size)


def inputs_of(model, spec, name, which):
    """The usual inputs of a case: ids [3, 9] (multiple choice [3, 2, 9]), targets [3, 7], no padding or end id inside."""
    custom = spec.get("inputs", {})
    if which in custom:
        return custom[which](model)
    generator = seeded(f"inputs of {name}")
    if "pixels" in spec:
        inputs = dict(pixel_values=torch.randn((2, *spec["pixels"]), generator=generator))
        if which == "grad":
            inputs.update({k: v[:2] for k, v in labels_for(model, spec, None, generator).items()})
        return inputs
    below, config = ids_below(model, spec), model.config
    special = {t for t in (config.pad_token_id, config.eos_token_id) if isinstance(t, int)}
    choices = spec["kind"].endswith("ForMultipleChoice")
    shape = (BATCH, 2, LENGTH) if choices else (BATCH, LENGTH)
    ids = torch.randint(3, below, shape, generator=generator)
    for t in special:
        ids[ids == t] = 3 if t != 3 else 4
    left, right = masks()
    inputs = dict(input_ids=ids)
    if which in ("left", "right", "grad"):
        mask = left if which == "left" else right
        if choices:
            mask = mask[:, None].repeat(1, 2, 1)
        inputs["attention_mask"] = mask
        if config.pad_token_id is not None and "position_ids" not in inputs:
            ids[mask == 0] = config.pad_token_id
    if which == "types":
        inputs["token_type_ids"] = torch.randint(0, config.type_vocab_size, shape, generator=generator)
    if spec["kind"].endswith("ForSequenceClassification") and config.is_encoder_decoder:
        ends = ids.clone()
        last = inputs.get("attention_mask", torch.ones_like(ids)).sum(1) - 1
        ends[torch.arange(BATCH), last] = config.eos_token_id
        inputs["input_ids"] = ends
    elif config.is_encoder_decoder and which != "grad" and not spec["kind"].endswith(("EncoderModel", "ForTokenClassification")):
        inputs["decoder_input_ids"] = torch.randint(3, below, (BATCH, TARGET), generator=generator)
    if which == "grad":
        inputs.update(labels_for(model, spec, ids, generator))
    return inputs


PLAIN_NAMES = ("loss", "logits", "last_hidden_state", "pooler_output", "start_logits", "end_logits", "prediction_logits",
               "seq_relationship_logits", "sop_logits", "encoder_last_hidden_state", "aux_loss",
               "cls_logits", "distillation_logits", "logits_aggregation", "text_embeds", "image_embeds", "audio_embeds", "logits_per_image", "logits_per_text", "logits_per_audio",
               "extract_features", "pred_boxes", "itm_score", "question_embeds",
               "waveform", "sequence_lengths", "spectrogram",
               "pred_masks", "iou_scores", "predicted_depth",
               "start_top_log_probs", "start_top_index", "end_top_log_probs", "end_top_index")
STATE_NAMES = ("hidden_states", "encoder_hidden_states", "decoder_hidden_states")


def outputs_of(y, states):
    out = {}
    for name in PLAIN_NAMES:
        if isinstance(y.get(name), torch.Tensor):
            out[f"out.{name}"] = y[name].float()
    for i, memory in enumerate(y.get("mems") or ()):
        out[f"out.mems.{i}"] = memory.float()
    for name in STATE_NAMES if states else ():
        for i, h in enumerate(y.get(name) or ()):
            out[f"out.{name}.{i}"] = h.float()
    return out


def names_on_disk(model, folder, rename):
    """Parameter name -> name in the file; a tied parameter goes by the name that was saved."""
    stored, by_memory = set(load_file(os.path.join(folder, "model.safetensors"))), {}
    for key, tensor in model.state_dict(keep_vars=True).items():
        if rename(key) in stored:
            by_memory.setdefault(tensor.data_ptr(), rename(key))
    return {key: rename(key) if rename(key) in stored else by_memory[p.data_ptr()] for key, p in model.named_parameters() if p.requires_grad}


def save(path, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    os.chmod(path, 0o644)


def flat(inputs):
    """Lists of dictionaries (the objects of each image) under the names labels.I.KEY."""
    out = {}
    for name, value in inputs.items():
        if isinstance(value, list):
            out.update({f"{name}.{i}.{key}": tensor for i, entry in enumerate(value) for key, tensor in entry.items()})
        else:
            out[name] = value
    return out


def write_io(model, spec, name, folder, which, disk_names):
    inputs = inputs_of(model, spec, name, which)
    grad = any(key in inputs for key in ("labels", "start_positions", "return_loss"))
    model.zero_grad()
    with torch.set_grad_enabled(grad):
        if "call" in spec:
            y = spec["call"](model, inputs)
        else:
            y = model(**inputs, output_hidden_states=which == "plain", return_dict=True)
    out = outputs_of(y, which == "plain")
    if grad:
        y.loss.backward()
        for key, p in model.named_parameters():
            if p.grad is not None:
                out[f"out.grad.{disk_names[key]}"] = p.grad.float()
        out = {k: v for k, v in out.items() if k == "out.loss" or k.startswith("out.grad.")}
    mems = {f"mems.{i}": m for i, m in enumerate(inputs.pop("mems", ()))}
    save(os.path.join(folder, f"io_{which}.safetensors"), {**flat(inputs), **mems, **out})


def tie_free(y, num_beams):
    """Whether no choice of the run was close, so that ids can be compared exactly."""
    scores = torch.stack(y.scores).float()
    if num_beams == 1:
        top = scores.topk(2).values
        return (top[..., 0] - top[..., 1]).min().item() > 1e-3
    return True


def write_generate(model, spec, name, folder):
    """Every argument set on prompts of its own whose choices are not close: a prompt is taken if small changes of the parameters
    (1e-4 of each) leave the sequences as they are."""
    results = []
    for number, args in enumerate(spec["generate"]):
        for attempt in range(60):
            generator = seeded(f"prompt {number}.{attempt} of {name}")
            entry = spec.get("prompts", prompts_of)(model, spec, generator)
            call = {k: torch.tensor(v) for k, v in entry.items()}
            call.update(args, **spec.get("besides", {}))
            if "watermarking_config" in args:
                call["watermarking_config"] = transformers.WatermarkingConfig(**args["watermarking_config"])
            if "answers" in spec:
                run = lambda m: transformers.utils.ModelOutput(sequences=spec["answers"](m, call))
                y = run(model)
                if not steady(model, spec, run, y.sequences, name):
                    continue
                results.append(dict(entry, args=args, sequences=y.sequences.tolist()))
                break
            run = lambda m: m.generate(**call, output_scores=True, return_dict_in_generate=True)
            y = run(model)
            if not tie_free(y, args.get("num_beams", 1)) or not steady(model, spec, run, y.sequences, name):
                continue
            results.append(dict(entry, args=args, sequences=y.sequences.tolist()))
            if args.get("num_beams", 1) > 1:
                results[-1]["sequences_scores"] = y.sequences_scores.tolist()
            break
        else:
            raise RuntimeError(f"{name}: no prompt without near ties for {args}")
    with open(os.path.join(folder, "generate.json"), "w") as f:
        json.dump(results, f, separators=(",", ":"))


def twin_of(model, spec):
    twin = build(spec).eval()
    twin.load_state_dict(model.state_dict())
    twin.generation_config = model.generation_config
    return twin


def steady(model, spec, run, sequences, name):
    twin = twin_of(model, spec)
    generator = seeded(f"small changes of {name}")
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(1e-4 * torch.randn(p.shape, generator=generator))
    return torch.equal(run(twin).sequences, sequences)


def prompts_of(model, spec, generator):
    config, below = model.config, ids_below(model, spec)
    ids = torch.randint(3, below, (2, 6), generator=generator)
    mask = torch.ones_like(ids)
    pad = config.pad_token_id if config.pad_token_id is not None else 0
    for t in {pad, config.eos_token_id} if isinstance(config.eos_token_id, int) else {pad}:
        ids[ids == t] = 5
    if config.is_encoder_decoder:
        mask[1, 4:] = 0
    elif spec.get("padded", True):
        mask[1, :2] = 0
    ids[mask == 0] = pad
    return dict(input_ids=ids.tolist(), attention_mask=mask.tolist())


def fresh(root, name):
    folder = os.path.join(root, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def write_case(root, name, spec):
    model = randomise(build(spec), name, spec.get("spread", 0.3), spec.get("frozen", False))
    if "settings" in spec:
        model.generation_config = transformers.GenerationConfig(**spec["settings"])
    folder = fresh(root, name)
    model.save_pretrained(folder)
    rename = spec.get("rename", lambda key: key)
    if "edit" in spec:
        spec["edit"](folder)
    for file in os.listdir(folder):
        if file == "generation_config.json" and not spec["generate"]:
            os.remove(os.path.join(folder, file))
        else:
            os.chmod(os.path.join(folder, file), 0o644)
    if "edit" not in spec:
        check_reload(folder, model, spec, name)
    disk_names = names_on_disk(model, folder, rename)
    for which in spec["io"]:
        write_io(twin_of(model, spec) if spec.get("fresh") else model, spec, name, folder, which, disk_names)
    if spec["generate"]:
        write_generate(model, spec, name, folder)
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(f"{name}: {size / 1000:.0f} kB", flush=True)


def check_reload(folder, model, spec, name):
    """The folder must mean the same to transformers itself."""
    again = getattr(transformers, spec["kind"]).from_pretrained(folder, attn_implementation=spec.get("attention", "eager"), dtype=torch.float32).eval()
    state, saved = model.state_dict(), again.state_dict()
    assert all(torch.equal(state[k], saved[k]) for k in saved), f"{name}: reloading changes weights"


def main(cases):
    torch.set_num_threads(1)
    root, only = sys.argv[1], sys.argv[2:]
    for name, spec in cases.items():
        if not only or name in only:
            write_case(root, name, spec)
