"""Adds to tests/golden/train/: eight updates of every pretraining objective, to be repeated by the program.

    python tools/golden/pretrain.py OUTPUT_FOLDER        (the folder that train_trl.py writes)

Versions: torch 2.15.0, transformers 4.57.6. Float32 on the CPU, dropout 0, rows in the order of the text, AdamW in the groups of
transformers' Trainer, its cosine schedule, gradients clipped at 1; a loss is a mean over all targets of an update. How rows are damaged is
written here a second time from the papers, with the program's counter-based numbers (Philox4x32-10), so that both see the same rows.

  models/pretrain_*        networks before the first step, random in every parameter, with tokenizer files
  data/prose.txt           the text
  pretrain_*.json          as train_trl.py describes; "generator_weights": of the generator, which has a folder of its own
"""
import json
import math
import os
import random
import shutil
import sys

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (BartConfig, BartForConditionalGeneration, BertConfig, BertForMaskedLM, ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining,
                          GPT2LMHeadModel, PreTrainedTokenizerFast, T5ForConditionalGeneration, Trainer, XLNetConfig, XLNetLMHeadModel, get_scheduler)

OUT = sys.argv[1]
WORDS = ("the a cat dog bird sits sleeps sings on under mat tree and then runs fast slow red blue big small house river says hello "
         "world yes no why because sun moon singing sleeping running").split()
BATCH, ACCUMULATION, STEPS, SEED = 2, 2, 8, 1
WORDS_OF_RUN = ("--per-device-train-batch-size 2 --gradient-accumulation-steps 2 --max-steps 8 --learning-rate 2e-3 --logging-steps 1 --seed 1 "
                "--weight-decay 0.1 --warmup-steps 2 --lr-scheduler-type cosine --no-shuffle --save-steps 0").split()


# The program's random numbers: functions of (seed, stream, position, purpose).
def philox(seed, stream, position, purpose):
    low = 0xFFFFFFFF
    c = [position & low, position >> 32, stream & low, stream >> 32]
    k0, k1 = (seed & low) ^ (purpose * 0x9E3779B9 & low), seed >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & low, (p0 >> 32) ^ c[3] ^ k1, p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return c


class Draws:
    """Uniform numbers of one row."""

    def __init__(self, seed, row):
        self.seed, self.row, self.next = seed, row, 1 << 32

    def __call__(self):
        value = (philox(self.seed, self.row, self.next, 3)[0] >> 8) * 2.0**-24
        self.next += 1
        return value

    def below(self, n):
        return min(n - 1, int(self() * n))

    def shuffle(self, values):
        for i in range(len(values) - 1, 0, -1):
            other = self.below(i + 1)
            values[i], values[other] = values[other], values[i]


def prose():
    rng = random.Random(21)
    text = ""
    for _ in range(90):
        text += " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 9))) + rng.choice([" .", " .", " ?"]) + " "
    return text.strip() + "\n"


def save(model, tokenizer, name):
    folder = os.path.join(OUT, "models", name)
    shutil.rmtree(folder, ignore_errors=True)
    g = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_((1.0 if "norm" in n.lower() and n.endswith("weight") else 0.0) + torch.randn(p.shape, generator=g) * (0.1 if p.dim() == 1 else 0.15))
    model.save_pretrained(folder)
    if tokenizer:
        tokenizer.save_pretrained(folder)
        config = os.path.join(folder, "special_tokens_map.json")
        if os.path.exists(config):
            os.remove(config)
    return model.float().train()


def bert_tokenizer():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    # Ends of words are pieces of their own, whatever a trainer would choose.
    stems = sorted({w.removesuffix("ing").removesuffix("s") for w in WORDS})
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", *stems, "##ing", "##s", "##ning"]
    t.model = models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]")
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def word_tokenizer(first, template, **named):
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(first + [".", "?"] + WORDS)}, unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.post_processor = processors.TemplateProcessing(single=template, special_tokens=[(x, first.index(x)) for x in template.split() if x != "$A"])
    return PreTrainedTokenizerFast(tokenizer_object=t, pad_token="<pad>", unk_token="<unk>", **named)


