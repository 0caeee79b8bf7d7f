"""Real traffic of Hugging Face's Inference API, as the tests of its clients recorded it, sent to our server: the answers must have the
recorded shape (keys, nesting, kinds of values, status). The recordings are theirs and not part of this tree: tests/cassettes/*.yaml of
huggingface_hub (before its pull request 3021) and packages/inference/test/tapes.json of huggingface.js (before 1375). Values cannot be
compared, for our server has tiny models in place of the recorded ones; tests/serve/tapes_test.cpp compares values.

Arguments: the server's URL with the models of tests/golden/tasks and "smollm2" in its store, the folder of golden media, the recordings.
"""

import base64
import json
import pathlib
import sys

import requests
import yaml

URL, MEDIA, FILES = sys.argv[1], pathlib.Path(sys.argv[2]), [pathlib.Path(p) for p in sys.argv[3:]]
# The recorded model, what stands for it, and the file where the recording holds no bytes.
MODELS = {
    "distilbert-base-uncased-finetuned-sst-2-english": ("bert_classifier", None),
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": ("bert_classifier", None),
    "dbmdz/bert-large-cased-finetuned-conll03-english": ("bert_tags", None),
    "bert-base-uncased": ("bert_mask", None),
    "google-bert/bert-base-uncased": ("bert_mask", None),
    "distilbert-base-uncased": ("bert_mask", None),
    "deepset/roberta-base-squad2": ("bert_answers", None),
    "facebook/bart-large-mnli": ("bert_nli", None),
    "gpt2": ("gpt2", None),
    "openai-community/gpt2": ("gpt2", None),
    "google/flan-t5-xxl": ("t5", None),
    "t5-base": ("t5/pipeline/translation", None),
    "google-t5/t5-base": ("t5/pipeline/translation", None),
    "t5-small": ("t5/pipeline/translation", None),
    "facebook/mbart-large-50-many-to-many-mmt": ("mbart50/pipeline/translation", None),
    "facebook/bart-large-cnn": ("t5/pipeline/summarization", None),
    "google/pegasus-xsum": ("t5/pipeline/summarization", None),
    "sshleifer/distilbart-cnn-12-6": ("t5/pipeline/summarization", None),
    "facebook/bart-base": ("bert_mask/pipeline/feature-extraction", None),
    "sentence-transformers/distilbert-base-nli-mean-tokens": ("sentences", None),
    "sentence-transformers/paraphrase-xlm-r-multilingual-v1": ("sentences", None),
    "sentence-transformers/all-MiniLM-L6-v2": ("sentences", None),
    "google/vit-base-patch16-224": ("vit_classifier", "picture.png"),
    "facebook/detr-resnet-50": ("detr", "picture.png"),
    "facebook/detr-resnet-50-panoptic": ("detr_masks", "picture.png"),
    "nlpconnect/vit-gpt2-image-captioning": ("vit_words", "picture.png"),
    "Salesforce/blip-image-captioning-base": ("blip_captions", "picture.png"),
    "dandelin/vilt-b32-finetuned-vqa": ("blip_answers", {"question": "how many?"}),
    "naver-clova-ix/donut-base-finetuned-docvqa": ("donut/pipeline/document-question-answering", {"question": "where?"}),
    "openai/clip-vit-large-patch14-336": ("clip", None),
    "openai/clip-vit-base-patch32": ("clip", None),
    "facebook/wav2vec2-large-960h-lv60-self": ("wav2vec2_ctc", "sound.wav"),
    "facebook/wav2vec2-base-960h": ("wav2vec2_ctc", "sound.wav"),
    "openai/whisper-large-v3": ("whisper", "sound.wav"),
    "superb/hubert-large-superb-er": ("wav2vec2_keywords", "sound.wav"),
    "superb/hubert-base-superb-ks": ("wav2vec2_keywords", "sound.wav"),
    "alefiury/wav2vec2-large-xlsr-53-gender-recognition-librispeech": ("wav2vec2_keywords", "sound.wav"),
    "espnet/kan-bayashi_ljspeech_vits": ("vits", None),
    "jonatasgrosman/wav2vec2-large-xlsr-53-english": ("wav2vec2_ctc", "sound.wav"),
    "google/flan-t5-large": ("t5", None),
    "meta-llama/Llama-2-7b-hf": ("smollm2", None),
    "meta-llama/Llama-3.2-3B": ("smollm2", None),
    "meta-llama/Meta-Llama-3.1-8B-Instruct": ("smollm2", None),
    "mistralai/Mistral-7B-Instruct-v0.2": ("smollm2", None),
    "HuggingFaceH4/zephyr-orpo-141b-A35b-v0.1": ("smollm2", None),
    "sentence-transformers/paraphrase-albert-small-v2": ("sentences", None),
    "this-model-does-not-exist-123": ("this-model-does-not-exist-123", None),
    "this-model/does-not-exist-123": ("this-model/does-not-exist-123", None),
}
# What some recorded models or versions say and others do not: the score of a segment or of an answer that is written word by word, the
# places of a document's answer, the number of a token and the length of the prompt, the role in every piece of a stream and the text in its last.
OPTIONAL = {"detr_masks": {"score"}, "blip_answers": {"score"}, "donut/pipeline/document-question-answering": {"score", "start", "end"},
            "t5": {"index", "input_length"}, "smollm2/v1/chat/completions": {"role", "content"}, "smollm2": {"role", "content"}}
