#!/usr/bin/env python3
"""Speed of running servers, measured from outside with nothing but Python's standard library; every round is bounded.

    mynah serve --model smollm2 --port 8080 &
    bench/serve.py mynah=http://127.0.0.1:8080 [other=http://127.0.0.1:8081 ...] [--model smollm2] [--pids PID,PID] [--rounds 3]

Every load runs on one server after the other, round by round, and the best round counts; with two servers the ratio of the first to
the second is printed. Works against any server that speaks OpenAI's dialect. bench/serve_peers.sh starts mynah and llama-server for it.
"""

import argparse
import json
import re
import selectors
import socket
import statistics
import time
import urllib.error
import urllib.request
from urllib.parse import urlparse

WORDS = "the bird sings while rain falls over old stone walls and a small river turns its wheel of wood near quiet fields".split()
TEXT = re.compile(rb'"content":\s*"[^"]')
TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


def text_of(words, start):
    return " ".join(WORDS[(start * 7 + i * (1 + start % 5) + i * i * (start % 3)) % len(WORDS)] for i in range(words))


class Server:
    def __init__(self, name, url, model, key, pid):
        self.name, self.model, self.key, self.pid = name, model, key, pid
        self.host, self.port = urlparse(url).hostname, urlparse(url).port

    def request(self, path, body, key=None):
        data = json.dumps(body).encode()
        key = key or self.key
        head = f"POST {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n"
        return (head + (f"Authorization: Bearer {key}\r\n" if key else "") + "\r\n").encode() + data

    def chat(self, messages, tokens, key=None):
        body = {"model": self.model, "messages": messages, "max_tokens": tokens, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
        return self.request("/v1/chat/completions", body, key)

    def get(self, path):
        request = urllib.request.Request(f"http://{self.host}:{self.port}{path}", headers={"Authorization": f"Bearer {self.key}"} if self.key else {})
        return urllib.request.urlopen(request, timeout=60).read().decode()

    def post(self, path, body):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(f"http://{self.host}:{self.port}{path}", json.dumps(body).encode(), headers)
        return json.loads(urllib.request.urlopen(request, timeout=600).read())

    def running(self):
        """Answers under way, as the server's own metrics say."""
        found = re.search(r"^(?:mynah_requests_running|llamacpp:requests_processing) (\d+)", self.get("/metrics"), re.M)
        return int(found.group(1)) if found else None

    def memory(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0


class Stream:
    """One request on a connection of its own."""

    def __init__(self, server, request):
        self.socket = socket.create_connection((server.host, server.port))
        self.start, self.first, self.last, self.end, self.pause, self.body = time.perf_counter(), None, None, None, 0, b""
        self.socket.sendall(request)
        self.socket.setblocking(False)

    def take(self):
        """Reads what is there; False at the end."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return True
        now = time.perf_counter()
        if not data:
            self.end = now
            self.socket.close()
            if not self.body.startswith(b"HTTP/1.1 200"):
                raise SystemExit(self.body.decode(errors="replace"))
            return False
        self.body += data
        if self.first is None and TEXT.search(self.body):
            self.first = now
        elif self.first is not None:
            self.pause = max(self.pause, now - self.last)
        self.last = now
        return True

    @property
    def tokens(self):
        found = TOKENS.findall(self.body)
        return int(found[-1]) if found else 0

    @property
    def wait(self):
        return (self.first or self.end) - self.start


def run(server, queues):
    """As many clients as there are queues of requests; each sends its next one when the last has ended. Returns the streams and the time."""
    done, queues = [], [list(q) for q in queues]
    start = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for q in queues:
            s = Stream(server, q.pop(0))
            selector.register(s.socket, selectors.EVENT_READ, (s, q))
        while selector.get_map():
            for key, _ in selector.select():
                s, q = key.data
                if s.take():
                    continue
                selector.unregister(key.fileobj)
                done.append(s)
                if q:
                    n = Stream(server, q.pop(0))
                    selector.register(n.socket, selectors.EVENT_READ, (n, q))
    return done, time.perf_counter() - start


def user(text):
    return {"role": "user", "content": text}


def story(i, words=40):
    return [user("Tell a long story in which these words appear: " + text_of(words, i))]


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p))]


number = 0


def fresh():
    """A number that no prompt has had."""
    global number
    number += 1
    return number


def compare(servers, rounds, load, name):
    """Rows of the table of loads: the best rate and the waits of that round."""
    best = {}
    for r in range(rounds):
        for server in servers:
            streams, seconds = run(server, load(server, 1000 * r))
            waits = [s.wait for s in streams]
            got = (sum(s.tokens for s in streams) / seconds, statistics.median(waits), percentile(waits, 0.99), max(s.pause for s in streams))
            if server.name not in best or got[0] > best[server.name][0]:
                best[server.name] = got
    for server in servers:
        rate, median, late, pause = best[server.name]
        print(f"| {name} | {server.name} | {rate:.1f} | {median * 1000:.0f} | {late * 1000:.0f} | {pause * 1000:.0f} |", flush=True)
    if len(servers) > 1:
        a, b = best[servers[0].name], best[servers[1].name]
        print(f"| | ratio | {a[0] / b[0]:.2f} | {a[1] / b[1]:.2f} | {a[2] / b[2]:.2f} | {a[3] / max(b[3], 1e-9):.2f} |", flush=True)


def loads(servers, rounds, tokens, clients, parts):
    print("| load | server | tokens/s | first text ms (median) | first text ms (p99) | longest pause ms |\n|---|---|---|---|---|---|")
    for n in clients if "streams" in parts else []:
        load = lambda server, r, n=n: [[server.chat(story(r + 100 * n + i), tokens)] for i in range(n)]
        compare(servers, rounds, load, f"{n} stream{'s' if n > 1 else ''}, about 64 in, {tokens} out")

    def shared(server, r):
        system = {"role": "system", "content": f"Chapter {r}. " + text_of(420, r + 11)}
        return [[server.chat([system, user(f"Question {i}: " + text_of(10, i))], 16)] for i in range(16)]

    if "shared" in parts:
        compare(servers, rounds, shared, "16 chats, shared system prompt of about 500, 16 out")
    if "queued" in parts:
        compare(servers, rounds, lambda server, r: [[server.chat(story(r + 5000 + 10 * c + k), 24) for k in range(4)] for c in range(16)],
                "16 clients, 4 requests each one after another, 24 out")


def turns(servers):
    """Time to the first text of a chat's second turn, beside that of the same prompt when nothing of it is known."""
    print("\n| second turn of a chat of about 900 tokens | first text ms, nothing known | ms, as the second turn |\n|---|---|---|")
    for server in servers:
        cold, warm = [], []
        for r in range(3):
            history = [user(f"Part {fresh()}. " + text_of(700, r + 3))]
            streams, _ = run(server, [[server.chat(history, 16)]])
            cold.append(streams[0].wait)
            answer = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in streams[0].body.decode().splitlines()
                             if line.startswith("data: {") and '"content"' in line)
            streams, _ = run(server, [[server.chat(history + [{"role": "assistant", "content": answer}, user("Go on.")], 8)]])
            warm.append(streams[0].wait)
        print(f"| {server.name} | {min(cold) * 1000:.0f} | {min(warm) * 1000:.0f} |", flush=True)


def fairness(servers, other_key):
    """What others cost: a short answer beside a long prompt, and one request of a second key behind a flood of the first."""
    print("\n| server | a long prompt of 3,000 arrives: longest pause of a running stream ms | first text ms of one key behind 48 requests of another |\n|---|---|---|")
    for server in servers:
        pauses, waits = [], []
        for r in range(3):
            stream = Stream(server, server.chat(story(fresh() + 7000), 96))
            with selectors.DefaultSelector() as selector:
                selector.register(stream.socket, selectors.EVENT_READ)
                beside, more = None, True
                while more:
                    selector.select()
                    more = stream.take()
                    if stream.first and not beside:
                        beside = Stream(server, server.chat([user(f"{fresh()} " + text_of(2400, r + 3))], 4))
            pauses.append(stream.pause)
            run_rest(beside)
            flood = [Stream(server, server.chat(story(fresh() + 8000), 24)) for _ in range(48)]
            time.sleep(0.2)
            one = Stream(server, server.chat(story(fresh() + 9000), 4, other_key))
            with selectors.DefaultSelector() as selector:
                for s in flood + [one]:
                    selector.register(s.socket, selectors.EVENT_READ, s)
                while selector.get_map():
                    for key, _ in selector.select():
                        if not key.data.take():
                            selector.unregister(key.fileobj)
            waits.append(one.wait)
        print(f"| {server.name} | {statistics.median(pauses) * 1000:.0f} | {statistics.median(waits) * 1000:.0f} |", flush=True)


def run_rest(stream):
    with selectors.DefaultSelector() as selector:
        selector.register(stream.socket, selectors.EVENT_READ)
        while selector.select() and stream.take():
            pass


def cancellation(servers):
    """From the client's close to the free slot, as the server's metrics say."""
    print("\n| server | client leaves while | free after ms (median) | ms (worst of 10) |\n|---|---|---|---|")
    for server in servers:
        if server.running() is None:
            continue
        for name, words, beside in (("its answer is written", 40, 0), ("its prompt of 3,000 is read", 2400, 0), ("8 others are answered", 40, 8)):
            times = []
            for r in range(10):
                others = [Stream(server, server.chat(story(fresh() + 20000), 400)) for _ in range(beside)]
                end = time.perf_counter() + 20
                while server.running() < beside and time.perf_counter() < end:
                    time.sleep(0.005)
                stream = Stream(server, server.chat([user(f"Story {fresh()}: " + text_of(words, r + 3))], 400))
                while server.running() < beside + 1 and time.perf_counter() < end:
                    pass
                if words < 100:
                    while stream.first is None and time.perf_counter() < end:
                        stream.take()
                else:
                    time.sleep(0.05)
                stream.socket.close()
                start = time.perf_counter()
                while server.running() > beside and time.perf_counter() < end:
                    pass
                times.append(time.perf_counter() - start)
                for s in others:
                    s.socket.close()
                while server.running() > 0 and time.perf_counter() < end:
                    time.sleep(0.005)
            print(f"| {server.name} | {name} | {statistics.median(times) * 1000:.0f} | {max(times) * 1000:.0f} |", flush=True)


def embeddings(servers, rounds):
    print("\n| 1,000 texts of 8 words in one request | texts/s |\n|---|---|")
    best = {}
    for r in range(rounds):
        for server in servers:
            texts = [f"{i} " + text_of(8, i + r) for i in range(1000)]
            start = time.perf_counter()
            try:
                server.post("/v1/embeddings", {"model": server.model, "input": texts, "encoding_format": "base64"})
            except urllib.error.HTTPError as error:
                best[server.name] = None
                print(f"| {server.name}: {error.code} {error.read(200).decode(errors='replace')} | |")
                continue
            best[server.name] = max(best.get(server.name) or 0, 1000 / (time.perf_counter() - start))
    for name, rate in best.items():
        if rate:
            print(f"| {name} | {rate:.0f} |", flush=True)


def idle(servers, count):
    print(f"\n| server | resident MB | MB that {count:,} idle connections add |\n|---|---|---|")
    for server in servers:
        if not server.pid:
            continue
        before, sockets = server.memory(), []
        try:
            for _ in range(count):
                sockets.append(socket.create_connection((server.host, server.port), timeout=10))
            time.sleep(0.5)
            print(f"| {server.name} | {before / 1e6:.0f} | {(server.memory() - before) / 1e6:.1f} |", flush=True)
        except OSError as error:
            print(f"| {server.name} | {before / 1e6:.0f} | {len(sockets)} connections, then: {error} |", flush=True)
        for s in sockets:
            s.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("servers", nargs="+", metavar="NAME=URL")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--keys", default="", help="one for all requests, and a second one for the test of fairness")
    parser.add_argument("--pids", default="", help="of the servers, for their memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--clients", default="1,4,8,16,64")
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--only", default="streams,shared,queued,turns,fairness,cancellation,embeddings,idle")
    a = parser.parse_args()
    keys = a.keys.split(",") if a.keys else [None, None]
    pids = [int(p) for p in a.pids.split(",")] if a.pids else []
    servers = [Server(*s.split("=", 1), a.model, keys[0], pids[i] if i < len(pids) else None) for i, s in enumerate(a.servers)]
    parts = a.only.split(",")
    if parts != ["embeddings"]:
        for server in servers:
            run(server, [[server.chat([user("Hi")], 4)]])  # loads the model
    if {"streams", "shared", "queued"} & set(parts):
        loads(servers, a.rounds, a.tokens, [int(n) for n in a.clients.split(",")], parts)
    if "turns" in parts:
        turns(servers)
    if "fairness" in parts:
        fairness(servers, keys[-1])
    if "cancellation" in parts:
        cancellation(servers)
    if "embeddings" in parts:
        embeddings(servers, a.rounds)
    if "idle" in parts:
        idle(servers, a.idle)


main()