def ids_of(name):
    """The text's tokens without any that are put around it, and the tokenizer."""
    t = PreTrainedTokenizerFast.from_pretrained(os.path.join(OUT, "models", name))
    with open(os.path.join(OUT, "data", "prose.txt")) as f:
        return t(f.read(), add_special_tokens=False)["input_ids"], t


def updates(ids, row_tokens):
    """Micro-batches of every update: lists of (tokens of a row, its draws)."""
    rows = len(ids) // row_tokens
    per_pass = (rows + BATCH - 1) // BATCH
    steps_of_pass = (per_pass + ACCUMULATION - 1) // ACCUMULATION
    for step in range(STEPS):
        epoch, first = step // steps_of_pass, step % steps_of_pass * ACCUMULATION
        yield [[(ids[r * row_tokens : (r + 1) * row_tokens], Draws(SEED + epoch + 1, r)) for r in range(b * BATCH, min(rows, (b + 1) * BATCH))]
               for b in range(first, min(per_pass, first + ACCUMULATION))]


def run(name, words, parts, steps, generator=None):
    """`parts`: the networks; steps: for each update a function that gives its loss with gradients, and what else is logged."""
    unique, groups = {}, {True: [], False: []}
    for part in parts:
        decays = set(Trainer.get_decay_parameter_names(None, part))
        for n, p in part.named_parameters():
            if id(p) not in unique:
                unique[id(p)] = p
                groups[n in decays].append(p)
    optimizer = torch.optim.AdamW([{"params": groups[True], "weight_decay": 0.1}, {"params": groups[False], "weight_decay": 0.0}], lr=2e-3)
    schedule = get_scheduler("cosine", optimizer, 2, STEPS)
    rows = []
    for i, step in enumerate(steps):
        rate = schedule.get_last_lr()[0]
        optimizer.zero_grad()
        loss, more = step()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(unique.values()), 1.0)
        optimizer.step()
        schedule.step()
        rows.append({"step": i + 1, "loss": loss.item(), "grad_norm": norm.item(), "learning_rate": rate, **more})

    def weights(model):
        # Key biases have no gradient but rounding, and what is on disk is asked for: tied weights once.
        folder = os.path.join(OUT, "made")
        model.save_pretrained(folder)
        tensors = load_file(os.path.join(folder, "model.safetensors"))
        shutil.rmtree(folder)
        still = ("key.bias", "k_proj.bias", "c_attn.bias")
        return {k: {"norm": v.double().norm().item(), "first": v.flatten()[:4].tolist()} for k, v in tensors.items() if not k.endswith(still) and k != "final_logits_bias"}

    made = {"arguments": ["pretrain", *words, "--train-file", "data/prose.txt", *WORDS_OF_RUN], "rows": rows, "weights": weights(parts[0])}
    if generator is not None:
        made["generator_weights"] = weights(generator)
    with open(os.path.join(OUT, name + ".json"), "w") as f:
        json.dump(made, f, separators=(",", ":"))
    print(name, [round(r["loss"], 4) for r in rows])


def padded(rows, value):
    longest = max(map(len, rows))
    return torch.tensor([r + [value] * (longest - len(r)) for r in rows])


def damaged_steps(model, ids, row_tokens, damage, pad):
    """Updates of networks that read damaged rows and are told their labels; damage(row, draw) -> (input, labels)."""
    def steps():
        for batches in updates(ids, row_tokens):
            made = [[damage(row, draw) for row, draw in batch] for batch in batches]
            total = sum(x != -100 for batch in made for _, labels in batch for x in labels)

            def step(made=made, total=total):
                loss = 0
                for batch in made:
                    labels = padded([y for _, y in batch], -100)
                    inputs = padded([x for x, _ in batch], pad)
                    mask = padded([[1] * len(x) for x, _ in batch], 0)
                    loss = loss + model(input_ids=inputs, attention_mask=mask, labels=labels).loss * (labels != -100).sum() / total
                return loss, {}
            yield step
    return steps()


