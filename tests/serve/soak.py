"""Mixed load on one server for a bounded time: every dialect, streamed and whole, clients that leave, bad input, models that come and go. Every
greedy answer must be the one that the same request got alone; at the end no slot is taken, and memory (but for the cache of keys and values, which
has a limit of its own), descriptors and threads are where they were. Arguments: the program, SmolLM2 as a .gguf file, seconds (600), a sentence-transformers folder (may be missing). Prints a table.
"""

import collections
import json
import random
import socket
import struct
import sys
import threading
import time

from started import Started

program, model = sys.argv[1], sys.argv[2]
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 600
vectors = sys.argv[4] if len(sys.argv) > 4 else None
WORKERS = 12
TOPICS = ["a bird", "the sea", "an old mill", "a long road", "two friends", "the moon", "bread", "winter"]


def message(i):
    return [{"role": "system", "content": "You are a patient teacher who answers in short sentences. " * (i % 3)}, {"role": "user", "content": f"Say something about {TOPICS[i % 8]}, please. Number {i}."}]


def text_of_events(data):
    parts = []
    for line in data.decode().splitlines():
        if line.startswith("data: {"):
            event = json.loads(line[6:])
            if event.get("choices"):
                parts.append(event["choices"][0].get("delta", {}).get("content") or event["choices"][0].get("text") or "")
            if "token" in event:
                parts.append(event["token"]["text"])
            if event.get("type") == "content_block_delta":
                parts.append(event["delta"].get("text", ""))
    return "".join(parts)


# Each gives (method, path, body, how the answer's text is read).
def ollama_chat(i, stream):
    read = (lambda d: "".join(json.loads(line)["message"]["content"] for line in d.splitlines())) if stream else lambda d: json.loads(d)["message"]["content"]
    return "POST", "/api/chat", {"model": "smollm2", "messages": message(i), "stream": stream, "options": {"temperature": 0, "num_predict": 16}}, read


def openai_chat(i, stream):
    read = text_of_events if stream else lambda d: json.loads(d)["choices"][0]["message"]["content"]
    return "POST", "/v1/chat/completions", {"model": "smollm2", "messages": message(i), "stream": stream, "temperature": 0, "max_tokens": 16}, read


def openai_completion(i, stream):
    read = text_of_events if stream else lambda d: json.loads(d)["choices"][0]["text"]
    return "POST", "/v1/completions", {"model": "smollm2", "prompt": f"Once there was {TOPICS[i % 8]}", "stream": stream, "temperature": 0, "max_tokens": 12}, read


def tgi(i, stream):
    read = text_of_events if stream else lambda d: json.loads(d)["generated_text"]
    return "POST", "/generate_stream" if stream else "/generate", {"inputs": f"In the morning, {TOPICS[i % 8]}", "parameters": {"max_new_tokens": 12}}, read


def hugging_face(i, stream):
    return "POST", "/models/smollm2", {"inputs": f"The story of {TOPICS[i % 8]}", "parameters": {"max_new_tokens": 10}}, lambda d: json.loads(d)[0]["generated_text"]


def anthropic(i, stream):
    read = text_of_events if stream else lambda d: json.loads(d)["content"][0]["text"]
    return "POST", "/v1/messages", {"model": "smollm2", "max_tokens": 14, "messages": message(i)[1:], "stream": stream, "temperature": 0}, read


def responses(i, stream):
    return "POST", "/v1/responses", {"model": "smollm2", "input": message(i)[1]["content"], "max_output_tokens": 14, "temperature": 0, "store": i % 2 == 0}, lambda d: json.loads(d)["output"][0]["content"][0]["text"]


def shaped(i, stream):
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}}, "required": ["name"], "additionalProperties": False}
    return "POST", "/api/generate", {"model": "smollm2", "prompt": f"A name for {TOPICS[i % 8]}?", "format": schema, "stream": False, "options": {"temperature": 0, "num_predict": 40}}, lambda d: json.dumps(json.loads(json.loads(d)["response"]))


ANSWERED = [ollama_chat, openai_chat, openai_completion, tgi, hugging_face, anthropic, responses, shaped]
BAD = [
    ("POST", "/api/chat", b"{", 400),
    ("POST", "/v1/chat/completions", b'{"model":"smollm2","messages":[{"role":"user","content":"a"}],"temperature":"hot"}', 400),
    ("POST", "/v1/chat/completions", b'{"model":"none","messages":[{"role":"user","content":"a"}]}', 404),
    ("POST", "/api/show", b'{"model":"tiny","x":' + b"[" * 5000, 400),
    ("POST", "/api/show", b'{"model":"' + b"a" * (5 << 20) + b'"}', 413),
    ("POST", "/v1/embeddings", b'{"model":"smollm2","input":[[1,2,99999999]]}', 400),
    ("POST", "/generate", b'{"inputs":"a","parameters":{"max_new_tokens":-1}}', 422),
    ("GET", "/api/nothing", b"", 404),
    ("POST", "/v1/chat/completions", json.dumps({"model": "smollm2", "messages": [{"role": "user", "content": "a " * 20000}]}).encode(), 400),
]

count, failed = collections.Counter(), []
lock = threading.Lock()


def note(kind, problem=None):
    with lock:
        count[kind] += 1
        if problem:
            failed.append(f"{kind}: {problem}"[:400])


