"""A run that is listened to and stopped, on any thread, beside others; and how it ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Train, WriteSpec
from safetensors.numpy import load_file
from stores import (
    artifact,
    assert_whole,
    eventually,
    is_recorded,
    only_folder,
    only_run,
    recorded,
    tree,
)
from threadpoolctl import threadpool_info, threadpool_limits

from trainer import Run, Spec, load_spec, resume, train
from trainer.checkpoints.facts import read_outcome
from trainer.cli.progress import Progress
from trainer.engine import ReferenceEngine
from trainer.engine.blas_threads import one_blas_thread
from trainer.engine.compiled.engine import CompiledEngine
from trainer.errors import DivergedError, InterruptedRun
from trainer.runs.known import load_run
from trainer.runs.profile import Profile
from trainer.training import Ended, EpochDone, Event, Reading, Saved, Started, Trained, Warned

UNRECORDED = Profile(record=False)
DIVERGING = {"data.source": {"synthetic": "linear", "rows": 40}, "model.loss": "squared",
             "data.split": {"validation": 0.25}, "sgd.learning_rate": 1e200}  # fmt: skip


# Listening and stopping -------------------------------------------------------------------------


def test_what_is_heard(write_spec: WriteSpec) -> None:
    heard: list[Event] = []
    run = train(load_spec(write_spec()), profile=UNRECORDED, listen=heard.append)
    events = [event for event in heard if not isinstance(event, Reading)]
    started, trained = events[0], events[-1]
    assert isinstance(started, Started)
    assert (started.run, started.name, started.parameters) == (run.id, "tiny", 13)
    assert (started.rows, started.epochs, started.steps_per_epoch, started.step) == (4, 3, 2, 0)
    assert isinstance(trained, Trained)
    assert trained.run.parameters_sha256 == run.parameters_sha256
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == [0, 1, 2, 3]
    (ended,) = (event for event in events if isinstance(event, Ended))
    assert (ended.status, ended.epoch, ended.step) == ("FINISHED", 3, 6)
    assert [event.step for event in events if isinstance(event, Saved)] == [6]


RAISES: dict[str, tuple[Callable[[Event], bool], str | None]] = {
    "at the start": (lambda event: isinstance(event, Started), "FAILED"),
    "in the middle": (lambda event: isinstance(event, EpochDone) and event.epoch == 2, "FAILED"),
    "at the end": (lambda event: isinstance(event, Trained), "FINISHED"),
}


@pytest.mark.parametrize("when", RAISES)
def test_a_listener_that_raises(store: str, write_spec: WriteSpec, when: str) -> None:
    """The run ends there, honestly, and what was raised comes out; the run can go on."""
    raises, status = RAISES[when]

    def fail(event: Event) -> None:
        if raises(event):
            raise ZeroDivisionError("of the listener")

    spec = load_spec(write_spec())
    with pytest.raises(ZeroDivisionError, match="of the listener"):
        train(spec, listen=fail)
    outcome = read_outcome(only_folder())
    assert outcome is not None
    assert outcome.status == status
    eventually(lambda: is_recorded(only_folder()))
    found = only_run(store)
    assert found.info.status == status
    assert ("trainer.parameters_sha256" in found.data.tags) == (status == "FINISHED")
    if status == "FAILED":
        assert outcome.reason == "ZeroDivisionError: of the listener"
        run = resume("last")
        assert run.parameters_sha256 == train(spec, profile=Profile(runs=None)).parameters_sha256
        assert_whole(run, store)


def test_what_was_trained_until_it_was_stopped(store: str, write_spec: WriteSpec) -> None:
    heard: list[Event] = []

    def stop() -> bool:
        return any(isinstance(event, EpochDone) and event.epoch == 2 for event in heard)

    with pytest.raises(InterruptedRun) as caught:
        train(load_spec(write_spec()), listen=heard.append, stop=stop)
    run = caught.value.run
    assert isinstance(run, Run)
    assert (run.epochs, run.status, caught.value.exit_code) == (2, "KILLED", 130)
    assert str(caught.value) == (
        f"interrupted after 4 steps (2 whole epochs); go on with: "
        f"train resume {str(run.id)[:8]} [TR-X002]"
    )
    kept = load_file(artifact(run, store, "parameters.safetensors"))
    for name, value in run.parameters.items():
        np.testing.assert_array_equal(kept[name], value)
    assert recorded(run, store).info.status == "KILLED"


def test_nothing_is_kept_where_no_folder_is_asked_for(folder: Path, write_spec: WriteSpec) -> None:
    run = train(load_spec(write_spec()), profile=Profile(runs=None))
    assert (run.folder, run.id, run.run_id, run.tracking_uri) == (None, None, None, None)
    assert tree(folder) == {"spec.yaml"}


# Threads ----------------------------------------------------------------------------------------


def test_training_on_another_thread(store: str, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    threads: set[str] = set()
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        run = pool.submit(
            train, spec, listen=lambda _: threads.add(threading.current_thread().name)
        ).result()
    assert threads == {"mine_0"}
    assert run.parameters_sha256 == train(spec, profile=Profile(runs=None)).parameters_sha256
    assert_whole(run, store)


def limits() -> list[int]:
    """How many threads each BLAS may use."""
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


@pytest.mark.pictures
@pytest.mark.parametrize("engines", [("reference",) * 2, ("compiled",) * 2,
                                     ("reference", "compiled")], ids="+".join)  # fmt: skip
def test_two_runs_at_once_give_the_bits_of_each_alone(
    write_spec: WriteSpec, engines: tuple[Any, Any]
) -> None:
    """Step by step at the same time, and the limit of BLAS's threads is lifted by the last."""
    specs = [load_spec(write_spec({"seed": seed, "sgd.epochs": 30})) for seed in (1, 2)]
    alone = [
        train(spec, profile=Profile(engine, runs=None))
        for spec, engine in zip(specs, engines, strict=True)
    ]
    together = threading.Barrier(2, timeout=30)
    seen: list[set[int]] = []

    def wait(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch % 10 == 1:
            together.wait()
            seen.append(set(limits()))

    def begin(spec: Spec, engine: Any) -> Run:
        return train(spec, profile=Profile(engine, record=False), listen=wait)

    before = limits()  # on one core alone it is one as well
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(begin, specs, engines))
    assert limits() == before
    assert seen == [{1}] * 6
    for run, expected in zip(runs, alone, strict=True):
        assert run.parameters_sha256 == expected.parameters_sha256
        assert dict(run.metrics) == dict(expected.metrics)
        for name, values in expected.history.items():
            np.testing.assert_array_equal(run.history[name].values, values.values)
    assert runs[0].id != runs[1].id
    for run in runs:
        assert run.folder is not None
        assert (run.folder / "files" / "plots" / "learning_curves.png").exists()
        assert load_run(run.folder).parameters_sha256 == run.parameters_sha256


