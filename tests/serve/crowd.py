"""What bad and idle clients cost an honest one: the rate of a stream alone, and beside thousands of idle connections, slow heads and bodies, readers
that take nothing, half-closed sockets, giant and deeply nested bodies. Arguments: the program, a .gguf file with a chat template, how many idle
connections (10,000). Prints a table; fails where the stream breaks off or /health is not answered within a second.
"""

import json
import resource
import socket
import statistics
import sys
import threading
import time

from started import Started

program, model = sys.argv[1], sys.argv[2]
many = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
TOKENS = 160


def stream(server):
    """Tokens per second of one answer, the longest pause, and its text."""
    body = json.dumps({"model": "model", "messages": [{"role": "user", "content": "Tell a long story about a bird."}], "temperature": 0, "max_tokens": TOKENS, "stream": True}).encode()
    with server.connect() as s:
        s.sendall(server.head("POST", "/v1/chat/completions", len(body)) + body)
        data, times = b"", []
        while b"data: [DONE]" not in data:
            piece = s.recv(1 << 16)
            assert piece, "the stream broke off"
            data += piece
            times.append(time.perf_counter())
        text = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in data.decode().splitlines() if line.startswith("data: {"))
    return (len(times) - 1) / (times[-1] - times[0]), max(b - a for a, b in zip(times, times[1:])), text


def health(server):
    begin = time.perf_counter()
    assert server.ask("GET", "/health", timeout=10)[0] == 200
    return time.perf_counter() - begin


class Crowd:
    """Connections that were opened and sent these bytes, and what repeats until the end."""

    def __init__(self, server, count, first=b"", repeat=None, receive=None):
        self.sockets, self.stop = [], threading.Event()
        for _ in range(count):
            s = socket.socket()
            if receive:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            s.settimeout(20)
            s.connect(("127.0.0.1", server.port))
            if first:
                s.sendall(first)
            self.sockets.append(s)
        self.thread = threading.Thread(target=self.run, args=(repeat,))
        self.thread.start()

    def run(self, repeat):
        while repeat and not self.stop.is_set():
            repeat(self.sockets)
            self.stop.wait(0.5)

    def end(self):
        self.stop.set()
        self.thread.join()
        for s in self.sockets:
            s.close()


def drip(sockets):
    for s in sockets:
        try:
            s.send(b"a")
        except OSError:
            pass


with Started(program, {"model": model}, "--model", "model") as server:
    giant = b'{"model":"model","x":"' + b"a" * (60 << 20) + b'"}'
    nested = b'{"model":"model","x":' + b"[" * 1000000

    def post(body):
        def again(sockets):
            server.ask("POST", "/api/show", body)

        return again

    unread = json.dumps({"model": "model", "prompt": "a", "raw": True, "options": {"num_predict": 3000}}).encode()
    crowds = {
        "nobody": lambda: None,
        f"{many:,} idle connections": lambda: Crowd(server, many - 50),
        "1,000 heads that come a byte at a time": lambda: Crowd(server, 1000, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", drip),
        "1,000 bodies that come a byte at a time": lambda: Crowd(server, 1000, server.head("POST", "/api/show", 1000), drip),
        "1,000 half-closed sockets": lambda: half_closed(Crowd(server, 1000, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")),
        "bodies of 60 MB, one after another": lambda: Crowd(server, 0, repeat=post(giant)),
        "bodies nested a million deep, one after another": lambda: Crowd(server, 0, repeat=post(nested)),
        "4 streams that nobody reads": lambda: Crowd(server, 4, server.head("POST", "/api/generate", len(unread)) + unread, receive=4096),
    }

    def half_closed(crowd):
        for s in crowd.sockets:
            s.shutdown(socket.SHUT_WR)
        return crowd

    print("| beside | tokens/s of a stream | longest pause ms | /health ms (worst of 20) | resident MB |\n|---|---|---|---|---|")
    stream(server)
    texts, failed = set(), False
    for name, make in crowds.items():
        crowd = make()
        try:
            seen = [stream(server) for _ in range(3)]
            texts |= {s[2] for s in seen}
            worst = max(health(server) for _ in range(20))
            failed |= worst > 1
            print(f"| {name} | {max(s[0] for s in seen):.0f} | {statistics.median(s[1] for s in seen) * 1000:.0f} | {worst * 1000:.1f} | {server.memory() / 1e6:.0f} |", flush=True)
        finally:
            if crowd:
                crowd.end()
        time.sleep(0.5)
    code = server.stop()
print("the same text each time" if len(texts) == 1 else f"{len(texts)} different texts")
sys.exit(1 if failed or len(texts) != 1 or code else 0)
