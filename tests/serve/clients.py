"""Unmodified Python clients against a server; arguments: its URL, and the name of a sentence-transformers model it has (may be missing).
Prints a line for each check; exit code 1 if one failed."""

import base64
import json
import sys
import traceback

import anthropic
import huggingface_hub
import ollama
import openai
import requests

URL = sys.argv[1]
VECTORS = sys.argv[2] if len(sys.argv) > 2 else ""
MODEL = "smollm2"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "num_predict": 12}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "size": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["city", "size"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
failed = 0


def check(action):
    global failed
    try:
        action()
        print("ok", action.__name__, flush=True)
    except Exception:
        failed = 1
        print("FAILED", action.__name__, flush=True)
        traceback.print_exc()


def raises(kind, action, status=None, holds=""):
    try:
        action()
    except kind as error:
        assert status is None or getattr(error, "status_code", None) == status, (error, getattr(error, "status_code", None))
        assert holds.lower() in str(error).lower(), (holds, str(error))
        return error
    raise AssertionError(f"no {kind.__name__}")


def is_city(text):
    value = json.loads(text)
    assert isinstance(value["size"], int) and isinstance(value["city"], str) and set(value) == {"city", "size"}, value


# ollama


def ollama_chat():
    client = ollama.Client(URL)
    whole = client.chat(MODEL, MESSAGES, options=GREEDY)
    parts = list(client.chat(MODEL, MESSAGES, stream=True, options=GREEDY))
    assert whole.message.content == "".join(p.message.content for p in parts) and whole.done and whole.eval_count > 0
    assert [p.done for p in parts] == [False] * (len(parts) - 1) + [True] and parts[-1].total_duration > 0 and parts[-1].done_reason in ("stop", "length")
    generated = client.generate(MODEL, MESSAGES[0]["content"], options=GREEDY)
    assert generated.response == whole.message.content and generated.context
    assert "".join(p.response for p in client.generate(MODEL, MESSAGES[0]["content"], options=GREEDY, stream=True)) == generated.response
    assert client.generate(MODEL, "x", raw=True, options=GREEDY).response
    again = client.generate(MODEL, "And of Spain?", context=generated.context, options=GREEDY)
    assert len(again.context) > len(generated.context)
    compat = openai.OpenAI(base_url=URL + "/v1", api_key="x").chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=12)
    assert compat.choices[0].message.content == whole.message.content


def ollama_formats():
    client = ollama.Client(URL)
    options = {"temperature": 0, "num_predict": 80}
    is_city(client.chat(MODEL, MESSAGES, format=SCHEMA, options=options).message.content)
    is_city(client.generate(MODEL, "A city?", format=SCHEMA, options=options).response)
    scored = client.chat(MODEL, MESSAGES, logprobs=True, top_logprobs=2, options=GREEDY)
    assert len(scored.logprobs) == scored.eval_count and len(scored.logprobs[0].top_logprobs) == 2
    one, two = (client.generate(MODEL, "Once", options={"seed": 7, "num_predict": 6, "temperature": 1}).response for _ in range(2))
    assert one == two
    whole = client.generate(MODEL, "Count: 1, 2, 3,", raw=True, options=GREEDY).response
    cut = client.generate(MODEL, "Count: 1, 2, 3,", raw=True, options={**GREEDY, "stop": [whole[3:5]]}).response
    assert whole.startswith(cut) and whole[3:5] not in cut


def ollama_errors():
    client = ollama.Client(URL)
    raises(ollama.ResponseError, lambda: client.show("none"), 404)
    raises(ollama.ResponseError, lambda: client.chat("none", MESSAGES), 404)
    raises(ollama.ResponseError, lambda: list(client.chat("none", MESSAGES, stream=True)), 404)
    raises(ollama.ResponseError, lambda: client.chat(MODEL, MESSAGES, tools=TOOLS), 400, "tools")
    raises(ollama.ResponseError, lambda: client.chat(MODEL, [{"role": "user", "content": "?", "images": [PIXEL]}]), 400, "vision")
    raises(ollama.ResponseError, lambda: client.generate(MODEL, "?", images=[PIXEL]), 400, "vision")
    raises(ollama.ResponseError, lambda: client.generate(MODEL, "a", suffix="b"), 400, "insert")
    raises(ollama.ResponseError, lambda: client.generate(MODEL, "a", think=True), 400, "thinking")
    raises(ollama.ResponseError, lambda: client.generate(MODEL, "a", raw=True, system="b"), 400, "raw")
    raises(ollama.ResponseError, lambda: client.delete("none"), 404)
    raises(ollama.ResponseError, lambda: client.copy("none", "other"), 404)
    raises(ollama.ResponseError, lambda: client.pull("no-such-model-at-all"))
    raises(ollama.ResponseError, lambda: client.push("none"), 404)
    raises(ollama.ResponseError, lambda: client.create("bad", from_="none"), 404)


