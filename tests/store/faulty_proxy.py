"""Stands before a registry and spoils what it answers for blobs, so that pulls through it meet cut connections, errors, stalls, wrong and missing
bytes. Arguments: the registry's port, a file that names the fault of the moment, read at each request:

    none | cut N | cut-once N | status CODE TIMES | stall N | flip N | short | ranges-ignored | wrong-range | redirect | redirect-loop | garbage

Prints the port it listens on, then a line for each request for a blob: METHOD, PATH, RANGE.
"""

import http.client
import http.server
import pathlib
import sys
import time

upstream, state = int(sys.argv[1]), pathlib.Path(sys.argv[2])
spent = {}  # how often a blob was asked for since the fault was named


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.forward()

    def do_GET(self):
        self.forward()

    def forward(self):
        fault, *numbers = state.read_text().split()
        number = int(numbers[0]) if numbers else 0
        blob = "/blobs/" in self.path and self.command == "GET"
        if blob:
            print(self.command, self.path, self.headers.get("Range", "-"), flush=True)
        else:
            fault = "none"
        moment = state.stat().st_mtime_ns
        times = spent.get(moment, 0) if blob else 0
        spent[moment] = times + blob
        if fault == "status" and times < int(numbers[1]):
            return self.answer(number, {"Retry-After": "0"} if number in (429, 503) else {}, b"{}")
        if fault == "redirect-loop":
            return self.answer(307, {"Location": self.path}, b"")
        if fault == "redirect" and "?again" not in self.path:
            return self.answer(307, {"Location": f"http://{self.headers['Host']}{self.path}?again"}, b"")
        if fault == "garbage":
            self.wfile.write(b"\x00\x01 no HTTP at all\r\n\r\n")
            self.close_connection = True
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection") and not (fault == "ranges-ignored" and k.lower() == "range")}
        connection = http.client.HTTPConnection("127.0.0.1", upstream)
        connection.request(self.command, self.path.split("?")[0], headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        back = {k: v for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding", "date")}
        if fault == "flip" and len(body) > number:
            body = body[:number] + bytes([body[number] ^ 1]) + body[number + 1 :]
        if fault == "wrong-range" and "Content-Range" in back:
            back["Content-Range"] = back["Content-Range"].replace("bytes ", "bytes 1")
        if fault == "short":
            body = body[: max(1, len(body) // 2)]
            back["Content-Length"] = str(len(body))
        self.answer(answer.status, back, body, number if fault == "cut" or (fault in ("cut-once", "stall") and times == 0) else None, fault == "stall")

    def answer(self, status, headers, body, cut=None, stall=False):
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(body if cut is None else body[:cut])
            if stall:
                self.wfile.flush()
                time.sleep(60)
        except OSError:
            pass
        if cut is not None and cut < len(body):
            self.close_connection = True

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