def leave(server, chance, i):
    """Begins a long answer and goes away, politely or not, at some moment."""
    body = json.dumps({"model": "smollm2", "messages": message(i) + [{"role": "user", "content": "Tell it at length. " * chance.choice((1, 150))}], "stream": True, "max_tokens": 400}).encode()
    with server.connect() as s:
        s.sendall(server.head("POST", "/v1/chat/completions", len(body)) + body[: chance.choice((len(body), len(body), len(body) // 2))])
        if chance.random() < 0.6:
            s.settimeout(chance.random())
            try:
                s.recv(4096)
            except TimeoutError:
                pass
        how = chance.random()
        if how < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how < 0.7:
            s.shutdown(socket.SHUT_WR)
            time.sleep(0.05)


def manage(server, chance, number):
    name = f"other{number}"
    for method, path, body, wanted in (("POST", "/api/copy", {"source": "smollm2", "destination": name}, 200), ("POST", "/api/show", {"model": name}, 200),
                                       ("POST", "/api/create", {"model": name, "from": "smollm2", "system": f"Sing {chance.random()}.", "stream": False}, 200),
                                       ("GET", "/api/tags", None, 200), ("GET", "/api/ps", None, 200), ("DELETE", "/api/delete", {"model": name}, 200)):
        status, data = server.ask(method, path, body)
        if status != wanted:
            return f"{path} {status} {data[:200]}"
    return None


def work(server, number, expected, end):
    chance = random.Random(number)
    while time.monotonic() < end:
        kind = chance.random()
        i = chance.randrange(12)
        if kind < 0.62:
            make, stream = chance.choice(ANSWERED), chance.random() < 0.5
            method, path, body, read = make(i, stream)
            status, data = server.ask(method, path, body)
            try:
                text = read(data) if status == 200 else None
            except Exception as error:
                text = f"cannot be read: {error} {data[:200]}"
            note(make.__name__, None if text == expected[make.__name__, i] else f"{status} {text!r}, alone {expected[make.__name__, i]!r}")
        elif kind < 0.74:
            leave(server, chance, i)
            note("clients that left")
        elif kind < 0.86:
            method, path, body, wanted = chance.choice(BAD)
            status, data = server.ask(method, path, body)
            note("bad requests", None if status == wanted and b"error" in data else f"{path} {status} {data[:200]}")
        elif kind < 0.92:
            name = "minilm" if vectors else "smollm2"
            status, data = server.ask("POST", "/v1/embeddings", {"model": name, "input": [TOPICS[i % 8]] * (1 + i % 5)})
            note("embeddings", None if status == 200 and len(json.loads(data)["data"]) == 1 + i % 5 else f"{status} {data[:200]}")
        elif kind < 0.96:
            note("copy, create, show, delete", manage(server, chance, number))
        else:
            status, data = server.ask("POST", "/api/generate", {"model": "smollm2", "prompt": "Sing.", "stream": False, "options": {"num_predict": 12, "temperature": 1}})
            note("sampled", None if status == 200 else f"{status} {data[:200]}")


models = {"smollm2": model} | ({"minilm": vectors} if vectors else {})
with Started(program, models, "--model", "smollm2") as server:
    expected = {}
    for make in ANSWERED:
        for i in range(12):
            method, path, body, read = make(i, False)
            status, data = server.ask(method, path, body)
            assert status == 200, (path, data)
            expected[make.__name__, i] = read(data)
    begin = time.monotonic()
    threads = [threading.Thread(target=work, args=(server, n, expected, begin + seconds)) for n in range(WORKERS)]
    for t in threads:
        t.start()
    rows = []
    step = max(2, seconds / 10)
    print("| minutes | resident MB | of it keys and values | descriptors | threads |\n|---|---|---|---|---|")
    while time.monotonic() < begin + seconds:
        time.sleep(min(step, max(0.1, begin + seconds - time.monotonic())))
        rows.append(((time.monotonic() - begin) / 60, server.memory() / 1e6, server.metric("mynah_kv_cache_bytes") / 1e6, server.descriptors(), server.threads()))
        print("| {:.1f} | {:.1f} | {:.1f} | {} | {} |".format(*rows[-1]), flush=True)
    for t in threads:
        t.join()
    idle = time.monotonic() + 20
    while server.metric("mynah_requests_running") + server.metric("mynah_requests_waiting") > 0 and time.monotonic() < idle:
        time.sleep(0.1)
    time.sleep(12)  # idle threads end after ten seconds
    running = server.metric("mynah_requests_running") + server.metric("mynah_requests_waiting")
    rest = rows[len(rows) // 3 :]
    grown = (rest[-1][1] - rest[-1][2]) - (rest[0][1] - rest[0][2])
    print(f"| the end, idle | {server.memory() / 1e6:.1f} | {server.metric('mynah_kv_cache_bytes') / 1e6:.1f} | {server.descriptors()} | {server.threads()} |")
    print("\n" + ", ".join(f"{kind}: {n}" for kind, n in sorted(count.items())))
    print(f"{sum(count.values())} requests in {seconds / 60:.1f} minutes, {len(failed)} wrong; {grown:+.1f} MB beside keys and values from a third of the time on; {running:.0f} answers still under way")
    for problem in failed[:10]:
        print(problem)
    code = server.stop()
    print(f"ended with {code}")
    sys.exit(1 if failed or running or code or grown > 32 or not all(r[3] < 100 for r in rows) else 0)
