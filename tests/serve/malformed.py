"""Malformed requests to every route of /openapi.json, made from valid ones by a seeded chance: fields of other types, numbers beyond all, fields
that are missing, deep nests, cut and damaged bytes. Each must be answered, in the form of its dialect where it is refused, with no status of
500 and above but 503; the server lives on. Arguments: the program, a small .gguf file, how many (10,000), a seed.
"""

import collections
import http.client
import json
import random
import sys

from started import Started

program, model = sys.argv[1], sys.argv[2]
total = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
chance = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)

VALUES = {"string": "tiny", "integer": 2, "number": 0.5, "boolean": False, "array": [], "object": {}}
FIELDS = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2, "max_new_tokens": 2, "stream": False, "options": {"num_predict": 2}, "keep_alive": "5m", "n": 1, "prompt": "a", "input": "a", "inputs": "a",
          "parameters": {"max_new_tokens": 2}, "query": "a", "texts": ["a", "b"], "ids": [1, 2], "format": "json", "temperature": 0, "stop": ["x"], "destination": "copied", "source": "tiny", "from": "tiny"}
HOSTILE = [None, True, -1, 0, 1e308, -(2**63), 2**64, 0.1, "", "x" * 3000, "\u0000", "\ud83d\udc26", [], [[]], {}, {"a": {}}, [None], ["a", 1], [{"role": 1}], [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b"}}]}],
           {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}, {"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}}, [{"type": "function", "function": {"name": "f", "parameters": {"type": "nothing"}}}], "data:image/png;base64,AAAA", [1, 2, 10**9]]


def valid(schema):
    return {name: FIELDS.get(name, VALUES.get(s.get("type"), "a")) for name, s in schema.get("properties", {}).items() if name in schema.get("required", []) or chance.random() < 0.3}


def damaged(schema):
    body = valid(schema)
    body.setdefault("max_tokens", 2)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        how, names = chance.random(), list(body)
        name = chance.choice(names)
        if how < 0.55:
            body[name] = chance.choice(HOSTILE)
        elif how < 0.65:
            del body[name]
            body.setdefault("max_tokens", 2)
        elif how < 0.75:
            properties = list(schema.get("properties", {"x": 0}))
            body[chance.choice(properties)] = chance.choice(HOSTILE)
        elif how < 0.85:
            deep = inner = {}
            for _ in range(chance.choice((3, 63, 70, 3000))):
                inner["a"] = {}
                inner = inner["a"]
            try:
                body[name] = json.loads(json.dumps(deep))
            except RecursionError:
                return b'{"model":"tiny","x":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}"
        else:
            body[name] = {name: body[name]}
    try:
        data = bytearray(json.dumps(body, allow_nan=True).encode())
    except RecursionError:
        return b"[" * 5000
    how = chance.random()
    if how < 0.15:
        del data[chance.randrange(len(data)) :]
    elif how < 0.35:
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif how < 0.4:
        data += chance.choice((b"}", b" x", b"\x00", b"{}"))
    return bytes(data)


def well_formed(path, status, data, content_type):
    """What is wrong with an error's form; None for a good one."""
    if content_type != "application/json":
        return f"type {content_type}"
    try:
        body = json.loads(data)
    except ValueError:
        return "no JSON"
    error = body.get("error")
    text = lambda value: isinstance(value, str) and value
    if path.startswith("/v1/messages"):
        good = body.get("type") == "error" and text(error.get("type")) and text(error.get("message"))
    elif path.startswith(("/v1", "/api/v0", "/api/v1")):
        good = isinstance(error, dict) and text(error.get("message")) and text(error.get("type")) and "param" in error and "code" in error
    elif path.startswith("/api"):
        good = text(error)
    elif path.split("/")[-1] in ("generate", "generate_stream", "tokenize", "chat_tokenize", "info", "invocations", "embed", "embed_all", "embed_sparse", "rerank", "predict", "similarity", "decode"):
        good = text(error) and text(body.get("error_type"))
    else:
        good = text(error) or (isinstance(error, list) and all(map(text, error)))
    return None if good else str(body)[:200]


statuses, wrong = collections.Counter(), []
with Started(program, {"tiny": model}, "--model", "tiny", environment={"MYNAH_MAX_QUEUE": "64"}) as server:
    paths = json.loads(server.ask("GET", "/openapi.json")[1])["paths"]
    routes = []
    for pattern, methods in paths.items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if method == "post" and "application/json" in content:
                routes.append((pattern.replace("{task}", "text-generation").replace("{model}", "tiny").replace("{response_id}", "resp_a"), content["application/json"]["schema"]))
    routes = [r for r in routes if r[0] not in ("/api/pull", "/api/push")]  # they want a network
    connection = None
    for i in range(total):
        path, schema = routes[i % len(routes)]
        data = damaged(schema)
        try:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.will_close:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException) as error:
            wrong.append(f"{path} {data[:300]!r}: {type(error).__name__} {error}")
            connection.close()
            connection = None
            if server.process.poll() is not None:
                wrong.append(f"the server has ended with {server.process.returncode}")
                break
            continue
        statuses[answer.status] += 1
        if answer.status >= 400:
            problem = well_formed(path, answer.status, body, answer.headers.get("Content-Type"))
            if problem or (answer.status >= 500 and answer.status not in (501, 503)):
                wrong.append(f"{path} {data[:300]!r}: {answer.status} {problem or body[:200]!r}")
    assert server.ask("GET", "/health")[0] == 200
    code = server.stop()
print(f"{sum(statuses.values())} malformed requests to {len(routes)} routes:", ", ".join(f"{n} x {status}" for status, n in sorted(statuses.items())))
print(f"{len(wrong)} answered wrongly; the server ended with {code}")
for line in wrong[:20]:
    print(line)
sys.exit(1 if wrong or code else 0)
