"""A server of the built program in a store of its own, for the tests that look at it from outside."""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile


class Started:
    def __init__(self, program, models, *flags, environment=None):
        """`models`: what FROM of a Modelfile names, by the name it gets."""
        self.program, self.folder = program, pathlib.Path(tempfile.mkdtemp(prefix="mynah-started-"))
        self.environment = {**os.environ, "MYNAH_HOME": str(self.folder / "store"), "MYNAH_OFFLINE": "1", **(environment or {})}
        self.environment.pop("OLLAMA_HOST", None)
        for name, path in models.items():
            (self.folder / "Modelfile").write_text(f"FROM {path}\n")
            subprocess.run([program, "create", name, "-f", self.folder / "Modelfile"], env=self.environment, check=True, capture_output=True)
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen([program, "serve", "--port", "0", *flags], env=self.environment, stdin=subprocess.DEVNULL, stderr=self.log)
        while not (found := re.search(r"listening on \S+:(\d+)", (self.folder / "log").read_text())):
            assert self.process.poll() is None, (self.folder / "log").read_text()
        self.port = int(found.group(1))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, timeout=600):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def ask(self, method, path, body=None, headers=None, timeout=600):
        """Status and bytes; None for a connection that ends before an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, ConnectionError):
            return None, b""
        finally:
            connection.close()

    def head(self, method, path, length):
        return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()

    def metric(self, name):
        found = re.search(rf"^{name} (\S+)", self.ask("GET", "/metrics")[1].decode(), re.M)
        return float(found.group(1))

    def memory(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def stop(self):
        """The exit code after SIGTERM."""
        self.process.terminate()
        return self.process.wait(timeout=60)
