"""An HTTP endpoint of a consumer, as a process of its own, that fails on purpose in the way it is told to.

``python endpoint_server.py FOLDER [CERTIFICATE KEY]`` writes its port to FOLDER/port. FOLDER/behaviours is a JSON list: each request
takes the first one, and without one all is good. FOLDER/state has what the consumer holds; FOLDER/log one line per request, FOLDER/answers one per answer that is whole.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])
STATE: dict = {"segments": {}, "answers": {}}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, b"pong")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        file = FOLDER / "behaviours"
        behaviours = json.loads(file.read_text()) if file.exists() else []
        behaviour = behaviours.pop(0) if behaviours else "good"
        file.write_text(json.dumps(behaviours))
        with (FOLDER / "log").open("a") as log:
            entry = {
                "behaviour": behaviour,
                "path": self.path,
                "headers": dict(self.headers),
                "body": body.decode(),
            }
            log.write(json.dumps(entry) + "\n")
        getattr(self, behaviour)(body)

    def take(self, body, rejects=()):
        key = self.headers["Idempotency-Key"]
        if key not in STATE["answers"]:
            tree = json.loads(body)
            held = STATE["segments"].setdefault(tree["segment"], {})
            for row in tree["rows"]:
                if row["recipient_key"] in rejects:
                    continue
                if row["op"] == "EXIT":
                    held.pop(row["recipient_key"], None)
                else:
                    held[row["recipient_key"]] = {
                        k: v for k, v in row.items() if k not in ("op", "recipient_key")
                    }
            entries = [{"recipient_key": k, "code": "NO_SUCH_CUSTOMER"} for k in rejects]
            STATE["answers"][key] = {"accepted": len(tree["rows"]) - len(rejects), "rejected": entries}
            (FOLDER / "state").write_text(json.dumps(STATE["segments"]))
        return json.dumps(STATE["answers"][key]).encode()

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with (FOLDER / "answers").open("a") as log:
            log.write(json.dumps({"status": status, "body": body.decode()}) + "\n")
        self.wfile.write(body)

    def good(self, body):
        self.answer(200, self.take(body))

    def half(self, body):
        keys = [row["recipient_key"] for row in json.loads(body)["rows"]]
        self.answer(200, self.take(body, keys[::2]))

    def refuse(self, body):
        entries = [
            {"recipient_key": row["recipient_key"], "code": "ALREADY_EXISTS"}
            for row in json.loads(body)["rows"]
        ]
        self.answer(200, json.dumps({"accepted": 0, "rejected": entries}).encode())

    def unavailable(self, _):
        self.answer(503)

    def full(self, _):
        self.answer(507, Retry_After="1")

    def full_for_long(self, _):
        self.answer(429, Retry_After="999999")

    def slow(self, body):
        time.sleep(3)
        self.good(body)

    def drip(self, _):
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b" ")
            time.sleep(0.1)

    def garbage(self, body):
        self.take(body)
        self.answer(200, b"<html>welcome</html>")

    def nested(self, _):
        self.answer(200, b"[" * 200_000)

    def lie(self, body):
        answer = json.loads(self.take(body))
        self.answer(200, json.dumps({**answer, "accepted": answer["accepted"] + 1}).encode())

    def strange_key(self, body):
        number = len(json.loads(body)["rows"]) - 1
        entry = {"recipient_key": "0" * 32, "code": "NO"}
        self.answer(200, json.dumps({"accepted": number, "rejected": [entry]}).encode())

    def strange_code(self, body):
        rows = json.loads(body)["rows"]
        entry = {"recipient_key": rows[0]["recipient_key"], "code": "13800000000 is not\nours"}
        self.answer(200, json.dumps({"accepted": len(rows) - 1, "rejected": [entry]}).encode())

    def cut(self, body):
        answer = self.take(body)
        self.answer(200, answer[:5], Content_Length=str(len(answer)))
        self.close_connection = True

    def hang_up(self, _):
        self.close_connection = True

    def hang_up_after_taking(self, body):
        self.take(body)
        self.close_connection = True

    def twice(self, body):
        self.good(body)
        self.answer(200, json.dumps({"accepted": 0, "rejected": []}).encode())

    def huge(self, _):
        self.send_response(200)
        self.send_header("Content-Length", str(2**30))
        self.end_headers()
        for _ in range(2**10):
            self.wfile.write(b" " * 2**20)

    def redirect(self, _):
        self.answer(307, Location="http://127.0.0.1:1/elsewhere")

    def unauthorised(self, _):
        self.answer(401, b"your token a-token-for-tests-only is wrong")


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
(FOLDER / "port.unfinished").write_text(str(server.server_port))
(FOLDER / "port.unfinished").rename(FOLDER / "port")
server.serve_forever()
