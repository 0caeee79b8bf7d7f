"""Writes tests/golden/tasks/sentences*: what sentence-transformers makes of texts with tiny random models, and sentence_cases.json.

Run: python tools/golden/sentences.py   (sentence-transformers 5.1.2, transformers 4.57.6, torch 2.15.0; after tasks.py)
Cases have the form of tasks.py's. sentence-similarity answers as the hub's task of that name does, with the cosines of one sentence's vector and the
others'; text-ranking as text-embeddings-inference does, with what CrossEncoder.rank() gives.
"""
import json
import os
import shutil

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer

OUT = os.path.join(os.path.dirname(__file__), "../../tests/golden/tasks")
TEXTS = ["The bird sings in the park", "Anna lives in Paris.", "a", "", "it was very good and we live in Newville, you and Peter Smithson too; not in Berlin"]
CASES = []


def add(model, task, inputs, output, **options):
    CASES.append(dict(model=model, task=task, inputs=inputs, options=options, output=output))


def plain(tensor):
    return [[round(float(v), 6) for v in row] for row in tensor]


def save(name, modules, **more):
    model = SentenceTransformer(modules=modules, **more).eval()
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save(folder, create_model_card=False)
    for extra in ("special_tokens_map.json", "vocab.txt"):
        os.path.exists(f"{folder}/{extra}") and os.remove(f"{folder}/{extra}")
    for where, _, files in os.walk(folder):
        for file in files:
            os.chmod(os.path.join(where, file), 0o644)
    return SentenceTransformer(folder, device="cpu")


def similarity(model, source, others, **options):
    vectors = model.encode([source, *others], convert_to_tensor=True, **options)
    return [round(float(v), 6) for v in torch.nn.functional.cosine_similarity(vectors[:1], vectors[1:])]


def sentence_models():
    torch.manual_seed(3)
    base = Transformer(os.path.join(OUT, "bert_mask"), max_seq_length=18)
    width = base.get_word_embedding_dimension()
    several = Pooling(width, pooling_mode_cls_token=True, pooling_mode_mean_tokens=True, pooling_mode_max_tokens=True, pooling_mode_mean_sqrt_len_tokens=True)
    dense = [Dense(4 * width, 12), Dense(12, 9, bias=False, activation_function=torch.nn.Identity())]
    first = save("sentences", [base, several, *dense, Normalize()], prompts={"query": "who is ", "passage": ""})
    second = save("sentences_weighted", [base, Pooling(width, pooling_mode_weightedmean_tokens=True, pooling_mode_lasttoken=True, pooling_mode_mean_tokens=False, include_prompt=False)],
                  prompts={"query": "what is it: "}, default_prompt_name="query")
    for name, model in (("sentences", first), ("sentences_weighted", second)):
        add(name, "sentence-embedding", TEXTS, plain(model.encode(TEXTS)))
        add(name, "sentence-embedding", TEXTS[:2], plain(model.encode(TEXTS[:2], prompt_name="query")), prompt_name="query")
        add(name, "sentence-embedding", TEXTS[:2], plain(model.encode(TEXTS[:2], prompt="a bird ")), prompt="a bird ")
        add(name, "sentence-similarity", TEXTS[1:3], similarity(model, TEXTS[0], TEXTS[1:3]), source_sentence=TEXTS[0])
        add(name, "sentence-similarity", {"source_sentence": "Anna sings", "sentences": TEXTS[:3]}, similarity(model, "Anna sings", TEXTS[:3]))


def ranks(model, query, **options):
    texts = [t for t in TEXTS if t]
    got = model.rank(query, texts, **options)
    return [{"index": r["corpus_id"], "score": round(float(r["score"]), 6), **({"text": r["text"]} if "text" in r else {})} for r in got]


def cross_encoders():
    model = CrossEncoder(os.path.join(OUT, "bert_one"), device="cpu")
    texts = [t for t in TEXTS if t]
    add("bert_one", "text-ranking", texts, ranks(model, "Where is the bird?"), query="Where is the bird?")
    add("bert_one", "rerank", texts, ranks(model, "who sings", top_k=2, return_documents=True), query="who sings", top_k=2, return_text=True)
    add("bert_one", "text-ranking", texts, ranks(model, "who sings", activation_fn=torch.nn.Identity()), query="who sings", raw_scores=True)


sentence_models()
cross_encoders()
with open(os.path.join(OUT, "sentence_cases.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES) + "\n]\n")
