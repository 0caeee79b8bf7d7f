#!/usr/bin/env python3
"""Speed of a running server, measured from outside with nothing but Python's standard library; every round is bounded.

    mynah serve --model smollm2 --port 8080 &
    bench/serve.py http://127.0.0.1:8080 [--model smollm2] [--pid PID]

Prints a table: one stream, 8 streams, 16 chats with a shared system prompt, embeddings, idle connections (with --pid: memory of each).
Works against any server that speaks OpenAI's dialect, so that others can be measured alike.
"""

import argparse
import http.client
import json
import socket
import statistics
import threading
import time
from urllib.parse import urlparse

WORDS = "the bird sings while rain falls over old stone walls and a small river turns its wheel of wood near quiet fields".split()


def text_of(words, start):
    return " ".join(WORDS[(start * 7 + i * (1 + start % 5)) % len(WORDS)] for i in range(words))


class Server:
    def __init__(self, url, model):
        self.host, self.port, self.model = urlparse(url).hostname, urlparse(url).port, model

    def post(self, path, body):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=300)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {data}")
        return data

    def stream(self, messages, tokens):
        """Seconds to the first text, seconds in all, tokens of the answer."""
        body = {"model": self.model, "messages": messages, "max_tokens": tokens, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=300)
        start, first, count = time.perf_counter(), None, 0
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{answer.status} {answer.read()}")
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if first is None and event["choices"] and event["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - start
            if event.get("usage"):
                count = event["usage"]["completion_tokens"]
        connection.close()
        return first if first is not None else time.perf_counter() - start, time.perf_counter() - start, count


def together(count, action):
    results, threads = [None] * count, []
    for i in range(count):
        threads.append(threading.Thread(target=lambda i=i: results.__setitem__(i, action(i))))
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results, time.perf_counter() - start


def row(name, results, seconds):
    tokens = sum(r[2] for r in results)
    firsts = sorted(r[0] for r in results)
    print(f"| {name} | {tokens / seconds:.1f} | {statistics.median(firsts) * 1000:.0f} | {firsts[-1] * 1000:.0f} | {tokens} | {seconds:.2f} |", flush=True)


def memory(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--idle", type=int, default=1000)
    a = parser.parse_args()
    server = Server(a.url, a.model)
    server.stream([{"role": "user", "content": "Hi"}], 4)  # loads the model
    print("| load | tokens/s | first text ms (median) | first text ms (worst) | tokens | s |\n|---|---|---|---|---|---|")
    for r in range(a.repeat):
        ask = lambda i, r=r: server.stream([{"role": "user", "content": text_of(48, 1 + i + 100 * r)}], a.tokens)
        results, seconds = together(1, ask)
        row(f"1 stream, about 64 in, {a.tokens} out", results, seconds)
        results, seconds = together(8, lambda i: ask(i + 1))
        row(f"8 streams, about 64 in, {a.tokens} out", results, seconds)
        system = {"role": "system", "content": text_of(420, 1000 + r)}
        results, seconds = together(16, lambda i: server.stream([system, {"role": "user", "content": text_of(12, 50 + i)}], 16))
        row("16 chats, shared system prompt of about 500, 16 out", results, seconds)
    texts = [text_of(8, i) for i in range(256)]
    start = time.perf_counter()
    server.post("/v1/embeddings", {"model": a.model, "input": texts, "encoding_format": "base64"})
    print(f"\nembeddings: {256 / (time.perf_counter() - start):.0f} texts/s (256 of 8 words in one request)")
    before = memory(a.pid) if a.pid else 0
    sockets = [socket.create_connection((server.host, server.port)) for _ in range(a.idle)]
    time.sleep(0.5)
    if a.pid:
        print(f"idle connections: {(memory(a.pid) - before) / a.idle / 1024:.1f} KB each ({a.idle})")
    for s in sockets:
        s.close()


main()
