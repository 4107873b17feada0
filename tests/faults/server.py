"""A proxy before a real MLflow server, which drops, delays, refuses and loses what passes.

The run must end as if nothing had been, or be sent whole by `train sync` afterwards: each point
once, with its value, and no step of the training slower for it.
"""

from __future__ import annotations

import http.client
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from trainer import Run, TrackingError, load_spec, train
from trainer.runs.profile import Profile
from trainer.runs.sync import send, unsent_runs
from trainer.training import EpochDone, Event

Fault = Callable[["Proxy", bytes], bool]
"""Handles one request in a way of its own, or hands back False to let it through."""

FAULTS: dict[str, str] = {
    "drop": "the connection is closed, nothing was sent on",
    "lose": "the request was carried out, its reply is lost",
    "500": "the server answers 500",
    "delay": "the answer takes a second",
}


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on to the server at `port`, and meddles with those that write metrics."""

    port = 0
    share = 0.0  # of the requests that meet a fault
    kinds: tuple[str, ...] = ()
    chance = random.Random(0)

    def do_GET(self) -> None:
        """Passes it on, or has it meet its fault."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        points = "log-batch" in self.path and b'"key": "train_loss' in body
        meets = points and self.chance.random() < self.share
        kind = self.chance.choice(self.kinds) if meets else ""
        if kind == "drop":
            self.close_connection = True
            return
        if kind == "500":
            self.send_error(500)
            return
        if kind == "delay":
            time.sleep(1)
        server = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        server.request(self.command, self.path, body, dict(self.headers))
        answer = server.getresponse()
        data = answer.read()
        server.close()
        if kind == "lose":
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def mlflow_server(folder: Path) -> Iterator[int]:
    """A real server on a port of its own, ready to answer."""
    port = 20_000 + random.randrange(20_000)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination", str(folder / "artifacts"), "--workers", "1",
    ]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(300):
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.2)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def proxy(port: int, share: float, kinds: tuple[str, ...], seed: int) -> Iterator[str]:
    """The address of a proxy before the server at `port`."""
    handler = type(
        "Handler", (Proxy,),
        {"port": port, "share": share, "kinds": kinds, "chance": random.Random(seed)},
    )  # fmt: skip
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def one_run(uri: str, spec: Path, seconds: float) -> Run:
    """A run of some seconds, sent again until the store has all of it."""

    def slowly(event: Event) -> None:
        if isinstance(event, EpochDone):
            time.sleep(seconds / 40)

    try:
        return train(
            load_spec(spec), profile=Profile(store=uri, offline_ok=True), listen=slowly, again=True
        )
    finally:
        for _ in range(10):
            with suppress(TrackingError):
                for run in unsent_runs():
                    send(run)


def is_whole(run: Run, uri: str) -> bool:
    """Whether the server has the run once, each of its points once, with its value, and its end."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    number = client.get_experiment_by_name(str(run.experiment)).experiment_id
    (found,) = client.search_runs([number], f"tags.`trainer.run` = '{run.id}'")
    whole = bool(found.info.status == "FINISHED")
    for name, series in run.history.items():
        history = client.get_metric_history(found.info.run_id, name)
        points = sorted((point.step, point.value) for point in history)
        values = dict(zip(series.steps.tolist(), series.values.tolist(), strict=True))
        whole &= bool(points) and len({step for step, _ in points}) == len(points)
        whole &= all(values[step] == value for step, value in points)
    return whole


def campaign(folder: Path, cases: int) -> Iterator[tuple[str, bool]]:
    """Each fault in turn, half of the requests meeting it; tells the fault and whether all
    arrived.
    """
    spec = folder / "server.yaml"
    spec.write_text(
        "name: server\nseed: 1\ndata: {source: iris, split: {validation: 0.2}}\n"
        "model: {layers: [{units: 4, activation: tanh}, {units: 3}], loss: logistic}\n"
        "sgd: {learning_rate: 0.05, batch_size: 16, epochs: 40}\n"
    )
    with chdir(folder), mlflow_server(folder) as port:
        for case in range(cases):
            kind = [*FAULTS, *FAULTS, "all"][case % 9]
            kinds = tuple(FAULTS) if kind == "all" else (kind,)
            with proxy(port, 0.5, kinds, seed=case) as uri:
                run = one_run(uri, spec, seconds=4)
            yield kind, is_whole(run, f"http://127.0.0.1:{port}")
