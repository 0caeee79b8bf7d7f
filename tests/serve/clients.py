"""Unmodified Python clients against a server; argument: its URL. Prints a line for each check; exit code 1 if one failed."""

import json
import sys
import traceback

import anthropic
import huggingface_hub
import ollama
import openai
import requests

URL = sys.argv[1]
MODEL = "smollm2"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
failed = 0


def check(action):
    global failed
    try:
        action()
        print("ok", action.__name__)
    except Exception:
        failed = 1
        print("FAILED", action.__name__)
        traceback.print_exc()


def ollama_chat():
    client = ollama.Client(URL)
    options = {"temperature": 0, "num_predict": 16}
    whole = client.chat(MODEL, MESSAGES, options=options)
    parts = [p.message.content for p in client.chat(MODEL, MESSAGES, stream=True, options=options)]
    assert whole.message.content == "".join(parts) and whole.done and whole.eval_count > 0
    generated = client.generate(MODEL, MESSAGES[0]["content"], options=options)
    assert generated.response == whole.message.content
    compat = openai.OpenAI(base_url=URL + "/v1", api_key="x").chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=16)
    assert compat.choices[0].message.content == whole.message.content


def ollama_models():
    client = ollama.Client(URL)
    assert any(m.model.startswith(MODEL) for m in client.list().models)
    assert client.show(MODEL).modelinfo["general.architecture"] == "llama"
    assert client.ps().models[0].model.startswith(MODEL)
    client.copy(MODEL, "other")
    client.delete("other")
    assert client.create("bird", from_=MODEL, system="You are a bird.").status == "success"
    assert client.show("bird").modelinfo
    try:
        client.show("none")
        raise AssertionError("no error")
    except ollama.ResponseError as error:
        assert error.status_code == 404
    assert [p.status for p in client.pull(MODEL, stream=True)][-1] == "success"
    vectors = client.embed(MODEL, ["a", "b"]).embeddings
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0]) - 1) < 1e-4


def openai_chat():
    client = openai.OpenAI(base_url=URL + "/v1", api_key="x")
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=16, stream=True, stream_options={"include_usage": True})
    text, usage = "", None
    for chunk in stream:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
        usage = chunk.usage or usage
    assert text and usage.completion_tokens <= 16
    many = client.chat.completions.create(model=MODEL, messages=MESSAGES, n=2, max_tokens=8, seed=1, logprobs=True, top_logprobs=2)
    assert len(many.choices) == 2 and len(many.choices[0].logprobs.content[0].top_logprobs) == 2
    assert client.completions.create(model=MODEL, prompt="Once", max_tokens=4).choices[0].text
    assert len(client.embeddings.create(model=MODEL, input=["a", "b"]).data[0].embedding) == 576
    assert any(m.id.startswith(MODEL) for m in client.models.list())
    try:
        client.chat.completions.create(model="none", messages=MESSAGES)
        raise AssertionError("no error")
    except openai.NotFoundError:
        pass


def openai_json():
    client = openai.OpenAI(base_url=URL + "/v1", api_key="x")
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "size": {"type": "integer"}}, "required": ["city", "size"], "additionalProperties": False}
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=200, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    value = json.loads(answer.choices[0].message.content)
    assert isinstance(value["size"], int) and isinstance(value["city"], str)


def hugging_face():
    client = huggingface_hub.InferenceClient(model=f"{URL}/models/{MODEL}")
    text = client.text_generation("The capital of France is", max_new_tokens=8)
    assert isinstance(text, str) and text
    details = client.text_generation("The capital of France is", max_new_tokens=8, details=True)
    assert details.details.generated_tokens <= 8
    parts = list(client.text_generation("The capital of France is", max_new_tokens=8, stream=True))
    assert "".join(parts)
    based = huggingface_hub.InferenceClient(base_url=URL)
    chat = based.chat_completion(MESSAGES, max_tokens=8)
    assert chat.choices[0].message.content
    assert "".join(c.choices[0].delta.content or "" for c in based.chat_completion(MESSAGES, max_tokens=8, stream=True) if c.choices)


def anthropic_messages():
    client = anthropic.Anthropic(base_url=URL, api_key="x")
    answer = client.messages.create(model=MODEL, max_tokens=12, messages=MESSAGES, temperature=0)
    assert answer.content[0].text and answer.stop_reason in ("max_tokens", "end_turn")
    with client.messages.stream(model=MODEL, max_tokens=12, messages=MESSAGES, temperature=0) as stream:
        assert "".join(stream.text_stream) == answer.content[0].text
    assert client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens > 5


def plain_requests():
    answer = requests.post(f"{URL}/models/{MODEL}", json={"inputs": "Translate to French: Hello, how are you?", "parameters": {"max_new_tokens": 8}}, timeout=120)
    assert answer.json()[0]["generated_text"].startswith("Translate to French")
    assert requests.get(URL, timeout=10).text == "Ollama is running"


for action in (ollama_chat, ollama_models, openai_chat, openai_json, hugging_face, anthropic_messages, plain_requests):
    check(action)
sys.exit(failed)