def test_the_limit_lasts_until_the_last_is_done() -> None:
    """Whoever ends first; and also where the program has set a limit of its own."""
    before = limits()
    first, second, done = threading.Event(), threading.Event(), threading.Event()
    inside = threading.Barrier(3, timeout=10)

    def hold(until: threading.Event) -> list[int]:
        with one_blas_thread():
            inside.wait()
            until.wait(10)
            return limits()

    with ThreadPoolExecutor(3) as pool:
        one, two = pool.submit(hold, first), pool.submit(hold, second)
        pool.submit(done.wait, 10)  # the thread of the first one lives on
        inside.wait()
        first.set()
        assert set(one.result()) == {1}
        assert set(limits()) == {1}
        second.set()
        assert set(two.result()) == {1}
        assert limits() == before
        done.set()
    with threadpool_limits(2, user_api="blas"):
        asked = limits()
        with one_blas_thread():
            assert set(limits()) == {1}
        assert limits() == asked
    assert limits() == before


# Ends -------------------------------------------------------------------------------------------


def test_a_diverged_run(store: str, write_spec: WriteSpec) -> None:
    with pytest.raises(DivergedError) as caught:
        train(load_spec(write_spec(DIVERGING)))
    run = caught.value.run
    assert isinstance(run, Run)
    found = recorded(run, store)
    assert found.info.status == "FAILED"
    assert found.data.tags["trainer.diverged"] == caught.value.message
    assert found.data.tags["trainer.parameters_sha256"] == run.parameters_sha256
    with closing(sqlite3.connect("runs/mlflow.db")) as database:
        stored = database.execute("SELECT value, is_nan FROM metrics").fetchall()
    assert stored
    assert all(not is_nan and abs(value) < 1.7e308 for value, is_nan in stored)


def test_a_full_disk_does_not_stop_the_training(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not kept is told, and `train resume` makes it whole."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    heard: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetWriter", refuse)
        run = train(load_spec(write_spec()), listen=heard.append)
    assert run.status == "FINISHED"
    (warned,) = (event.message for event in heard if isinstance(event, Warned))
    assert warned.startswith("not all of the run is kept: ")
    assert "No space left on device" in warned
    found = only_run(store)
    assert found.info.status == "KILLED"
    assert f"train resume {str(run.id)[:8]}" in found.data.tags["mlflow.note.content"]
    again = resume("last")
    assert again.parameters_sha256 == run.parameters_sha256
    assert_whole(again, store)


# Signals, which the command line alone knows ------------------------------------------------------


def test_a_second_signal_stops_at_once(
    train: Train, store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Progress, event: EpochDone) -> None:
        if event.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    monkeypatch.setattr(Progress, "_epoch", interrupt)
    code, out, err = train(write_spec())
    assert (code, out) == (130, "")
    assert err.endswith("train: stopped at once [TR-X002]\n")
    outcome = read_outcome(only_folder())
    assert outcome is not None
    assert outcome.status == "KILLED"


@pytest.mark.parametrize("kind", [ReferenceEngine, CompiledEngine], ids=lambda kind: kind.name)
def test_a_signal_before_training_stops_at_once(
    train: Train, store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """Even where it comes while the kernel is compiled; nothing is left of the run."""

    def slow(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(kind, "prepare", slow)
    path = write_spec()
    before = tree(Path.cwd())
    code, out, err = train(path, "--engine", kind.name)
    assert (code, out, err) == (143, "", "train: stopped before training began [TR-X002]\n")
    assert tree(Path.cwd()) == before