def ollama_models():
    client = ollama.Client(URL)
    client.generate(MODEL, "", keep_alive="10m")
    assert any(m.model.startswith(MODEL) and m.size > 0 and m.details.family == "llama" for m in client.list().models)
    shown = client.show(MODEL)
    assert shown.modelinfo["general.architecture"] == "llama" and "completion" in shown.capabilities and shown.template
    assert any(m.model.startswith(MODEL) and m.context_length for m in client.ps().models)
    client.copy(MODEL, "other")
    assert client.show("other").modelinfo
    client.delete("other")
    raises(ollama.ResponseError, lambda: client.show("other"), 404)
    assert [p.status for p in client.create("bird", from_=MODEL, system="You are a bird.", parameters={"temperature": 0, "num_predict": 5}, stream=True)][-1] == "success"
    bird = client.show("bird")
    assert "You are a bird." in bird.modelfile and "num_predict" in bird.parameters
    assert client.chat("bird", MESSAGES).eval_count <= 5
    template = "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
    assert client.create("gopher", from_=MODEL, template=template, system="You are a helpful AI assistant named SmolLM, trained by Hugging Face").status == "success"
    assert client.show("gopher").template == template
    assert client.chat("gopher", MESSAGES, options=GREEDY).message.content == client.chat(MODEL, MESSAGES, options=GREEDY).message.content
    digest = client.create_blob(__file__)
    assert digest.startswith("sha256:") and requests.head(f"{URL}/api/blobs/{digest}", timeout=10).status_code == 200
    for name in ("bird", "gopher"):
        client.delete(name)
    assert [p.status for p in client.pull(MODEL, stream=True)][-1] == "success"
    assert client.generate(MODEL, "", keep_alive=0).done_reason == "unload"


def ollama_embeddings():
    client = ollama.Client(URL)
    for model, size in ((MODEL, 576), (VECTORS, 384)):
        if not model:
            continue
        vectors = client.embed(model, ["a", "b"]).embeddings
        assert [len(v) for v in vectors] == [size, size] and abs(sum(x * x for x in vectors[0]) - 1) < 1e-4
        assert len(client.embed(model, "a", dimensions=64).embeddings[0]) == 64
        assert len(client.embeddings(model, "a").embedding) == size
        assert list(client.embed(model, "").embeddings) == []
    if VECTORS:
        raises(ollama.ResponseError, lambda: client.embed(VECTORS, "word " * 2000, truncate=False), 400, "context length")


# openai


def openai_client(**more):
    return openai.OpenAI(base_url=URL + "/v1", api_key="x", max_retries=0, **more)


def openai_chat():
    client = openai_client()
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=12, stream=True, stream_options={"include_usage": True})
    text, usage, ids = "", None, set()
    for chunk in stream:
        ids.add((chunk.id, chunk.created))
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
        usage = chunk.usage or usage
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_completion_tokens=12)
    assert text == whole.choices[0].message.content and usage == whole.usage.model_copy(update={"prompt_tokens_details": usage.prompt_tokens_details}) and len(ids) == 1
    many = client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3, max_tokens=6, seed=1, logprobs=True, top_logprobs=2)
    assert len(many.choices) == 3 and len(many.choices[0].logprobs.content[0].top_logprobs) == 2 and many.usage.completion_tokens > 6
    again = client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3, max_tokens=6, seed=1)
    assert [c.message.content for c in again.choices] == [c.message.content for c in many.choices]
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, max_tokens=40, temperature=0, stop=[","]) as events:
        assert events.get_final_completion().choices[0].message.content
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, max_tokens=2)
    assert raw.headers["x-request-id"] and raw.parse().object == "chat.completion"
    cut = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=12, stop=["France"])
    assert "France" not in cut.choices[0].message.content


