"""Metrics of predicted texts and classes by the packages that people compare with.

    python metrics.py ../../tests/golden

Needs sacrebleu 2.6, rouge-score 0.1.2, jiwer 4 and scikit-learn 1.9. Each case is a set of rows, and what the packages say of all of them.
"""

import json
import os
import random
import sys

import jiwer
import numpy as np
import sacrebleu
from rouge_score import rouge_scorer
from sklearn import calibration, metrics

WORDS = ("the a cat sat on mat It's 3.5 1,000 per-cent e-mail U.S. \"quoted\" naïve Straße 東京 привет 😀 don't and/or (see) [it] x=y 50% $9.99 end. yes, no; what?! "
         "Hello world Ärger mother-in-law 12-34 a.b &amp; &lt;tag&gt; tab\tword  ").split(" ")


def sentence(rng, longest=14):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, longest)))


def changed(rng, text):
    words = text.split(" ")
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(words) + 1)
        act = rng.randrange(3)
        if act == 0:
            words.insert(at, rng.choice(WORDS))
        elif act == 1 and at < len(words):
            words[at] = rng.choice(WORDS)
        elif at < len(words):
            del words[at]
    return rng.choice(["", "", " ", "\n"]) + " ".join(words) + rng.choice(["", "", " ", "."])


def texts(rng, rows, references, empty):
    out = []
    for _ in range(rows):
        target = sentence(rng) or ("" if empty else "one")
        while not empty and not target.strip():
            target = sentence(rng)
        others = [changed(rng, target) for _ in range(references - 1)]
        if not empty:
            others = [o if o.strip() else "two words" for o in others]
        out.append({"prediction": changed(rng, target), "references": [target, *others]})
    return out


def of_texts(rows):
    predictions = [r["prediction"] for r in rows]
    streams = [[r["references"][i] for r in rows] for i in range(len(rows[0]["references"]))]
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    result = {"bleu": sacrebleu.corpus_bleu(predictions, streams).score, "chrf": sacrebleu.corpus_chrf(predictions, streams).score}
    for name in ("rouge1", "rouge2", "rougeL"):
        result[name] = float(np.mean([max(scorer.score(ref, r["prediction"])[name].fmeasure for ref in r["references"]) for r in rows]))
    if all(r["references"][0].strip() for r in rows):
        result["wer"] = jiwer.wer(streams[0], predictions)
        result["cer"] = jiwer.cer(streams[0], predictions)
    result["accuracy"] = float(np.mean([r["prediction"] in r["references"] for r in rows]))
    return result


def classes(rng, rows, names):
    out = []
    for _ in range(rows):
        real = rng.choice(names)
        guess = real if rng.random() < 0.6 else rng.choice(names)
        out.append({"prediction": guess, "references": [real], "confidence": rng.choice([rng.random(), round(rng.random(), 1), 1.0])})
    return out


def of_classes(rows):
    real, guess = [r["references"][0] for r in rows], [r["prediction"] for r in rows]
    p, r, f, _ = metrics.precision_recall_fscore_support(real, guess, average="macro", zero_division=0)
    right, confidence = np.array([float(a == b) for a, b in zip(real, guess)]), np.array([row["confidence"] for row in rows])
    # calibration_curve's bins, with their sizes
    shares, means = calibration.calibration_curve(right, confidence, n_bins=10)
    ids = np.searchsorted(np.linspace(0, 1, 11)[1:-1], confidence)
    sizes = np.bincount(ids, minlength=10)
    gaps = np.abs(shares - means)
    return {"accuracy": metrics.accuracy_score(real, guess), "precision_macro": p, "recall_macro": r, "f1_macro": f,
            "f1_weighted": metrics.f1_score(real, guess, average="weighted", zero_division=0), "matthews_correlation": float(metrics.matthews_corrcoef(real, guess)),
            "brier": float(np.mean((confidence - right) ** 2)), "ece": float((gaps * sizes[sizes > 0]).sum() / len(rows)), "mce": float(gaps.max()),
            "bins": [{"confidence": float(c), "accuracy": float(a), "rows": int(n)} for c, a, n in zip(means, shares, sizes[sizes > 0])]}


def main(golden):
    rng = random.Random(5)
    cases = []
    for i in range(60):
        rows = texts(rng, rng.choice([1, 2, 9]), rng.choice([1, 1, 3]), i % 4 == 3)
        cases.append({"rows": rows, "texts": of_texts(rows)})
    for i in range(20):
        rows = classes(rng, rng.choice([2, 17, 60]), ["yes", "no", "maybe", "never"][: rng.randint(2, 4)])
        if len({r["prediction"] == r["references"][0] for r in rows}) == 2:  # the curve needs both
            cases.append({"rows": rows, "classes": of_classes(rows)})
    with open(os.path.join(golden, "metrics.json"), "w") as f:
        f.write("[" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "]\n")
    print(len(cases), "cases")


main(sys.argv[1])
