"""Writes tests/golden/tasks/xlnet_beams, an XLNetForQuestionAnswering, beam_cases.json: what it answers, and beam_training.json: rows
and the loss of all their windows together.

Run: python tools/golden/answer_beams.py   (transformers 4.57.6, tokenizers 0.22.2, torch 2.15.0)
The reference's pipeline cannot use such a model. Its example run_qa_beam_search does, so features and answers are made here as that does:
p_mask and cls_index beside the tokens; the ends of all starts read at start * end_n_top + end, from a table that has a row for each rank
of the ends; sums of probabilities that become probabilities among the best 20. handle_impossible_answer is not of the example: the empty
answer's score is the sigmoid of the smallest logit of no answer. Cases have the form of tasks.py's.
"""
import json
import os
import shutil

import numpy
import torch
import transformers
from tokenizers import processors

from tasks import CONTEXT, LONG, OUT, randomise, unigram

CASES = []


def tokenizer():
    tok = unigram().backend_tokenizer
    tok.add_special_tokens(["<sep>", "<cls>"])
    sep, cls = tok.token_to_id("<sep>"), tok.token_to_id("<cls>")
    tok.post_processor = processors.TemplateProcessing(single="$A:0 <sep>:0 <cls>:2", pair="$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
                                                       special_tokens=[("<sep>", sep), ("<cls>", cls)])
    return transformers.XLNetTokenizerFast(tokenizer_object=tok, bos_token="</s>", eos_token="</s>", mask_token="<unk>", model_max_length=60)


def make():
    folder = os.path.join(OUT, "xlnet_beams")
    shutil.rmtree(folder, ignore_errors=True)
    tok = tokenizer()
    config = transformers.XLNetConfig(vocab_size=len(tok), d_model=16, n_layer=2, n_head=2, d_inner=24, start_n_top=4, end_n_top=3, pad_token_id=0, dropout=0.0, summary_last_dropout=0.0)
    model = randomise(transformers.XLNetForQuestionAnswering._from_config(config), "xlnet_beams", 0.5)
    model.save_pretrained(folder)
    os.chmod(f"{folder}/model.safetensors", 0o644)
    tok.save_pretrained(folder)
    os.remove(f"{folder}/special_tokens_map.json")
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def features_of(tok, question, context, max_seq_len, doc_stride):
    e = tok(context, question, truncation="only_first", max_length=max_seq_len, stride=doc_stride, return_overflowing_tokens=True,
            return_offsets_mapping=True, return_special_tokens_mask=True, return_token_type_ids=True, padding="max_length")
    for i, ids in enumerate(e["input_ids"]):
        cls = ids.index(tok.cls_token_id)
        in_context = [not special and kind == 0 for special, kind in zip(e["special_tokens_mask"][i], e["token_type_ids"][i])]
        inputs = {k: torch.tensor([e[k][i]]) for k in ("input_ids", "attention_mask", "token_type_ids")}
        inputs["p_mask"] = torch.tensor([[0.0 if inside or k == cls else 1.0 for k, inside in enumerate(in_context)]])
        inputs["cls_index"] = torch.tensor([cls])
        yield inputs, [o if inside else None for o, inside in zip(e["offset_mapping"][i], in_context)]


def answers(model, tok, question, context, top_k=1, handle_impossible_answer=False, max_answer_len=30, max_seq_len=60, doc_stride=30):
    starts, ends = model.config.start_n_top, model.config.end_n_top
    found, empty = [], None
    for inputs, offsets in features_of(tok, question, context, max_seq_len, doc_stride):
        with torch.no_grad():
            y = model(**inputs)
        no_answer = y.cls_logits[0].item()
        empty = no_answer if empty is None else min(empty, no_answer)
        for i in range(starts):
            for j in range(ends):
                start, end = int(y.start_top_index[0, i]), int(y.end_top_index[0, i * ends + j])
                if offsets[start] is None or offsets[end] is None or end < start or end - start + 1 > max_answer_len:
                    continue
                found.append((y.start_top_log_probs[0, i].item() + y.end_top_log_probs[0, i * ends + j].item(), offsets[start][0], offsets[end][1]))
    found = sorted(found, key=lambda x: x[0], reverse=True)[:20]
    scores = numpy.exp([f[0] for f in found])
    rows = [dict(score=float(s / scores.sum()), start=f[1], end=f[2], answer=context[f[1]:f[2]]) for s, f in zip(scores, found)]
    if handle_impossible_answer:
        rows.append(dict(score=float(1 / (1 + numpy.exp(-empty))), start=0, end=0, answer=""))
    rows = sorted(rows, key=lambda r: r["score"], reverse=True)[:top_k]
    for row in rows:
        row["score"] = round(row["score"], 6)
    return rows[0] if len(rows) == 1 else rows


def training(model, tok):
    rows = [dict(question="where do i live?", context=CONTEXT, answers=dict(text=["Berlin"], answer_start=[CONTEXT.index("Berlin")])),
            dict(question="who sings?", context=LONG, answers=dict(text=["Anna"], answer_start=[LONG.index("Anna")])),
            dict(question="who?", context="the bird", answers=dict(text=[], answer_start=[]))]
    batch, windows = {}, 0
    for row in rows:
        starts, texts = row["answers"]["answer_start"], row["answers"]["text"]
        for inputs, offsets in features_of(tok, row["question"], row["context"], 32, 10):
            inside = [i for i, o in enumerate(offsets) if o is not None]
            start = end = int(inputs["cls_index"])
            found = starts and offsets[inside[0]][0] <= starts[0] and offsets[inside[-1]][1] >= starts[0] + len(texts[0])
            if found:
                start = max(i for i in inside if offsets[i][0] <= starts[0])
                end = min(i for i in inside if offsets[i][1] >= starts[0] + len(texts[0]))
            inputs.update(start_positions=torch.tensor([start]), end_positions=torch.tensor([end]), is_impossible=torch.tensor([0.0 if found else 1.0]))
            for key, value in inputs.items():
                batch.setdefault(key, []).append(value)
            windows += 1
    y = model(**{key: torch.cat(values) for key, values in batch.items()})
    return dict(rows=rows, windows=windows, loss=y.loss.item())


def main():
    model, tok = make()
    asked = [("where do i live?", CONTEXT, {}), ("where do i live?", CONTEXT, dict(top_k=9)), ("who sings?", LONG, dict(top_k=30)),
             ("who sings?", LONG, dict(top_k=4, max_seq_len=30, doc_stride=10, max_answer_len=4)),
             ("who sings?", LONG, dict(top_k=12, max_seq_len=24, doc_stride=8, handle_impossible_answer=True)),
             ("where?", "peter is \u732b in n\u00e9wville, not in berlin \U0001f600 bird", dict(top_k=6)),
             ("who is it?", CONTEXT, dict(top_k=2, handle_impossible_answer=True))]
    for question, context, options in asked:
        CASES.append(dict(model="xlnet_beams", task="question-answering", inputs=None, options=dict(question=question, context=context, **options),
                          output=answers(model, tok, question, context, **options)))
    with open(os.path.join(OUT, "beam_cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES) + "\n]\n")
    with open(os.path.join(OUT, "beam_training.json"), "w") as f:
        json.dump(training(model, tok), f)


if __name__ == "__main__":
    main()