def openai_formats():
    client = openai_client()
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=80, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}})
    is_city(answer.choices[0].message.content)
    free = client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0, max_tokens=200, response_format={"type": "json_object"})
    if free.choices[0].finish_reason == "stop":
        json.loads(free.choices[0].message.content)


def openai_completions():
    client = openai_client()
    one = client.completions.create(model=MODEL, prompt="Once", max_tokens=4, temperature=0, echo=True, logprobs=1)
    assert one.choices[0].text.startswith("Once") and len(one.choices[0].logprobs.tokens) == one.usage.total_tokens and one.choices[0].logprobs.token_logprobs[0] is None
    two = client.completions.create(model=MODEL, prompt=["Once", "Twice"], max_tokens=4, temperature=0)
    assert [c.index for c in two.choices] == [0, 1] and one.choices[0].text == "Once" + two.choices[0].text
    assert "".join(c.choices[0].text for c in client.completions.create(model=MODEL, prompt="Once", max_tokens=4, temperature=0, stream=True)) == two.choices[0].text
    assert client.completions.create(model=MODEL, prompt=[1, 2, 3], max_tokens=2).choices[0].text is not None


def openai_embeddings():
    client = openai_client()
    for model, size in ((MODEL, 576), (VECTORS, 384)):
        if not model:
            continue
        packed = client.embeddings.create(model=model, input=["a", "b"])
        plain = client.embeddings.create(model=model, input=["a", "b"], encoding_format="float")
        assert len(packed.data[0].embedding) == size and max(abs(x - y) for x, y in zip(packed.data[1].embedding, plain.data[1].embedding)) < 1e-6
        assert client.embeddings.create(model=model, input=[[1, 2], [3]]).usage.prompt_tokens == 3
        assert len(client.embeddings.create(model=model, input="a", dimensions=32).data[0].embedding) == 32


def openai_models():
    client = openai_client()
    assert any(m.id.startswith(MODEL) for m in client.models.list())
    assert client.models.retrieve(MODEL).object == "model"
    raises(openai.NotFoundError, lambda: client.models.retrieve("none"), 404)


def openai_errors():
    client = openai_client()
    create = client.chat.completions.create
    raises(openai.NotFoundError, lambda: create(model="none", messages=MESSAGES), 404)
    raises(openai.BadRequestError, lambda: create(model=MODEL, messages=[]), 400, "too short")
    raises(openai.BadRequestError, lambda: create(model=MODEL, messages=MESSAGES, tools=TOOLS), 400, "tools")
    raises(openai.BadRequestError, lambda: create(model=MODEL, messages=MESSAGES, temperature="warm"), 400, "temperature")
    raises(openai.BadRequestError, lambda: create(model=MODEL, messages=MESSAGES, n=0), 400, "n")
    raises(openai.BadRequestError, lambda: create(model=MODEL, messages=MESSAGES, top_logprobs=2), 400, "logprobs")
    image = [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}}]}]
    raises(openai.BadRequestError, lambda: create(model=MODEL, messages=image), 400, "vision")
    error = raises(openai.BadRequestError, lambda: create(model=MODEL, messages=MESSAGES, functions=[{"name": "f"}]), 400, "functions")
    assert error.param == "functions" and error.type == "invalid_request_error"
    raises(openai.BadRequestError, lambda: client.completions.create(model=MODEL, prompt="a", suffix="b"), 400, "suffix")
    raises(openai.BadRequestError, lambda: list(create(model=MODEL, messages=MESSAGES, max_tokens=-5, stream=True)), 400, "max_tokens")