# Recorded before the API took them: settings that pipelines did not know, and one text's labels in the pipeline's own form.
BEFORE = {"TestTextGenerationClientVCR.test_generate_non_tgi_endpoint.yaml", "TestTextGenerationClientVCR.test_generate_non_tgi_endpoint_regression_test.yaml",
          "TestTextGenerationClientVCR.test_generate_validation_error.yaml",
          "TestInferenceClient.test_zero_shot_classification_multi_label[hf-inference,zero-shot-classification].yaml",
          "TestInferenceClient.test_zero_shot_classification_single_label[hf-inference,zero-shot-classification].yaml"}


class Loader(yaml.SafeLoader):
    """Files stand in the recordings as objects of Python, whose bytes are not needed."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def media(name):
    return (MEDIA / name).read_bytes()


def exchanges(path):
    """url, the client's headers, the request's body, status, content type, the answer's body."""
    if path.suffix == ".json":
        for tape in json.loads(path.read_text()).values():
            headers = {k.lower(): v for k, v in tape["response"]["headers"].items()}
            yield tape["url"], {"user-agent": "node"}, tape["init"].get("body"), tape["response"]["status"], headers.get("content-type", ""), tape["response"]["body"]
        return
    for one in yaml.load(path.read_text(), Loader)["interactions"]:
        headers = {k.lower(): v[0] for k, v in one["response"]["headers"].items()}
        asked = {k.lower(): v[0] for k, v in one["request"]["headers"].items()}
        yield one["request"]["uri"], {"user-agent": asked.get("user-agent", "unknown/None; hf_hub/0.24")}, one["request"].get("body"), one["response"]["status"]["code"], headers.get("content-type", ""), one["response"]["body"].get("string")


def kind(value):
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def differs(got, seen, optional, where="answer"):
    """Where our answer has another shape than the recorded one; None if it has not. What is null may also be missing, and usage may say more."""
    if kind(got) != kind(seen):
        return None if got is None or seen is None else f"{where} is {kind(got)}, was {kind(seen)}"
    if isinstance(seen, list):
        if not seen or not got:
            return None
        return next((d for i, item in enumerate(got) if (d := differs(item, seen[min(i, len(seen) - 1)], optional, f"{where}[{i}]"))), None)
    if isinstance(seen, dict):
        for key in seen.keys() - got.keys() - optional:
            if seen[key] is not None:
                return f"{where} lacks \"{key}\""
        for key in got.keys() - seen.keys() - optional:
            if got[key] is not None and not where.endswith("usage"):
                return f"{where} has \"{key}\" more"
        return next((d for key in seen.keys() & got.keys() if (d := differs(got[key], seen[key], optional, f"{where}.{key}"))), None)
    return None


