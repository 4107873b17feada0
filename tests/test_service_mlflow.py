"""MLflow's server behind the service: who may ask it what, and what goes there and back."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from faults.served import Client, Served, serving
from test_service_gate import raw

from trainer.checkpoints.facts import RECORDED, Recorded, write_json


class Handler(BaseHTTPRequestHandler):
    """Tells what came; `/mlflow/…/redirect` sends elsewhere, `long` sends much, `dies` nothing."""

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        told = json.dumps({
            "method": self.command, "path": self.path, "headers": dict(self.headers.items()),
            "body": self.rfile.read(size).decode(),
        }).encode()  # fmt: skip
        if "dies" in self.path:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if "redirect" in self.path:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:5000/mlflow/there?x=1#y")
        else:
            self.send_response(418 if "teapot" in self.path else 200)
        told = b"x" * 3_000_000 if "long" in self.path else told
        for name, value in (
            ("Content-Type", "application/json"), ("Content-Length", str(len(told))),
            ("Set-Cookie", "trainer_session=theirs"), ("Access-Control-Allow-Origin", "*"),
            ("Content-Security-Policy", "default-src *"), ("X-Frame-Options", "ALLOWALL"),
            ("Keep-Alive", "timeout=5"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "?"


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class PortServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture(params=["unix", "port"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    place = tmp_path / "m.sock"
    if request.param == "unix":
        server: Any = UnixServer(str(place), Handler)
        address = f"unix:{place}"
    else:
        server = PortServer(("127.0.0.1", 0), Handler)
        address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    with serving(tmp_path, mlflow=address) as made:
        yield made
    server.shutdown()
    server.server_close()
    thread.join()


def asks(served: Served) -> dict[str, Client]:
    return {
        "ada": served.client(served.token("ada")),
        "see": served.client(served.token("see", "reader", all=True)),
        "root": served.client(served.token("root", "admin")),
    }


API = "/mlflow/ajax-api/2.0/mlflow"
WAYS = (
    # method, path, status for who sees its own jobs, for who sees all, for an admin
    ("GET", "/mlflow/", 403, 200, 200),
    ("HEAD", "/mlflow/", 403, 200, 200),
    ("GET", "/mlflow/static-files/static/js/main.js", 403, 200, 200),
    ("GET", f"{API}/experiments/get?experiment_id=1", 403, 200, 200),
    ("GET", "/mlflow/get-artifact?path=a&run_uuid=b", 403, 200, 200),
    ("POST", f"{API}/runs/search", 403, 200, 200),
    ("POST", f"{API}/experiments/search", 403, 200, 200),
    ("POST", "/mlflow/graphql", 403, 200, 200),
    ("POST", "/mlflow/ajax-api/3.0/mlflow/traces/search", 403, 200, 200),
    ("POST", f"{API}/runs/delete", 403, 403, 200),
    ("POST", f"{API}/runs/search/", 403, 403, 200),
    ("POST", f"{API}/experiments/create", 403, 403, 200),
    ("DELETE", f"{API}/runs/search", 403, 403, 200),
    ("PATCH", f"{API}/registered-models/update", 403, 403, 200),
    ("PUT", "/mlflow/api/2.0/mlflow-artifacts/artifacts/x", 403, 403, 200),
    ("GET", "/mlflow/gateway/x", 403, 403, 200),
    ("GET", f"{API}/gateway-proxy?x", 403, 403, 200),
    ("GET", "/mlflow/ajax-api/3.0/mlflow/assistant/x", 403, 404, 404),
    ("POST", "/mlflow/ajax-api/3.0/mlflow/assistant/message", 403, 404, 404),
    ("POST", "/mlflow/ajax-api/3.0/mlflow/Assistant", 403, 404, 404),
    ("GET", "/mlflow/static-files/../ajax-api/3.0/mlflow/x", 403, 404, 404),
    ("GET", "/mlflow//evil.example/x", 403, 404, 404),
    ("GET", "/mlflow/static-files/%2e%2e/x", 403, 404, 404),
)


def test_who_may_ask_what(served: Served) -> None:
    clients = asks(served)
    for method, path, *expected in WAYS:
        found = [clients[name].ask(method, path).status_code for name in ("ada", "see", "root")]
        if ".." in path or "//" in path[1:]:  # this client tidies them
            continue
        assert found == expected, (method, path)
    assert served.client().get("/mlflow/").status_code == 401


@pytest.mark.parametrize("path", [each[1] for each in WAYS if each[-1] == 404])
def test_what_nobody_may_ask_to_the_letter(path: str, served: Served) -> None:
    token = f"Bearer {served.token('root', 'admin')}".encode()
    headers = [(b"host", b"localhost"), (b"authorization", token)]
    assert raw(served, "GET", unquote(path.partition("?")[0]), headers)[0] == 404


def test_what_goes_there(served: Served) -> None:
    headers = {
        "Cookie": "trainer_session=secret; a=b", "X-Forwarded-For": "1.2.3.4",
        "Accept": "text/html",
        "X-MLFLOW-WORKSPACE": "x", "Content-Type": "application/json", "Upgrade": "websocket",
        "Forwarded": "for=1", "Accept-Encoding": "gzip", "Origin": "http://localhost",
    }  # fmt: skip
    told = asks(served)["root"].post(
        "/mlflow/x%20y/z?q=%C3%A9&r=1", content=b'{"a": 1}', headers=headers
    ).json()  # fmt: skip
    assert (told["method"], told["path"]) == ("POST", "/mlflow/x%20y/z?q=%C3%A9&r=1")
    assert told["body"] == '{"a": 1}'
    names = {name.lower() for name in told["headers"]}
    assert names == {"host", "accept", "content-type", "content-length", "connection",
                     "accept-encoding"}  # fmt: skip
    assert told["headers"]["Host"].startswith(("localhost", "127.0.0.1"))  # which MLflow knows
    assert "secret" not in json.dumps(told)
    assert served.tokens["root"] not in json.dumps(told)


def test_what_comes_back(served: Served) -> None:
    client = asks(served)["see"]
    answer = client.get("/mlflow/")
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert "keep-alive" not in answer.headers
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    artifact = client.get("/mlflow/get-artifact?path=x.html")
    assert artifact.headers["content-security-policy"].startswith("sandbox;")
    assert client.get(f"{API}/teapot").status_code == 418
    assert client.get(f"{API}/redirect").headers["location"] == "/mlflow/there?x=1#y"
    assert len(client.get(f"{API}/long").content) == 3_000_000


def test_a_server_that_is_away(served: Served, tmp_path: Path) -> None:
    answer = asks(served)["see"].get(f"{API}/dies")
    assert (answer.status_code, answer.json()["error"]) == (503, "away")
    served.app.state.mlflow = f"unix:{tmp_path}/none"
    assert asks(served)["see"].get("/mlflow/").status_code == 503
    assert served.client(served.token("see")).get("/service").json()["mlflow"] == "/mlflow/"
    assert served.client(served.token("ada")).get("/service").json()["mlflow"] is None
    served.app.state.mlflow = None
    assert asks(served)["see"].get("/mlflow/").status_code == 404


def test_only_what_changes_something_is_written_down(served: Served) -> None:
    root = asks(served)["root"]
    root.post(f"{API}/runs/search")
    root.post(f"{API}/runs/delete")
    entries = [(each.target, each.user) for each in served.store.entries()]
    assert entries == [(f"{API}/runs/delete", "root")]


def test_a_job_leads_to_its_run_there(served: Served) -> None:
    client = served.client(served.token("root", "admin"))
    job = client.submit().json()["id"]
    assert client.get(f"/jobs/{job}").json()["links"]["mlflow"] is None
    folder = served.desk.runs / job
    folder.mkdir()
    write_json(folder, RECORDED, Recorded("sqlite:///x", 1, "abc", "an experiment"))
    assert client.get(f"/jobs/{job}").json()["links"]["mlflow"] == "/mlflow/#/runs/abc"
