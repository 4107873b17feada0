"""Fixtures that several test files use."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import yaml
from hypothesis import settings

# read when NumPy loads its BLAS, whose threads would wait for each other on cores that are busy
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from trainer.tracking.recorder import Orders, follow

if TYPE_CHECKING:
    from trainer.engine import Steps
    from trainer.graph.ops import Array
    from trainer.training import Job

# what imports leave is never garbage: to look for it so often takes a sixth of the time
gc.set_threshold(50_000)
# how long an example takes depends on what else the machine does
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# a shell may start the tests with SIGINT ignored, which their processes would inherit
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
SWEEPS = sorted((ROOT / "configs/sweeps").glob("*.yaml"))
"""Those that declare many runs."""
ALL_CONFIGS = sorted({*(ROOT / "configs").rglob("*.yaml")} - {*SWEEPS})
"""Those that declare one run, or a graph."""
CONFIGS = [path for path in ALL_CONFIGS if "\nsgd:" in path.read_text()]
"""Those that train; the others are explained."""

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 5,
    "data": {"source": {"inline": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}}},
    "model": {
        "dtype": "float64",
        "layers": [{"units": 3, "activation": "tanh"}, {"units": 1}],
        "loss": "logistic",
    },
    "sgd": {"learning_rate": 0.5, "batch_size": 2, "epochs": 3},
}


WITHOUT_PICTURES = """\
from trainer.cli import main
from trainer.runs import attempt
attempt.leave_pictures = lambda *_: None
main()
"""
APART = [sys.executable, "-c", WITHOUT_PICTURES]
"""`train` as a process of its own, in which the runs leave no pictures either."""


class WriteSpec(Protocol):
    """Writes a spec to a file in the current folder: the tiny one, with changes."""

    def __call__(
        self, changes: Mapping[str, Any] | None = None, name: str = "spec.yaml"
    ) -> Path: ...


class Train(Protocol):
    """Runs `train …` in this process: (exit code, standard output, standard error)."""

    def __call__(self, *arguments: object) -> tuple[int, str, str]: ...


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No MLflow setting of the machine reaches a test."""
    for name in ("TRACKING_URI", "EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class RecorderThread:
    """The recorder as a thread of this process, which has MLflow already."""

    def __init__(self) -> None:
        self._orders: Orders = Queue()
        self._code: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._follow, name="recorder", daemon=True).start()

    def _follow(self) -> None:
        try:
            self._code = 0 if follow(self._orders) else 1
        except (Exception, KeyboardInterrupt):  # as a process would end
            self._code = 1
        finally:
            self._ended.set()

    def send(self, order: Mapping[str, Any]) -> None:
        self._orders.put(order)

    def close(self) -> None:
        self._orders.put(None)

    def wait(self) -> int:
        self._ended.wait()
        return self._code or 0

    def terminate(self) -> None:
        self.close()


@pytest.fixture(autouse=True)
def _recorder_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a process and importing MLflow takes seconds; tests of commands that are processes
    themselves, and of the recorder, have the real one.
    """
    monkeypatch.setattr("trainer.runs.ahead.start_process", RecorderThread)


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this process leave no pictures and no page, which take longer than their training,
    but for tests with the mark `pictures`. Commands that are processes draw them, but `APART`.
    """
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr("trainer.runs.attempt.leave_pictures", lambda *_: None)
        monkeypatch.setattr("trainer.sweeps.describe.write_sweep", lambda *_: None)
        monkeypatch.setattr("trainer.report.folds.draw_folds", lambda *_: [])


@pytest.fixture(autouse=True)
def _no_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorders of this process log no models with MLflow, which is most of their work, but for
    tests with the mark `models`. Recorders that are processes log them.
    """
    if request.node.get_closest_marker("models") is None:
        for name in ("log_model", "link_model"):
            monkeypatch.setattr(f"trainer.tracking.recording.{name}", lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled kernels go to a folder of the tests, which all of them share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINER_CACHE", str(tmp_path_factory.getbasetemp().parent / "kernels"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    """Files of this process, and MLflow's databases, are not flushed to the disk: a test does not
    outlive a loss of power. Processes that tests start flush theirs.
    """
    from sqlalchemy import Engine, event

    def unflushed(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", unflushed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield
    event.remove(Engine, "connect", unflushed)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def _fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database, made once: that takes seconds."""
    from mlflow import MlflowClient

    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def store(folder: Path, _fresh_store: Path) -> str:
    """The URI of the default store, runs/mlflow.db in the current folder, without runs."""
    database = folder / "runs" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(_fresh_store, database)
    return f"sqlite:///{database}"


@pytest.fixture
def write_spec(folder: Path) -> WriteSpec:
    """Writes a spec to spec.yaml in the current folder: the tiny one, with changes.

    A change is a dotted key and its value: `write_spec({"sgd.epochs": 9})`.
    """

    def write(changes: Mapping[str, Any] | None = None, name: str = "spec.yaml") -> Path:
        values = yaml.safe_load(yaml.safe_dump(TINY))
        for key, value in (changes or {}).items():
            *parents, last = key.split(".")
            target = values
            for parent in parents:
                target = target.setdefault(parent, {})
            target[last] = value
        path = folder / name
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str]) -> Train:
    """Runs `train …` in this process: (exit code, standard output, standard error)."""

    from trainer.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return run


def set_state(job: Job, values: Mapping[str, Any]) -> None:
    """Puts numbers in the place of parameters and states of the job, of these names: an array, or
    one number for all of it.
    """
    state = job.state
    for name, value in values.items():
        state[name][...] = value
    job.session = job.engine.load(state)


def take_steps(job: Job, first: int, last: int) -> tuple[Steps, Array]:
    """Runs these steps of the first epoch over the training rows in the order that they have."""
    from trainer.data import Part
    from trainer.training.masks import draw_masks, masks_of

    train = job.dataset.train
    assert isinstance(train, Part)
    masks = draw_masks(masks_of(job.graph), job.spec.seed, 1, 0, len(train))
    rates = job.rates.at(first + 1, last - first)
    return job.session.train(train.arrays | masks, rates, job.batch_size, first, last)