def request_of(name, body, binary):
    """What is sent in place of the recorded body: its own JSON, or a file of ours where it was a file."""
    if body is None or isinstance(body, bytes) or not str(body).lstrip().startswith("{"):
        if isinstance(binary, dict):
            return json.dumps({"inputs": {"image": base64.b64encode(media("picture.png")).decode(), **binary}}), "application/json"
        return (media(binary), None) if binary else (None, None)
    asked = json.loads(body)

    def small(value, key=""):  # pictures of ours: theirs are photographs of a megabyte
        if isinstance(value, dict):
            return {k: small(v, k) for k, v in value.items()}
        if isinstance(value, str) and len(value) > 3000 and " " not in value[:200]:
            return base64.b64encode(media("sound.wav" if isinstance(binary, str) and binary.endswith("wav") else "picture.png")).decode()
        return value

    if name.startswith("donut") and "question" in asked.get("inputs", {}):  # these have room for a few words
        asked["inputs"]["question"] = "where?"
    if "max_tokens" in asked:
        asked["max_tokens"] = 8
    if (asked.get("parameters") or {}).get("max_new_tokens", 0) > 8:
        asked["parameters"]["max_new_tokens"] = 8
    if name == "bert_answers":
        asked["parameters"] = {"doc_stride": 8, **(asked.get("parameters") or {})}
    return json.dumps(small(asked)), "application/json"


def events(text):
    return [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and "[DONE]" not in line]


checked, failed, passed_over = {}, 0, {}
for file in FILES:
    if file.name in BEFORE:
        continue
    for url, headers, body, status, content_type, answer in exchanges(file):
        if "hf-inference" not in url and "api-inference" not in url or status in (503, 429, 500) or answer is None or str(answer).startswith("Failed to deserialize"):
            continue
        path = url.split("?")[0]
        recorded = path.split("/models/")[-1] if "/models/" in path else path.split("/pipeline/")[-1].split("/", 1)[-1]
        chat = recorded.endswith("/v1/chat/completions") and status == 200
        name, binary = ("smollm2/v1/chat/completions", None) if chat else MODELS.get(recorded, (None, None))
        payload, sent_type = request_of(name, body, binary) if name else (None, None)
        if payload is None:
            passed_over[recorded] = passed_over.get(recorded, 0) + 1
            continue
        own, optional = "/models/" + name, OPTIONAL.get(name, set())
        if "/pipeline/" in path and "/pipeline/" not in name:
            own += "/pipeline/" + path.split("/pipeline/")[-1].split("/", 1)[0]
        got = requests.post(URL + own, data=payload, headers=headers | ({"Content-Type": sent_type} if sent_type else {}), timeout=120)
        problem = None if got.status_code == status else f"status {got.status_code}, was {status}: {got.text[:200]}"
        if not problem and status == 200:
            if content_type.startswith("text/event-stream"):
                theirs, ours = events(answer), events(got.text)
                problem = (differs(ours[0], theirs[0], optional, "first event") or differs(ours[-1], theirs[-1], optional, "last event")) if "error" not in theirs[0] else None
            elif content_type.startswith("application/json"):
                problem = differs(got.json(), json.loads(answer), optional)
            elif not got.headers["Content-Type"].startswith(content_type.split("/")[0]):
                problem = f"type {got.headers['Content-Type']}, was {content_type}"
        elif not problem and content_type.startswith("application/json"):
            problem = None if "error" in got.json() else f"no \"error\" in {got.text[:200]}"
        checked[recorded] = checked.get(recorded, 0) + 1
        if problem:
            failed += 1
            print(f"FAILED {file.name}: {own} for {recorded}: {problem}\n  asked {str(payload)[:160]}\n  recorded {str(answer)[:200]}\n  got {got.text[:200]}", flush=True)
print(f"{sum(checked.values())} recorded requests to {len(checked)} models, {failed} answered in another shape; {sum(passed_over.values())} are to models whose kind is not here: {', '.join(sorted(passed_over))}")
sys.exit(failed > 0 or not checked)
