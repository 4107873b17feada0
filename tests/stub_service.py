"""A server that answers as a test says, and keeps what it was asked: it stands for a service, or
for what stands in its place.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "trn_" + "x7Q" * 14
JOB = {
    "id": "4f1c2ab7" * 4, "number": 7, "user": "ada", "name": "flats", "kind": "train",
    "state": "queued", "reason": "", "wish": None, "priority": 0, "options": {}, "again": False,
    "fingerprint": None, "parent": None, "run": None, "known": False, "attempt": 0, "stuck": 0,
    "step": 0, "epoch": 0, "epochs": 50, "metrics": {}, "created": 1_764_000_000.0,
    "started": None, "ended": None, "seconds": 0.0, "digest": "", "place": 3,
    "cost": {"steps": 700, "operations": 10**9, "bytes": 10**6, "seconds": 1.5},
    "links": {"self": "/jobs/4f", "events": "/jobs/4f/events", "mlflow": None},
}  # fmt: skip
ID = JOB["id"]


def job(**changes: Any) -> dict[str, Any]:
    """The JSON of a job."""
    return {**JOB, **changes}


@dataclass
class Answer:
    """What is answered. `cut` leaves the connection after so many bytes of the body, and `silent`
    before there is a status.
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    silent: bool = False

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    @property
    def kind(self) -> str:
        return "text/html" if isinstance(self.body, bytes) else "application/json"


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Said = Answer | Callable[[Asked], Answer]


class Stub:
    """Answers by method and path; a list of answers is used up one by one, the last for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, Said | list[Said]] = {}
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        self.url = ""

    def on(self, what: str, *answers: Said | dict[str, Any]) -> None:
        """Says what is answered: `on("GET /service", {...})`."""
        self.answers[what] = [Answer(each) if isinstance(each, dict) else each for each in answers]

    def count(self, what: str) -> int:
        """How often it was asked for."""
        return sum(f"{each.method} {each.path.partition('?')[0]}" == what for each in self.asked)

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            said = self.answers.get(f"{asked.method} {asked.path.partition('?')[0]}")
            if isinstance(said, list):
                said = said.pop(0) if len(said) > 1 else said[0]
        if said is None:
            return Answer({"error": "missing", "message": f"there is nothing at {asked.path}"}, 404)
        return said(asked) if callable(said) else said


@contextmanager
def stub() -> Iterator[Stub]:
    """A server of this process, on a port of its own."""
    made = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def _do(self) -> None:
            body = b""
            with_body = int(self.headers.get("Content-Length") or 0)
            if with_body:
                body = self.rfile.read(with_body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._give(made.answer(Asked(self.command, self.path, headers, body)))

        def _give(self, answer: Answer) -> None:
            if answer.silent:
                self.close_connection = True
                return
            headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.data))}
            self.send_response(answer.status)
            for name, value in {**headers, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            data = answer.data if answer.cut is None else answer.data[: answer.cut]
            if self.command != "HEAD":
                self.wfile.write(data)
            if answer.cut is not None:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _do

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def event(number: int, kind: str, **data: Any) -> bytes:
    """An event of a stream."""
    text = json.dumps({"job": ID, "time": 1000.0 + number, **data})
    return f"id: {number}\nevent: {kind}\ndata: {text}\n\n".encode()


def stream(*parts: bytes, cut: int | None = None) -> Answer:
    """A stream of events, which ends, or is cut after so many bytes."""
    body = b": events\nid: 0\nretry: 2000\n\n" + b"".join(parts)
    headers = {"Content-Type": "text/event-stream; charset=utf-8"}
    if cut is not None:
        headers["Content-Length"] = str(len(body) + 100)
    return Answer(body, headers=headers, cut=cut)
