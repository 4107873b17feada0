"""`train ui`: MLflow's server on the store, for this machine alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from trainer import TrackingError, load_spec, train
from trainer.cli.ui import serve_ui
from trainer.errors import UsageError
from trainer.runs.facts import named

UI = [sys.executable, "-m", "trainer", "ui"]


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def processes(word: str) -> dict[int, str]:
    """The processes whose command line holds `word`; zombies have none."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if word in command:
            found[int(path.parent.name)] = command
    return found


def listeners(port: int) -> set[str]:
    """The addresses, in hexadecimal, on which something listens at `port`."""
    rows = []
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        rows += path.read_text().splitlines()[1:] if path.exists() else []
    fields = [row.split() for row in rows]
    ends = [local.split(":") for _, local, _, state, *_ in fields if state == "0A"]
    return {address for address, number in ends if int(number, 16) == port}


def call(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    """What MLflow's REST interface answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_ui_serves_the_runs_to_this_machine_alone(
    store: str, folder: Path, write_spec: Callable[..., Path], number: int
) -> None:
    spec, port = load_spec(write_spec()), free_port()
    runs = [train(named(spec, name)) for name in ("first", "second")]
    before = {path.name for path in folder.iterdir()}
    server = subprocess.Popen([*UI, "--port", str(port)], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        query = "runs?workflowType=machine_learning&viewStateShareKey=trainer"
        where = f"http://127.0.0.1:{port}/#/experiments/1/{query}"
        assert line == f"Open {where} in a browser. Stop with Ctrl-C.\n"
        assert listeners(port) == {"0100007F"}, "127.0.0.1 and nothing else"

        experiment = call(port, "experiments/get-by-name?experiment_name=tiny")["experiment"]
        numbers = {"experiment_ids": [experiment["experiment_id"]]}
        found = {run["info"]["run_id"]: run for run in call(port, "runs/search", numbers)["runs"]}
        assert set(found) == {run.run_id for run in runs}
        for run in runs:
            metrics = {m["key"]: m["value"] for m in found[run.run_id]["data"]["metrics"]}
            assert metrics["train_loss"] == run.metrics["train_loss"]
        address = f"http://127.0.0.1:{port}/get-artifact?path=config/spec.yaml&run_uuid="
        with urllib.request.urlopen(address + str(runs[0].run_id), timeout=10) as answer:
            assert answer.read() == Path("spec.yaml").read_bytes()
        assert len(processes(f"--port {port}")) > 1
    finally:
        server.send_signal(number)
        began = time.monotonic()
        server.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert server.returncode == 0
    time.sleep(0.2)
    assert processes(f"--port {port}") == {}
    assert listeners(port) == set()
    assert {path.name for path in folder.iterdir()} == before


def test_no_runs_yet(folder: Path) -> None:
    with pytest.raises(TrackingError) as caught:
        serve_ui(None, None, 5000)
    assert str(caught.value) == (
        f"there are no runs in '{folder}/runs/mlflow.db' yet [TR-T005]\n"
        "  hint: train something first: train configs/hidden_layer.yaml"
    )
    assert os.listdir(folder) == []


def test_the_port_is_taken(store: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run([*UI, "--port", str(port)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"train: port {port} cannot be used (Address already in use): ")
    assert done.stdout == ""


def test_a_store_that_is_no_database(folder: Path) -> None:
    (folder / "notes.txt").write_text("these are not the runs you look for")
    with pytest.raises(TrackingError, match="file is not a database"):
        serve_ui("sqlite:///notes.txt", None, 5000)


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_is_only_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        uri = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        serve_ui(uri, None, server.server_port)  # which is taken, and not needed
        thread.join()
    assert capsys.readouterr().out == f"The runs are in {uri}: open it in a browser.\n"
    with pytest.raises(TrackingError, match=f"no MLflow server at {uri}"):
        serve_ui(uri, None, 5000)


def test_other_databases(folder: Path) -> None:
    with pytest.raises(UsageError, match="not postgresql://somewhere/runs"):
        serve_ui("postgresql://somewhere/runs", None, 5000)