def clm():
    model = GPT2LMHeadModel.from_pretrained(os.path.join(OUT, "models", "gpt2"), attn_implementation="eager").float().train()
    ids, _ = ids_of("gpt2")
    block, blocks = 24, (len(ids) - 1) // 24
    per_pass = (blocks + BATCH - 1) // BATCH

    def steps():
        for i in range(STEPS):
            first = i % ((per_pass + 1) // 2) * ACCUMULATION
            rows = [r for b in range(first, min(per_pass, first + ACCUMULATION)) for r in range(b * BATCH, min(blocks, (b + 1) * BATCH))]

            def step(rows=rows):
                x = torch.tensor([ids[r * block : (r + 1) * block] for r in rows])
                y = torch.tensor([ids[r * block + 1 : (r + 1) * block + 1] for r in rows])
                return torch.nn.functional.cross_entropy(model(input_ids=x).logits.flatten(0, 1), y.flatten()), {}
            yield step
    run("pretrain_clm", ["--model", "models/gpt2", "--block-size", "24"], [model], steps())


def mlm(name, whole_word):
    t = bert_tokenizer()
    model = save(BertForMaskedLM._from_config(BertConfig(vocab_size=len(t), hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20,
                                                         max_position_embeddings=32, hidden_dropout_prob=0, attention_probs_dropout_prob=0), attn_implementation="eager"),
                 t, "pretrain_bert")
    ids, t = ids_of("pretrain_bert")
    special = set(t.all_special_ids)

    def damage(row, draw):
        x, labels, chosen = [t.cls_token_id, *row, t.sep_token_id], [-100] * (len(row) + 2), False
        for i, token in enumerate(row):
            if not (whole_word and i > 0 and t.convert_ids_to_tokens(token).startswith("##")):
                chosen = draw() < 0.15
            kind = draw()
            if not chosen or token in special:
                continue
            labels[i + 1] = token
            if kind < 0.8:
                x[i + 1] = t.mask_token_id
            elif kind < 0.9:
                x[i + 1] = draw.below(len(t))
        return x, labels
    run(name, ["--model", "models/pretrain_bert", "--objective", "mlm", "--block-size", "26", *(["--whole-word"] if whole_word else [])], [model],
        damaged_steps(model, ids, 24, damage, t.pad_token_id))


def span():
    model = T5ForConditionalGeneration.from_pretrained(os.path.join(OUT, "models", "t5"), attn_implementation="eager").float().train()
    ids, t = ids_of("t5")
    row_tokens = 1
    while True:  # the longest row that still gives inputs of at most 24 tokens
        noisy = round((row_tokens + 1) * 0.15)
        if row_tokens + 1 - noisy + round(noisy / 3) + 1 > 24:
            break
        row_tokens += 1

    def segments(items, count, draw):
        starts = [1] * (count - 1) + [0] * (items - count)
        draw.shuffle(starts)
        sizes = [1]
        for s in starts:
            if s:
                sizes.append(0)
            sizes[-1] += 1
        return sizes

    def damage(row, draw):
        noisy = min(max(round(len(row) * 0.15), 1), len(row) - 1)
        spans = max(1, round(min(noisy, len(row) - noisy) / 3))
        hidden, clear = segments(noisy, spans, draw), segments(len(row) - noisy, spans, draw)
        x, y, at = [], [], 0
        for k, (c, h) in enumerate(zip(clear, hidden)):
            sentinel = len(t) - 1 - k
            x += row[at : at + c] + [sentinel]
            y += [sentinel] + row[at + c : at + c + h]
            at += c + h
        return x + [t.eos_token_id], y + [t.eos_token_id]
    run("pretrain_span", ["--model", "models/t5", "--objective", "span", "--block-size", "24"], [model], damaged_steps(model, ids, row_tokens, damage, t.pad_token_id))


def poisson(mean, u):
    k, term = 0, math.exp(-mean)
    total = term
    while total <= u and term > 0:
        k += 1
        term *= mean / k
        total += term
    return k


def denoising():
    t = word_tokenizer(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s> $A </s>", bos_token="<s>", eos_token="</s>", mask_token="<mask>")
    model = save(BartForConditionalGeneration._from_config(
        BartConfig(vocab_size=len(t), d_model=12, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=3, encoder_ffn_dim=20,
                   decoder_ffn_dim=16, max_position_embeddings=32, dropout=0, attention_dropout=0, activation_dropout=0, forced_eos_token_id=None,
                   forced_bos_token_id=None), attn_implementation="eager"), t, "pretrain_bart")
    ids, t = ids_of("pretrain_bart")
    ends = {t.convert_tokens_to_ids("."), t.convert_tokens_to_ids("?")}

    def damage(row, draw):
        sentences = [[]]
        for token in row:
            sentences[-1].append(token)
            if token in ends:
                sentences.append([])
        sentences = [s for s in sentences if s]
        draw.shuffle(sentences)
        text = [token for s in sentences for token in s]
        hidden = min(max(round(0.3 * len(text)), 1), len(text))
        sizes = []
        while sum(sizes) < hidden:
            sizes.append(min(hidden - sum(sizes), poisson(3.0, draw())))
        while len(sizes) > hidden:
            del sizes[len(sizes) - 1 - sizes[::-1].index(0)]
        places = [0] * (len(text) - hidden) + [1] * len(sizes)
        draw.shuffle(places)
        x, at = [], 0
        for place in places:
            x.append(t.mask_token_id if place else text[at])
            at += sizes.pop(0) if place else 1
        return [t.bos_token_id, *x, t.eos_token_id], [t.bos_token_id, *row, t.eos_token_id]
    run("pretrain_denoising", ["--model", "models/pretrain_bart", "--objective", "denoising", "--block-size", "28"], [model],
        damaged_steps(model, ids, 26, damage, t.pad_token_id))


def rtd():
    t = bert_tokenizer()
    base = dict(vocab_size=len(t), embedding_size=8, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=32, hidden_dropout_prob=0,
                attention_probs_dropout_prob=0)
    model = save(ElectraForPreTraining._from_config(ElectraConfig(**base, hidden_size=12, intermediate_size=20), attn_implementation="eager"), t, "pretrain_electra")
    generator = save(ElectraForMaskedLM._from_config(ElectraConfig(**base, hidden_size=4, intermediate_size=8), attn_implementation="eager"), None, "pretrain_generator")
    generator.electra.embeddings = model.electra.embeddings
    generator.generator_lm_head.weight = model.electra.embeddings.word_embeddings.weight
    ids, t = ids_of("pretrain_electra")
    special = set(t.all_special_ids)

    def damage(row, draw):
        x = [t.cls_token_id, *row, t.sep_token_id]
        places = [i for i in range(1, len(row) + 1) if x[i] not in special]
        draw.shuffle(places)
        places = sorted(places[: math.ceil(0.15 * len(row))])
        return x, places, [draw() for _ in places]

    def steps():
        for batches in updates(ids, 24):
            made = [[damage(row, draw) for row, draw in batch] for batch in batches]
            total = sum(len(places) for batch in made for _, places, _ in batch)

            def step(made=made, total=total):
                loss, seen = 0, {"generator_loss": [], "discriminator_loss": [], "generator_hits": []}
                for batch in made:
                    x = torch.tensor([r for r, _, _ in batch])
                    masked, labels, filled = x.clone(), torch.full_like(x, -100), x.clone()
                    for r, (_, places, _) in enumerate(batch):
                        masked[r, places] = t.mask_token_id
                        labels[r, places] = x[r, places]
                    said = generator(input_ids=masked, labels=labels)
                    for r, (_, places, draws) in enumerate(batch):
                        for place, u in zip(places, draws):
                            sums = torch.softmax(said.logits[r, place].detach().double(), 0).cumsum(0)
                            # Far enough from a border that no rounding decides.
                            assert (sums - u).abs().min() > 3e-6
                            filled[r, place] = int((sums <= u).sum())
                    told = model(input_ids=filled, labels=(filled != x).long())
                    share = (labels != -100).sum() / total
                    loss = loss + (said.loss + 50 * told.loss) * share
                    seen["generator_loss"].append(said.loss.item())
                    seen["discriminator_loss"].append(told.loss.item())
                    seen["generator_hits"].append((filled == x)[labels != -100].float().mean().item())
                return loss, {k: sum(v) / len(v) for k, v in seen.items()}
            yield step
    run("pretrain_rtd", ["--model", "models/pretrain_electra", "--generator", "models/pretrain_generator", "--objective", "rtd", "--block-size", "26"],
        [model, generator], steps(), generator)


def plm():
    t = word_tokenizer(["<unk>", "<pad>", "<sep>", "<cls>"], "$A <sep> <cls>", sep_token="<sep>", cls_token="<cls>")
    model = save(XLNetLMHeadModel(XLNetConfig(vocab_size=len(t), d_model=12, n_layer=2, n_head=2, d_inner=20, dropout=0, mem_len=None, pad_token_id=1)), t, "pretrain_xlnet")
    ids, t = ids_of("pretrain_xlnet")

    def damage(row, draw):
        n, begin, targets = len(row) + 2, 0, []
        while begin < len(row):
            length = 1 + draw.below(5)
            context = int(length / (1 / 6))
            start = begin + draw.below(context - length + 1)
            targets += [i for i in range(start, start + length) if i < len(row)]
            begin += context
        order = list(range(n))
        draw.shuffle(order)
        rank = [order.index(i) if i in targets or i >= len(row) else -1 for i in range(n)]
        # Token i sees what is not predicted, and of the others those before it; the two at the end also themselves.
        hidden = [[float(rank[j] != -1 and (rank[j] > rank[i] or (rank[j] == rank[i] and i in targets))) for j in range(n)] for i in range(n)]
        return [*row, t.sep_token_id, t.cls_token_id], targets, hidden

    def steps():
        for batches in updates(ids, 24):
            made = [[damage(row, draw) for row, draw in batch] for batch in batches]
            total = sum(len(targets) for batch in made for _, targets, _ in batch)

            def step(made=made, total=total):
                loss = 0
                for batch in made:
                    most = max(len(targets) for _, targets, _ in batch)
                    mapping, labels = torch.zeros(len(batch), most, 26), torch.full((len(batch), most), -100)
                    for r, (x, targets, _) in enumerate(batch):
                        for g, place in enumerate(targets):
                            mapping[r, g, place] = 1
                            labels[r, g] = x[place]
                    out = model(input_ids=torch.tensor([x for x, _, _ in batch]), perm_mask=torch.tensor([h for _, _, h in batch]), target_mapping=mapping,
                                labels=labels, use_mems=False)
                    loss = loss + out.loss * (labels != -100).sum() / total
                return loss, {}
            yield step
    run("pretrain_plm", ["--model", "models/pretrain_xlnet", "--objective", "plm", "--block-size", "26"], [model], steps())


def main():
    torch.set_num_threads(1)
    with open(os.path.join(OUT, "data", "prose.txt"), "w") as f:
        f.write(prose())
    clm()
    mlm("pretrain_mlm", False)
    mlm("pretrain_whole_word", True)
    span()
    denoising()
    rtd()
    plm()


if __name__ == "__main__":
    main()
