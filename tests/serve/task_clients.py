"""Every task through the unmodified Python client of Hugging Face, and through plain requests in the shapes that the clients of both languages and
the older API send. Answers are held against the JSON Schemas of the tasks that the package @huggingface/tasks carries. Arguments: the server's
URL, the folder of the package's schemas (src/tasks), the folder of golden media. The server has the tiny models of tests/golden/tasks under
their folders' names."""

import base64
import json
import pathlib
import re
import sys
import traceback

import jsonschema
import referencing
import requests
from huggingface_hub import InferenceClient

URL, SCHEMAS, MEDIA = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
PICTURE, SOUND = (MEDIA / "picture.png").read_bytes(), (MEDIA / "sound.wav").read_bytes()
PICTURE64, SOUND64 = base64.b64encode(PICTURE).decode(), base64.b64encode(SOUND).decode()
registry = referencing.Registry()
for path in SCHEMAS.rglob("*.json"):
    schema = json.loads(path.read_text())
    if isinstance(schema, dict) and "$id" in schema:
        registry = registry.with_resource(schema["$id"], referencing.Resource.from_contents(schema, default_specification=referencing.jsonschema.DRAFT6))
failed = 0


def mended(schema):
    """As it is meant: some name their required properties in another spelling than they have, and say "nullable" as OpenAPI does."""
    if isinstance(schema, list):
        return [mended(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: mended(value) for key, value in schema.items()}
    if isinstance(out.get("required"), list):
        out["required"] = [re.sub("([A-Z])", lambda m: "_" + m.group(1).lower(), name) if name not in out.get("properties", {}) else name for name in out["required"]]
    if out.get("nullable") is True and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


def fits(task, answer):
    schema = mended(json.loads((SCHEMAS / task / "spec" / "output.json").read_text()))
    jsonschema.Draft6Validator(schema, registry=registry).validate(answer)


def check(name, action):
    global failed
    try:
        action()
        print("ok", name, flush=True)
    except Exception:
        failed = 1
        print("FAILED", name, flush=True)
        traceback.print_exc(limit=3)


def post(path, body, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = requests.post(URL + path, data=data, headers={} if isinstance(body, bytes) else {"Content-Type": "application/json", **headers}, timeout=60)
    assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
    assert answer.headers["Content-Type"] == "application/json" and answer.headers["X-Compute-Type"] == "cpu", answer.headers
    return answer.json()


def client(model, task=""):
    return InferenceClient(model=f"{URL}/models/{model}" + (f"/pipeline/{task}" if task else ""), timeout=60)


# Name of the task, the model, the client's call, what is sent without it (all must be answered alike), and what of an answer the schema is for.
WHOLE = lambda answer: answer
CASES = [
    ("text-classification", "bert_classifier", lambda c: c.text_classification("I love the bird"), [{"inputs": "I love the bird"}, {"inputs": "I love the bird", "parameters": None, "options": {"use_cache": False}}], lambda a: a[0]),
    ("token-classification", "bert_tags", lambda c: c.token_classification("anna sings in berlin"), [{"inputs": "anna sings in berlin"}, {"inputs": "anna sings in berlin", "parameters": {"aggregation_strategy": "none"}}], WHOLE),
    ("question-answering", "bert_answers", lambda c: c.question_answering(question="who sings?", context="anna sings"), [{"inputs": {"question": "who sings?", "context": "anna sings"}}, {"inputs": {"question": "who?", "context": "anna sings"}, "parameters": {"top_k": 2}}],
     lambda a: a if isinstance(a, list) else [a]),
    ("table-question-answering", "tapas", lambda c: c.table_question_answering(table={"bird": ["owl", "tit"], "city": ["paris", "berlin"]}, query="where?"),
     [{"inputs": {"query": "where?", "table": {"bird": ["owl", "tit"], "city": ["paris", "berlin"]}}}], None),
    ("fill-mask", "bert_mask", lambda c: c.fill_mask("the [MASK] sings"), [{"inputs": "the [MASK] sings"}, {"inputs": "the [MASK] sings", "parameters": {"top_k": 2}}], WHOLE),
    ("zero-shot-classification", "bert_nli", lambda c: c.zero_shot_classification("the bird sings", candidate_labels=["bird", "good"]), [{"inputs": "the bird sings", "parameters": {"candidate_labels": ["bird", "good"], "multi_label": True}}], WHOLE),
    ("summarization", "t5", lambda c: c.summarization("the bird sings"), [{"inputs": "the bird sings"}, {"inputs": "the bird sings", "parameters": {"generate_parameters": {"max_length": 8}}}], lambda a: a[0]),
    ("translation", "t5", lambda c: c.translation("the bird sings"), [{"inputs": "the bird sings"}, {"inputs": ["the bird sings"]}], lambda a: a[0]),
    ("text-generation", "gpt2", lambda c: c.text_generation("the bird", max_new_tokens=3), [{"inputs": "the bird", "parameters": {"max_new_tokens": 3, "details": True}}], lambda a: a[0]),
    ("feature-extraction", "bert_one", lambda c: c.feature_extraction("the bird"), [{"inputs": "the bird"}], None),
    ("image-classification", "vit_classifier", lambda c: c.image_classification(PICTURE), [PICTURE, {"inputs": PICTURE64}, {"inputs": "data:image/png;base64," + PICTURE64}], WHOLE),
    ("object-detection", "yolos", lambda c: c.object_detection(PICTURE, threshold=0.0), [PICTURE, {"inputs": PICTURE64, "parameters": {"threshold": 0.0}}], WHOLE),
    ("image-segmentation", "segformer", lambda c: c.image_segmentation(PICTURE), [PICTURE, {"inputs": PICTURE64}], WHOLE),
    ("zero-shot-image-classification", "clip", lambda c: c.zero_shot_image_classification(PICTURE, ["a bird", "a fish"]),
     [{"inputs": PICTURE64, "parameters": {"candidate_labels": ["a bird", "a fish"]}}, {"inputs": {"image": PICTURE64}, "parameters": {"candidate_labels": ["a bird", "a fish"]}}], WHOLE),
    ("image-to-text", "vit_words", lambda c: c.image_to_text(PICTURE), [PICTURE, {"inputs": PICTURE64}], lambda a: a[0]),
    ("visual-question-answering", "blip_answers", lambda c: c.visual_question_answering(PICTURE, "what is it?"),
     [{"inputs": {"question": "what is it?", "image": PICTURE64}}, {"inputs": PICTURE64, "question": "what is it?"}, {"question": "what is it?", "image": PICTURE64}], None),
    ("automatic-speech-recognition", "wav2vec2_ctc", lambda c: c.automatic_speech_recognition(SOUND), [SOUND, {"inputs": SOUND64}], WHOLE),
    ("automatic-speech-recognition", "whisper", lambda c: c.automatic_speech_recognition(SOUND), [SOUND, {"inputs": SOUND64}, {"inputs": SOUND64, "parameters": {"return_timestamps": True}}], lambda a: {"text": a["text"]}),
    ("audio-classification", "wav2vec2_keywords", lambda c: c.audio_classification(SOUND), [SOUND, {"inputs": SOUND64}], WHOLE),
]
PATH_TASKS = ("summarization", "translation")  # a model for several tasks: the path says which


def case(task, model, call, bodies, part):
    named = task if task in PATH_TASKS or task == "feature-extraction" else ""
    assert call(client(model, named)) is not None
    paths = [f"/models/{model}/pipeline/{task}", f"/pipeline/{task}/{model}", f"/hf-inference/models/{model}/pipeline/{task}"]
    if not named:
        paths += [f"/models/{model}", f"/hf-inference/models/{model}"]
    for body in bodies:
        answers = [post(path, body) for path in paths]
        assert all(a == answers[0] for a in answers), (task, answers)
        if part:
            fits(task, part(answers[0]))


for entry in CASES:
    check(f"{entry[0]} {entry[1]}", lambda: case(*entry))


def speech():
    assert client("vits").text_to_speech("hello")[:4] in (b"fLaC", b"RIFF")
    answer = requests.post(f"{URL}/models/vits", json={"inputs": "hello"}, timeout=60)
    assert answer.headers["Content-Type"] in ("audio/flac", "audio/wav", "audio/x-wav"), answer.headers


def similarity():
    scores = client("bert_one", "sentence-similarity").sentence_similarity("the bird sings", ["a bird", "a fish"])
    assert len(scores) == 2
    fits("sentence-similarity", scores)


def pictures_of_depth():
    answer = post("/models/dpt/pipeline/depth-estimation", PICTURE)
    assert base64.b64decode(answer["depth"])[:4] == b"\x89PNG", str(answer)[:200]


def complaints():
    for path, body, status, holds in (("/models/none", {"inputs": "a"}, 404, "does not exist"), ("/models/bert_answers", {"inputs": {"question": "a"}}, 400, "inputs.context"), ("/models/bert_mask", {"inputs": "no gap"}, 400, "mask"),
                                      ("/models/vit_classifier", {"inputs": "%%"}, 400, "base64"), ("/models/vit_classifier", {"inputs": "https://example.org/a.png"}, 400, "fetches nothing"), ("/pipeline/nothing/bert_mask", {"inputs": "a"}, 404, "nothing"),
                                      ("/models/bert_nli", {"inputs": "a", "parameters": {"candidate_labels": []}}, 400, "candidate_labels")):
        answer = requests.post(URL + path, json=body, timeout=60)
        text = answer.json()["error"]
        text = text if isinstance(text, str) else text[0]
        assert answer.status_code == status and holds in text, (path, answer.status_code, answer.text)


for action in (speech, similarity, pictures_of_depth, complaints):
    check(action.__name__, action)
sys.exit(failed)