def openai_responses():
    client = openai_client()
    answer = client.responses.create(model=MODEL, input="What is the capital of France?", max_output_tokens=12, temperature=0)
    assert answer.output_text and answer.usage.output_tokens <= 12
    events = list(client.responses.create(model=MODEL, input="What is the capital of France?", max_output_tokens=12, temperature=0, stream=True))
    assert events[0].type == "response.created" and events[-1].type in ("response.completed", "response.incomplete")
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == answer.output_text
    assert [e.sequence_number for e in events] == list(range(len(events)))
    with client.responses.stream(model=MODEL, input="A city?", max_output_tokens=80, temperature=0, text={"format": {"type": "json_schema", "name": "city", "schema": SCHEMA}}) as stream:
        assert stream.get_final_response().id
    assert client.responses.retrieve(answer.id).output_text == answer.output_text
    assert client.responses.create(model=MODEL, input="And of Spain?", previous_response_id=answer.id, max_output_tokens=4).usage.input_tokens > answer.usage.input_tokens
    assert [i.type for i in client.responses.input_items.list(answer.id)] == ["message"]
    client.responses.delete(answer.id)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(answer.id), 404)
    shaped = client.responses.create(model=MODEL, input="A city?", max_output_tokens=80, temperature=0, text={"format": {"type": "json_schema", "name": "city", "schema": SCHEMA}})
    is_city(shaped.output_text)


# huggingface_hub


def hub_client(path=f"/models/{MODEL}"):
    return huggingface_hub.InferenceClient(model=URL + path, token="hf_x")


def hub_text():
    client = hub_client()
    text = client.text_generation("The capital of France is", max_new_tokens=8)
    assert isinstance(text, str) and text
    details = client.text_generation("The capital of France is", max_new_tokens=8, details=True)
    assert details.details.generated_tokens <= 8 and details.details.finish_reason in ("length", "eos_token", "stop_sequence")
    short = client.text_generation("The capital of France is", max_new_tokens=8, return_full_text=False)
    parts = list(client.text_generation("The capital of France is", max_new_tokens=8, stream=True, details=True, return_full_text=False))
    assert "".join(p.token.text for p in parts) == short == parts[-1].generated_text and parts[-1].details.generated_tokens == len(parts)
    sampled = [client.text_generation("Once", max_new_tokens=6, do_sample=True, seed=3, temperature=1.2, top_p=0.9, top_k=20, typical_p=0.9, repetition_penalty=1.1) for _ in range(2)]
    assert sampled[0] == sampled[1]
    is_city(client.text_generation("A city: ", max_new_tokens=80, grammar={"type": "json", "value": SCHEMA}, return_full_text=False))
    raises(Exception, lambda: client.text_generation("x", max_new_tokens=0))


def hub_chat():
    for client in (hub_client(), huggingface_hub.InferenceClient(base_url=URL, token="hf_x"), huggingface_hub.InferenceClient(base_url=URL + "/v1", token="hf_x")):
        chat = client.chat_completion(MESSAGES, max_tokens=8, temperature=0)
        streamed = "".join(c.choices[0].delta.content or "" for c in client.chat_completion(MESSAGES, max_tokens=8, temperature=0, stream=True) if c.choices)
        assert chat.choices[0].message.content == streamed and streamed
    is_city(hub_client().chat_completion(MESSAGES, max_tokens=80, temperature=0, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}).choices[0].message.content)
    assert hub_client().chat.completions.create(messages=MESSAGES, max_tokens=4).choices[0].message.content


def hub_vectors():
    if not VECTORS:
        return
    client = hub_client(f"/models/{VECTORS}")
    scores = client.sentence_similarity("A bird sings", other_sentences=["A bird sang", "Taxes are due"])
    assert scores[0] > scores[1]
    raw = requests.post(f"{URL}/models/{VECTORS}", json={"inputs": ["a", "b"]}, timeout=60).json()
    assert [len(v) for v in raw] == [384, 384]
    assert len(requests.post(f"{URL}/models/{VECTORS}", json={"inputs": "a"}, timeout=60).json()) == 384


def hub_errors():
    error = raises(huggingface_hub.errors.HfHubHTTPError, lambda: hub_client("/models/none").text_generation("x"))
    assert error.response.status_code == 404 and "does not exist" in error.response.json()["error"]
    assert "text" in hub_client().text_generation("x text", max_new_tokens=2, watermark=True)  # retried without it


# anthropic


