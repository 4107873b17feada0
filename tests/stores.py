"""Looking into MLflow's stores, and servers that answer in a way of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from trainer import Run
from trainer.checkpoints.facts import read_recorded
from trainer.checkpoints.folder import folders


def recorded(run: Run | str, store: str) -> Any:
    """The run as MLflow holds it."""
    return MlflowClient(store).get_run(run if isinstance(run, str) else str(run.run_id))


def all_runs(store: str) -> list[Any]:
    """The runs of a store, the latest first."""
    client = MlflowClient(store)
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(numbers))


def only_run(store: str) -> Any:
    """The one run of a store."""
    (run,) = all_runs(store)
    return run


def series(run: Run | str, store: str, name: str) -> dict[int, float]:
    """A metric's values by step."""
    run_id = run if isinstance(run, str) else str(run.run_id)
    points = MlflowClient(store).get_metric_history(run_id, name)
    values = {point.step: point.value for point in points}
    assert len(values) == len(points), f"{name} has a step twice"
    return values


def artifact(run: Run, store: str, name: str) -> Path:
    """The local path of an artifact."""
    return Path(MlflowClient(store).download_artifacts(str(run.run_id), name))


def assert_whole(run: Run, store: str) -> None:
    """MLflow has the run to its end, and each of its points once, with its value."""
    assert recorded(run, store).info.status == "FINISHED"
    for name, values in run.history.items():
        expected = dict(zip(values.steps.tolist(), values.values.tolist(), strict=True))
        got = series(run, store, name)
        assert got.items() <= expected.items(), name
        assert len(got) == min(len(expected), 320) or len(got) == len(expected), name


def only_folder() -> Path:
    """The folder of the one run that is here."""
    (path,) = folders(Path("runs"))
    return path


def eventually(right: Callable[[], bool], seconds: float = 30.0) -> None:
    """Waits until it is so."""
    until = time.monotonic() + seconds
    while not right():
        assert time.monotonic() < until, "it did not become so"
        time.sleep(0.02)


def is_recorded(path: Path) -> bool:
    """Whether the recorder is done with the run in the folder."""
    there = read_recorded(path)
    return there is not None and there.whole


def tree(folder: Path) -> set[str]:
    """All files and folders below `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def server(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that answers everything in one way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()
