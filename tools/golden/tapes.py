#!/usr/bin/env python3
"""Requests and answers of Hugging Face's Inference API for every task, for the server to replay: tests/golden/tasks/tapes.json.

    tools/golden/tapes.py

What the reference's pipelines said of the models in tests/golden/tasks (tasks.py, vision_tasks.py and their like wrote it down) is put
into the forms in which the API was seen to ask and to answer: see the rows below. A tape is {task, path, body or media, answer}, with
"user_agent" where the answer depends on it and "status" where it is not 200. In a body {"$file": NAME} stands for that file of
tests/golden/media in base64; in an answer "$png" stands for any picture in base64, and "$sound" for a sound's bytes.
"""

import json
import math
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/tasks"
JAVASCRIPT = "@huggingface/inference/4.0.0"
tapes = []


def cases(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def tape(task, path, answer, **more):
    tapes.append({"task": task, "path": path, **more, "answer": answer})


def of_task(all_cases, task):
    return [case for case in all_cases if case["task"] == task]


def file(path):
    """The place of a file of the reference's case in a request."""
    return {"$file": path.removeprefix("media/")}


def with_parameters(inputs, options):
    return {"inputs": inputs, "parameters": options} if options else {"inputs": inputs}


def shown(value):
    """Pictures are compared as pictures elsewhere: here that they are some."""
    if isinstance(value, dict):
        return {key: "$png" if key in ("mask", "depth") else shown(item) for key, item in value.items() if not (key == "score" and item is None)}
    return [shown(item) for item in value] if isinstance(value, list) else value


texts, vision, multimodal = cases("cases"), cases("vision_cases"), cases("multimodal_cases")
sentences, speech, video = cases("sentence_cases"), cases("speech_cases"), cases("video_document_cases")
tables, beams = cases("table_cases"), cases("beam_cases")

# text-classification: a list of all labels for each text, in a list of its own also for one text.
one, two = texts[5]["inputs"]
tape("text-classification", "/models/bert_classifier", [texts[5]["output"][0]], body={"inputs": one, "options": {}})
tape("text-classification", "/models/bert_classifier/pipeline/text-classification", [texts[5]["output"][1]], body={"inputs": two})
tape("text-classification", "/pipeline/sentiment-analysis/bert_classifier", texts[5]["output"], body={"inputs": [one, two]})
tape("text-classification", "/models/bert_classifier", [texts[4]["output"]], body=with_parameters(texts[4]["inputs"], {"top_k": 2}))
tape("text-classification", "/models/bert_classifier", [texts[7]["output"]], body=with_parameters(texts[7]["inputs"], {"function_to_apply": "sigmoid"}))
# token-classification: words of one entity together unless told otherwise.
tape("token-classification", "/models/bert_tags", texts[35]["output"], body={"inputs": texts[35]["inputs"], "options": {"use_cache": False}})
for i in (25, 27, 29, 31, 33):
    tape("token-classification", "/models/bert_tags", texts[i]["output"], body=with_parameters(texts[i]["inputs"], texts[i]["options"]))
for i in (47, 49, 50, 51, 52):
    tape("fill-mask", "/models/bert_mask", texts[i]["output"], body=with_parameters(texts[i]["inputs"], texts[i]["options"]))
# question-answering: the question and its context are the inputs.
for i in (59, 60, 62, 65):
    options = dict(texts[i]["options"])
    asked = {key: options.pop(key) for key in ("question", "context")}
    tape("question-answering", "/models/bert_answers", texts[i]["output"], body=with_parameters(asked, options))
tape("question-answering", "/models/bert_answers", texts[72]["output"], body={"inputs": texts[72]["inputs"]})
asked = {key: beams[1]["options"][key] for key in ("question", "context")}
tape("question-answering", "/models/xlnet_beams", beams[1]["output"], body=with_parameters(asked, {"top_k": beams[1]["options"]["top_k"]}))
# table-question-answering: the table and its query are the inputs; the JavaScript client calls that a question too and wants an aggregator always.
for i in (0, 1):
    tape("table-question-answering", "/models/tapas", tables[i]["output"], body={"inputs": tables[i]["inputs"], "options": {"wait_for_model": True}})
    tape("table-question-answering", "/pipeline/table-question-answering/tapas", tables[i]["output"], user_agent=JAVASCRIPT,
         body={"inputs": {"question": tables[i]["inputs"]["query"], "table": tables[i]["inputs"]["table"]}})
turn = next(case for case in tables if case["options"].get("sequential"))
asked = {key: turn["options"][key] for key in ("query", "table")}
tape("table-question-answering", "/models/tapas/pipeline/table-question-answering", turn["output"], body={"inputs": asked, "parameters": {"sequential": True}})
plain = next(case for case in tables if case["model"] == "tapas_sqa")
tape("table-question-answering", "/models/tapas_sqa", plain["output"], body={"inputs": plain["inputs"]})
tape("table-question-answering", "/models/tapas_sqa", {**plain["output"], "aggregator": "NONE"}, user_agent=JAVASCRIPT, body={"inputs": plain["inputs"]})
# zero-shot-classification: rows of one text, the pipeline's own form for several.
for i in (73, 77):
    said = texts[i]["output"]
    rows = [{"label": label, "score": score} for label, score in zip(said["labels"], said["scores"])]
    tape("zero-shot-classification", "/models/bert_nli", rows, body=with_parameters(texts[i]["inputs"], texts[i]["options"]))
tape("zero-shot-classification", "/models/bert_nli", texts[75]["output"], body=with_parameters(texts[75]["inputs"], texts[75]["options"]))
for i in (81, 82, 83):
    tape("text-generation", "/models/gpt2", texts[i]["output"], body=with_parameters(texts[i]["inputs"], texts[i]["options"]))
tape("text2text-generation", "/models/t5", texts[98]["output"], body=with_parameters(texts[98]["inputs"], {"max_new_tokens": 6}))
for i in (102, 103):
    tape("summarization", "/models/t5/pipeline/summarization", texts[i]["output"], body={"inputs": texts[i]["inputs"], "parameters": {"generate_parameters": texts[i]["options"]}})
for i, task in ((104, "translation_en_to_de"), (106, "translation"), (105, "translation_en_to_de")):
    tape("translation", f"/pipeline/{task}/t5", texts[i]["output"], body=with_parameters(texts[i]["inputs"], texts[i]["options"]))
tape("translation", "/models/mbart/pipeline/translation", texts[109]["output"], body=with_parameters(texts[109]["inputs"], texts[109]["options"]))
# feature-extraction: a row for each token, in a list of its own for each text; sentence-transformers' one vector of length 1.
tape("feature-extraction", "/pipeline/feature-extraction/bert_mask", texts[56]["output"], body={"inputs": texts[56]["inputs"], "options": {"wait_for_model": True}})
tape("feature-extraction", "/models/bert_mask/pipeline/feature-extraction", texts[57]["output"], body={"inputs": texts[57]["inputs"]})


def unit(row):
    length = math.sqrt(sum(v * v for v in row))
    return [v / length for v in row]


tape("feature-extraction", "/models/sentences/pipeline/feature-extraction", unit(sentences[0]["output"][0]), body={"inputs": sentences[0]["inputs"][0]})
tape("feature-extraction", "/models/sentences", [unit(row) for row in sentences[1]["output"]], body={"inputs": sentences[1]["inputs"], "prompt_name": "query"})
tape("sentence-embedding", "/models/sentences/pipeline/sentence-embedding", sentences[1]["output"], body=with_parameters(sentences[1]["inputs"], sentences[1]["options"]))
tape("sentence-similarity", "/models/sentences", sentences[4]["output"], body={"inputs": sentences[4]["inputs"], "options": {}})
tape("sentence-similarity", "/pipeline/sentence-similarity/sentences", sentences[4]["output"], body={"inputs": sentences[4]["inputs"]})
tape("text-ranking", "/models/bert_one/pipeline/text-ranking", sentences[10]["output"], body=with_parameters(sentences[10]["inputs"], sentences[10]["options"]))

# Pictures and sounds: the bytes alone, or base64 in JSON where something is said with them.
for i in (0, 7):
    tape("image-classification", f"/models/{vision[i]['model']}", vision[i]["output"], media=vision[i]["inputs"].removeprefix("media/"))
tape("image-classification", "/models/vit_classifier", vision[3]["output"], body=with_parameters(file(vision[3]["inputs"]), vision[3]["options"]))
for i in (9, 12):
    tape("zero-shot-image-classification", f"/models/{vision[i]['model']}", vision[i]["output"], body=with_parameters(file(vision[i]["inputs"]), vision[i]["options"]))
tape("zero-shot-image-classification", "/models/clip", vision[9]["output"], user_agent=JAVASCRIPT, body=with_parameters({"image": file(vision[9]["inputs"])}, vision[9]["options"]))
tape("object-detection", "/models/yolos", vision[18]["output"], media=vision[18]["inputs"].removeprefix("media/"))
for i in (16, 20):
    tape("object-detection", f"/models/{vision[i]['model']}", vision[i]["output"], body=with_parameters(file(vision[i]["inputs"]), vision[i]["options"]))
tape("image-segmentation", "/models/segformer", shown(vision[22]["output"]), media=vision[22]["inputs"].removeprefix("media/"))
for i in (24, 26):
    tape("image-segmentation", "/models/detr_masks", shown(vision[i]["output"]), body=with_parameters(file(vision[i]["inputs"]), vision[i]["options"]))
tape("depth-estimation", "/models/dpt/pipeline/depth-estimation", shown(vision[29]["output"]), media=vision[29]["inputs"].removeprefix("media/"))
features, masks = of_task(vision, "image-feature-extraction")[0], of_task(vision, "mask-generation")[0]
tape("image-feature-extraction", "/models/vit_model", features["output"], media=features["inputs"].removeprefix("media/"))
tape("mask-generation", "/models/sam", {**masks["output"], "masks": ["$png"] * len(masks["output"]["masks"])}, body=with_parameters(file(masks["inputs"]), masks["options"]))
words = multimodal[0]
tape("image-to-text", "/models/vit_words", words["output"], body=with_parameters(file(words["inputs"]), {"generation_parameters": words["options"]}))
tape("image-to-text", "/models/vit_words", words["output"][0], user_agent=JAVASCRIPT, body=with_parameters(file(words["inputs"]), words["options"]))
asked = multimodal[8]["inputs"]
tape("visual-question-answering", "/models/blip_answers", multimodal[8]["output"], body={"inputs": {"question": asked["question"], "image": file(asked["image"])}})
tape("visual-question-answering", "/models/blip_answers", multimodal[8]["output"], body={"question": asked["question"], "image": file(asked["image"])})
tape("visual-question-answering", "/models/blip_answers", multimodal[8]["output"], body={"inputs": file(asked["image"]), "question": asked["question"], "image": file(asked["image"])})
tape("image-text-to-text", "/models/llava", multimodal[12]["output"], body=with_parameters(file(multimodal[12]["inputs"]), multimodal[12]["options"]))
for i in (4, 6):
    asked = video[i]["inputs"]
    tape("document-question-answering", "/models/donut/pipeline/document-question-answering", video[i]["output"], body={"inputs": {"image": file(asked["image"]), "question": asked["question"]}})
tape("video-classification", "/models/videomae", video[0]["output"], media=video[0]["inputs"].removeprefix("media/"))
tape("automatic-speech-recognition", "/models/wav2vec2_ctc", speech[6]["output"], media=speech[6]["inputs"].removeprefix("media/"))
for i in (7, 0, 1):
    tape("automatic-speech-recognition", f"/models/{speech[i]['model']}", speech[i]["output"], body=with_parameters(file(speech[i]["inputs"]), speech[i]["options"]))
for case in of_task(speech, "zero-shot-audio-classification")[::2]:
    tape("zero-shot-audio-classification", f"/models/{case['model']}", case["output"], body=with_parameters(file(case["inputs"]), case["options"]))
plain, two = of_task(speech, "audio-classification")[:2]
tape("audio-classification", "/models/wav2vec2_keywords", plain["output"], media=plain["inputs"].removeprefix("media/"))
tape("audio-classification", "/models/wav2vec2_keywords", two["output"], body=with_parameters(file(two["inputs"]), two["options"]))
tape("text-to-audio", "/models/vits", "$sound", body={"inputs": "hello there!", "options": {}})
tape("text-to-audio", "/models/vits/pipeline/text-to-speech", "$sound", body={"inputs": "hello there!"})

# What is wrong, in the words that clients look for.
tape("fill-mask", "/models/this-model-does-not-exist-123", {"error": "Model this-model-does-not-exist-123 does not exist"}, status=404, body={"inputs": "[MASK] world!"})
tape("question-answering", "/models/bert_answers", {"error": ["Error in `inputs.context`: field required"]}, status=400, body={"inputs": {"question": "Who?"}})
tape("table-question-answering", "/models/tapas", {"error": ["Error in `inputs.table`: field required"]}, status=400, body={"inputs": {"query": "Who?"}})
tape("text-classification", "/models/bert_classifier", {"error": ["Error in `inputs`: field required"]}, status=400, body={"options": {}})

(FOLDER / "tapes.json").write_text("[\n" + ",\n".join(json.dumps(t, separators=(",", ":"), ensure_ascii=False) for t in tapes) + "\n]\n")
print(len(tapes), "tapes of", len({t["task"] for t in tapes}), "tasks")
