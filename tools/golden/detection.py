"""Writes tests/golden/detection.json: scores of boxes by pycocotools for tests/train/detection_metric_test.cpp.

Run: python tools/golden/detection.py   (pycocotools 2.0, numpy)
"""
import contextlib
import io
import json
import os

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

OUT = os.path.join(os.path.dirname(__file__), "../../tests/golden/detection.json")


def case(seed, pictures, classes, miss, jitter, extra, coarse=False):
    r = np.random.default_rng(seed)
    rows = []
    for _ in range(pictures):
        truth, found = [], []
        for _ in range(r.integers(0, 6)):
            box = [*r.uniform(0, 60, 2), *r.uniform(4, 40, 2)]
            label = int(r.integers(classes))
            truth.append([label, *(round(v, 2) for v in box)])
            for _ in range(1 + (r.random() < 0.2)):
                if r.random() > miss:
                    moved = [v + r.normal(0, jitter) for v in box]
                    found.append([label if r.random() < 0.9 else int(r.integers(classes)), r.random(), *moved[:2], max(moved[2], 1), max(moved[3], 1)])
        for _ in range(r.integers(0, extra + 1)):
            found.append([int(r.integers(classes)), r.random() * 0.7, *r.uniform(0, 60, 2), *r.uniform(4, 40, 2)])
        found = [[f[0], round(f[1], 1 if coarse else 4), *(round(v, 2) for v in f[2:])] for f in found]
        rows.append(dict(truth=truth, found=found))
    return dict(pictures=rows, scores=scores(rows, classes))


def scores(rows, classes):
    annotations = [dict(id=k + 1, image_id=i, category_id=t[0], bbox=t[1:], area=t[3] * t[4], iscrowd=0)
                   for k, (i, t) in enumerate((i, t) for i, row in enumerate(rows) for t in row["truth"])]
    results = [dict(image_id=i, category_id=f[0], score=f[1], bbox=f[2:]) for i, row in enumerate(rows) for f in row["found"]]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(info={}, images=[dict(id=i) for i in range(len(rows))], categories=[dict(id=c) for c in range(classes)], annotations=annotations)
        coco.createIndex()
        e = COCOeval(coco, coco.loadRes(results), "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    return dict(map=e.stats[0], map_50=e.stats[1], map_75=e.stats[2], mar_100=e.stats[8])


CASES = [case(1, 12, 3, 0.2, 2, 3), case(2, 5, 1, 0.0, 0.5, 0), case(3, 20, 6, 0.4, 4, 8), case(4, 10, 2, 0.1, 3, 4, coarse=True), case(5, 1, 2, 0.0, 1, 120),
         case(6, 3, 4, 0.9, 1, 1)]
with open(OUT, "w") as f:
    json.dump(CASES, f, separators=(",", ":"))
for c in CASES:
    print(c["scores"])
