"""Kills the program at random moments and looks at its store: `create`, `pull`, `cp`, `rm` and `serve` with requests under way, each so many
times. After each kill the store must be whole: every listed model complete, every file among the blobs what its name says, what was
stored before still there, and the next command works. Arguments: the program, a small .gguf file, how many times each (30), a seed.
"""

import hashlib
import http.client
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

program, model = sys.argv[1], sys.argv[2]
times = int(sys.argv[3]) if len(sys.argv) > 3 else 30
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
chance = random.Random(seed)
folder = pathlib.Path(tempfile.mkdtemp(prefix="mynah-killed-"))
home = folder / "store"
environment = {**os.environ, "MYNAH_HOME": str(home), "HF_HUB_CACHE": str(folder / "hub"), "OLLAMA_MODELS": str(folder / "ollama")}
for name in ("MYNAH_OFFLINE", "OLLAMA_HOST", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
    environment.pop(name, None)


def big_model(number, megabytes):
    """The small model with bytes behind it that make it another one, large enough to be caught half-way."""
    path = folder / f"big{number}.gguf"
    with open(path, "wb") as out:
        out.write(pathlib.Path(model).read_bytes())
        out.write(random.Random(number).randbytes(megabytes << 20))
    return path


def start(*arguments):
    return subprocess.Popen([program, *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*arguments, code=0):
    done = subprocess.run([program, *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode()


def kill_within(process, seconds):
    """Whether it was caught before its end."""
    time.sleep(chance.random() * seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def listed():
    return {m["name"]: m["digest"] for m in json.loads(run("list", "--json"))["models"]}


verified = {}  # blobs that were right, by size and time


def whole(expected):
    """The store is whole and holds these models, by name and digest (None: any)."""
    models = listed()
    for name, digest in expected.items():
        assert name in models, (name, models)
        assert digest in (None, models[name]), (name, digest, models[name])
    for path in (home / "blobs").glob("sha256-*"):
        state = path.stat()
        mark = (path.name, state.st_size, state.st_mtime_ns)
        if mark not in verified:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name[7:], path
            verified[mark] = True
    for path in (home / "manifests").glob("*.json"):
        for file in json.loads(path.read_text())["files"]:
            blob = home / "blobs" / file["digest"].replace(":", "-")
            assert blob.is_file() and blob.stat().st_size == file["size"], (path, file)
    for name in models:
        run("show", "--json", name)
    return models


class Registry(http.server.BaseHTTPRequestHandler):
    """Speaks as much of a registry as a pull needs, slowly."""

    protocol_version = "HTTP/1.1"
    blobs, manifests, sent, pause = {}, {}, 0, 0.002

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        kind, word = self.path.split("/")[-2:]
        data = (self.manifests if kind == "manifests" else self.blobs).get(word)
        first = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-")).group(1))
        self.send_response(404 if data is None else 206 if "Range" in self.headers else 200)
        body = (data or b"")[first:]
        if "Range" in self.headers and data:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            for at in range(0, len(body), 1 << 18):
                self.wfile.write(body[at : at + (1 << 18)])
                Registry.sent += len(body[at : at + (1 << 18)])
                time.sleep(self.pause)
        except OSError:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


def registry_model(tag, path):
    data, config = path.read_bytes(), json.dumps({"model_format": "gguf", "model_family": "llama", "tag": tag}).encode()
    layers = []
    for kind, blob in (("config", config), ("model", data)):
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        Registry.blobs[digest] = blob
        media = "application/vnd.docker.container.image.v1+json" if kind == "config" else "application/vnd.ollama.image.model"
        layers.append({"mediaType": media, "digest": digest, "size": len(blob)})
    Registry.manifests[tag] = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": layers[0], "layers": layers[1:]}).encode()
    return len(data) + len(config)


def length_of(*arguments):
    """How long a command takes when nobody kills it."""
    begin = time.monotonic()
    run(*arguments)
    return time.monotonic() - begin


def kill_create():
    caught = 0
    (folder / "Modelfile").write_text(f"FROM {big_model(0, 24)}\nPARAMETER temperature 0\n")
    expected = {"base:latest": None}
    long = length_of("create", "base", "-f", folder / "Modelfile")
    expected = {name: digest for name, digest in listed().items()}
    for i in range(times):
        (folder / "Modelfile").write_text(f"FROM {big_model(1 + i % 3, 24)}\nSYSTEM Answer {i}.\nPARAMETER seed {i}\n")
        name = f"made{i % 4}"
        caught += kill_within(start("create", name, "-f", folder / "Modelfile"), 1.2 * long)
        models = whole(expected)
        if i % 5 == 4:
            run("create", name, "-f", folder / "Modelfile")  # the same again goes through
            whole({**expected, f"{name}:latest": None})
    return caught, expected


def kill_pull(expected):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = f"ollama:http://127.0.0.1:{server.server_port}/birds/wren:"
    caught = 0
    total = registry_model("first", big_model(100, 24))
    long = length_of("pull", "--insecure", "--quiet", source + "first")
    run("rm", source + "first")
    for i in range(times):
        total = registry_model(f"t{i % 2}", big_model(101 + i % 7, 24))
        caught += kill_within(start("pull", "--insecure", "--quiet", source + f"t{i % 2}"), 1.2 * long)
        whole(expected)
        if i % 5 == 4:
            kept = max([p.stat().st_size for p in (home / "blobs" / "partial").iterdir()], default=0)
            before = Registry.sent
            run("pull", "--insecure", "--quiet", source + f"t{i % 2}")
            assert Registry.sent - before <= total + (2 << 20), "a resumed pull fetched more than there is"
            pulled = whole(expected)
            assert any("wren" in name for name in pulled), (pulled, kept)
            run("rm", source + f"t{i % 2}")
    server.shutdown()
    return caught


def kill_copies(expected):
    caught, here = 0, set()
    long = length_of("cp", "base", "copy")
    run("rm", "copy")
    for i in range(times):
        name = f"copy{i % 3}"
        models = listed()
        arguments = ("rm", name) if f"{name}:latest" in models else ("cp", "base", name)
        caught += kill_within(start(*arguments), 1.2 * long)
        whole(expected)
    for name in [n for n in listed() if n.startswith("copy")]:
        run("rm", name)
    return caught


def serve():
    process = subprocess.Popen([program, "serve", "--port", "0"], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        found = re.search(r"listening on \S+:(\d+)", line)
        if found:
            return process, int(found.group(1))
    raise AssertionError("the server did not start")


def ask(port, method, path, body):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body))
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, data
    except (OSError, http.client.HTTPException):
        return None, b""


def kill_serve(expected):
    caught = 0
    upload = big_model(200, 8).read_bytes()
    digest = "sha256:" + hashlib.sha256(upload).hexdigest()
    for i in range(times):
        process, port = serve()
        work = [
            ("POST", "/api/create", {"model": f"served{i % 3}", "from": "base", "system": f"Sing {i}.", "stream": True}),
            ("POST", "/api/copy", {"source": "base", "destination": f"other{i % 3}"}),
            ("DELETE", "/api/delete", {"model": f"other{(i + 1) % 3}"}),
            ("POST", f"/api/blobs/{digest}", upload),
            ("POST", "/api/create", {"model": f"loaded{i % 3}", "files": {"model.gguf": digest}}),
            ("POST", "/api/generate", {"model": "base", "prompt": "a", "options": {"num_predict": 50}}),
            ("GET", "/api/tags", {}),
        ]
        threads = [threading.Thread(target=ask, args=(port, *w)) for w in chance.sample(work, len(work))]
        for thread in threads:
            thread.start()
        caught += kill_within(process, 0.25)
        process.stderr.close()
        for thread in threads:
            thread.join()
        whole(expected)
    process, port = serve()
    status, body = ask(port, "POST", "/api/generate", {"model": "base", "prompt": "a", "stream": False, "options": {"num_predict": 4}})
    assert status == 200 and json.loads(body)["done"], (status, body)
    process.terminate()
    assert process.wait(timeout=30) == 0
    process.stderr.close()
    return caught


print(f"seed {seed}", flush=True)
try:
    caught, expected = kill_create()
    print(f"create: {times} kills, {caught} before the end", flush=True)
    print(f"pull: {times} kills, {kill_pull(expected)} before the end", flush=True)
    print(f"cp and rm: {times} kills, {kill_copies(expected)} before the end", flush=True)
    print(f"serve with changes under way: {times} kills, {kill_serve(expected)} before the end", flush=True)
    # An hour later nothing is left but what the models are made of: what is left behind is collected.
    used = {f["digest"].replace(":", "-") for p in (home / "manifests").glob("*.json") for f in json.loads(p.read_text())["files"]}
    left = [p for p in (home / "blobs").glob("sha256-*") if p.name not in used]
    print(f"whole; {len(left)} files that killed processes left wait for being collected", flush=True)
finally:
    shutil.rmtree(folder, ignore_errors=True)