def anthropic_messages():
    client = anthropic.Anthropic(base_url=URL, api_key="x", max_retries=0)
    greedy = {"extra_body": {"temperature": 0}}  # newer versions of the client have no argument for it
    answer = client.messages.create(model=MODEL, max_tokens=12, messages=MESSAGES, **greedy)
    assert answer.content[0].text and answer.stop_reason in ("max_tokens", "end_turn") and answer.usage.output_tokens <= 12
    with client.messages.stream(model=MODEL, max_tokens=12, messages=MESSAGES, **greedy) as stream:
        assert "".join(stream.text_stream) == answer.content[0].text
        assert stream.get_final_message().usage.output_tokens == answer.usage.output_tokens
    kinds = [e.type for e in client.messages.create(model=MODEL, max_tokens=4, messages=MESSAGES, stream=True)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens > 5
    cut = client.messages.create(model=MODEL, max_tokens=12, messages=MESSAGES, stop_sequences=["France"], system="Be brief.", **greedy)
    assert cut.stop_reason != "stop_sequence" or cut.stop_sequence == "France"
    raises(anthropic.NotFoundError, lambda: client.messages.create(model="none", max_tokens=2, messages=MESSAGES), 404)
    raises(anthropic.BadRequestError, lambda: client.messages.create(model=MODEL, max_tokens=2, messages=[]), 400)
    image = [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]}]
    raises(anthropic.BadRequestError, lambda: client.messages.create(model=MODEL, max_tokens=2, messages=image), 400, "vision")
    tool = {"name": "weather", "description": "The weather", "input_schema": TOOLS[0]["function"]["parameters"]}
    raises(anthropic.BadRequestError, lambda: client.messages.create(model=MODEL, max_tokens=2, messages=MESSAGES, tools=[tool]), 400, "tools")


# others


def plain_requests():
    answer = requests.post(f"{URL}/models/{MODEL}", json={"inputs": "Translate to French: Hello, how are you?", "parameters": {"max_new_tokens": 8}}, timeout=120)
    assert answer.json()[0]["generated_text"].startswith("Translate to French")
    assert requests.get(URL, timeout=10).text == "Ollama is running"
    assert requests.head(URL, timeout=10).status_code == 200 and requests.get(URL + "/openapi.json", timeout=10).json()["openapi"].startswith("3.")
    assert "mynah_http_requests_total" in requests.get(URL + "/metrics", timeout=10).text
    assert base64.b64decode(PIXEL)[:4] == b"\x89PNG"


def langchain():
    try:
        from langchain_ollama import ChatOllama, OllamaEmbeddings
        from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    except ImportError:
        return print("langchain is not installed: skipped")
    chat = ChatOllama(model=MODEL, base_url=URL, temperature=0, num_predict=8)
    other = ChatOpenAI(model=MODEL, base_url=URL + "/v1", api_key="x", temperature=0, max_tokens=8)
    text = MESSAGES[0]["content"]
    answers = {chat.invoke(text).content, "".join(c.content for c in chat.stream(text)), other.invoke(text).content, "".join(c.content for c in other.stream(text))}
    assert len(answers) == 1 and answers.pop(), answers
    assert len(OllamaEmbeddings(model=MODEL, base_url=URL).embed_query("a")) == 576
    assert len(OpenAIEmbeddings(model=MODEL, base_url=URL + "/v1", api_key="x", check_embedding_ctx_length=False).embed_query("a")) == 576


def litellm():
    try:
        import litellm as lite
    except ImportError:
        return print("litellm is not installed: skipped")
    for model, base in ((f"ollama_chat/{MODEL}", URL), (f"ollama/{MODEL}", URL), (f"openai/{MODEL}", URL + "/v1")):
        answer = lite.completion(model=model, messages=MESSAGES, api_base=base, api_key="x", temperature=0, max_tokens=8)
        assert answer.choices[0].message.content, model
        parts = lite.completion(model=model, messages=MESSAGES, api_base=base, api_key="x", temperature=0, max_tokens=8, stream=True)
        assert "".join(p.choices[0].delta.content or "" for p in parts), model


CHECKS = (ollama_chat, ollama_formats, ollama_errors, ollama_models, ollama_embeddings, openai_chat, openai_formats, openai_completions, openai_embeddings, openai_models, openai_errors, openai_responses,
          hub_text, hub_chat, hub_vectors, hub_errors, anthropic_messages, plain_requests, langchain, litellm)
wanted = sys.argv[3:]
for action in CHECKS:
    if not wanted or action.__name__ in wanted:
        check(action)
sys.exit(failed)
