"""Workers: what they answer, what they keep, and that none can be lost in a way that matters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteSpec

import trainer
from trainer import Profile, Spec, load_spec
from trainer.checkpoints import disk
from trainer.checkpoints.facts import FACTS, read_facts
from trainer.checkpoints.folder import LOCK, Lock, load_progress
from trainer.data import load_dataset
from trainer.engine.compiled import engine as compiled
from trainer.errors import NoRoomError
from trainer.runs.known import load_run
from trainer.workers import processes
from trainer.workers import shelf as shelves
from trainer.workers import train as training
from trainer.workers.pool import Workers, open_workers
from trainer.workers.processes import ProcessWorker, saved_step
from trainer.workers.shelf import Shelf
from trainer.workers.task import Answer, Task
from trainer.workers.train import train_task

RUNS = Path("runs")
ID = "0" * 31 + "1"
OTHER = "0" * 31 + "2"
TABLE = {"data.source": {"csv": "rows.csv"}, "data.target": "y"}
LONG = {
    "data.source": {"synthetic": "two_moons", "rows": 400},
    "data.split": {"validation": 0.2},
    "sgd.batch_size": 2,
    "sgd.epochs": 250,
    "sgd.momentum": 0.5,
}
"""Trains for about half a second."""


def task(spec: Spec, until: int | None = None, name: str = ID, **others: Any) -> Task:
    return Task(name, spec.resolved(), spec.file, until, **others)


@pytest.fixture
def table(folder: Path) -> Path:
    path = folder / "rows.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(12)))
    os.utime(path, (10**9, 10**9))
    return path


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


# What is answered -------------------------------------------------------------------------------


def test_what_is_there_is_not_trained_again(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_spec(write_spec({"sgd.epochs": 6}))
    first = [train_task(task(spec, until), RUNS) for until in (2, 4, None)]
    assert [a.status for a in first] == ["PAUSED", "PAUSED", "FINISHED"]
    assert [a.attempt for a in first] == [1, 2, 3]
    monkeypatch.setattr(training, "carry_out", pytest.fail)
    monkeypatch.setattr(training, "restored", pytest.fail)
    for before, until in zip(first, (2, 4, None), strict=True):
        again = train_task(task(spec, until), RUNS)
        assert (again.status, again.epoch, again.metrics) == (
            before.status, before.epoch, before.metrics,
        )  # fmt: skip


def test_what_is_known_is_not_trained(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered as if it were trained, at any epoch, under its own id."""
    spec = load_spec(write_spec({"sgd.epochs": 6}))
    trained = [train_task(task(spec, until, OTHER), RUNS) for until in (2, None)]
    assert not trained[1].known
    monkeypatch.setattr("trainer.runs.attempt.run_job", pytest.fail)
    named = spec.changed({"name": "another"})
    for before, until in zip(trained, (2, None), strict=True):
        found = train_task(task(named, until, tags={"a": "b"}), RUNS)
        assert (found.id, found.known) == (ID, True)
        assert (found.status, found.epoch, found.step, found.metrics) == (
            before.status, before.epoch, before.step, before.metrics,
        )  # fmt: skip
    facts = read_facts(RUNS / ID)
    assert (facts.id, facts.name, facts.tags["trainer.known"]) == (ID, "another", OTHER)
    assert load_run(RUNS / ID).parameters_sha256 == trained[1].parameters_sha256


def test_a_half_made_folder_is_begun_anew(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    train_task(task(spec, 2, OTHER), RUNS)
    (RUNS / OTHER).rename(RUNS / ID)
    (RUNS / ID / FACTS).unlink()
    (RUNS / ID / "model").mkdir()
    assert train_task(task(spec, 1), RUNS).status == "PAUSED"
    assert load_progress(RUNS / ID, pytest.fail)[0] is not None
    assert not (RUNS / ID / "model").exists()


@pytest.mark.parametrize("name", ["run.json", "result.json", "journal", "checkpoints/*.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", None])
def test_a_damaged_folder_is_trained_anew(
    write_spec: WriteSpec, name: str, damage: bytes | None
) -> None:
    """As a machine leaves it that lost its power: to the same bits."""
    spec = load_spec(write_spec({"sgd.epochs": 6}))
    expected = train_task(task(spec, name=OTHER, again=True), RUNS)
    train_task(task(spec, 2), RUNS)
    for path in (RUNS / ID).glob(name):
        path.write_bytes(path.read_bytes()[:-7] if damage is None else damage)
    found = train_task(task(spec, again=True), RUNS)
    assert (found.status, found.parameters_sha256) == ("FINISHED", expected.parameters_sha256)


def test_what_takes_a_moment_does_not_wait_for_the_disk(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(processes.begin, "stop", lambda: False, raising=False)
    spec = load_spec(write_spec())
    assert processes.work(task(spec, 1), RUNS).status == "PAUSED"
    assert not flushed
    monkeypatch.setattr(disk, "SOON_SECONDS", 0.0)
    assert processes.work(task(spec, 2), RUNS).status == "PAUSED"
    assert len(flushed) > 10


def test_a_divergence_is_an_answer(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec({
        "data.source": {"synthetic": "linear", "rows": 20}, "model.loss": "squared",
        "model.layers": [{"units": 1}], "sgd.learning_rate": 1e12, "sgd.epochs": 50,
    }))  # fmt: skip
    told = [train_task(task(spec, until), RUNS) for until in (None, None)]
    assert told[0] == told[1]
    assert told[0].status == "DIVERGED"
    assert "at step" in told[0].reason


@pytest.mark.parametrize(
    ("changes", "fault", "reason"),
    [
        ({"model.layers": [{"units": 3}]}, "spec", "spec.yaml: model.layers[0].units: "),
        ({"sgd.batch_size": 13}, "spec", "a batch of 13 rows is larger"),
        ({"data.source": {"csv": "gone.csv"}}, "data", "there is no file"),
    ],
)
def test_what_cannot_be_trained(
    write_spec: WriteSpec, table: Path, changes: dict[str, Any], fault: str, reason: str
) -> None:
    spec = load_spec(write_spec(TABLE | changes))
    answer = train_task(task(spec, 1), RUNS)
    assert (answer.status, answer.fault) == ("FAILED", fault)
    assert reason in answer.reason
    assert not (RUNS / ID).exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), MemoryError(), TypeError("a bug")]
)
def test_what_the_machine_is_to_blame_for(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    spec = load_spec(write_spec())
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runs.attempt.leave_numbers", fail)
        answer = train_task(task(spec, 1), RUNS)
    assert (answer.status, answer.fault) == ("FAILED", "machine")
    assert type(error).__name__ in answer.reason
    assert train_task(task(spec, 1), RUNS).status == "PAUSED"


def test_a_folder_that_another_process_has(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PATIENCE_SECONDS", 0.05)
    spec = load_spec(write_spec())
    (RUNS / ID).mkdir(parents=True)
    lock = Lock(RUNS / ID / LOCK)
    answer = train_task(task(spec, 1), RUNS)
    assert (answer.status, answer.fault) == ("FAILED", "machine")
    assert f"is being written by process {os.getpid()}" in answer.reason
    lock.release()
    assert train_task(task(spec, 1), RUNS).status == "PAUSED"


# What is kept -----------------------------------------------------------------------------------


def test_data_are_read_once(
    write_spec: WriteSpec, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as they are the same, of a spec that reads them alike; and no longer than that."""
    read: list[str] = []

    def load(spec: Spec, *told: Any) -> Any:
        read.append(spec.name)
        return load_dataset(spec, *told)

    monkeypatch.setattr(shelves, "load_dataset", load)
    monkeypatch.setattr(shelves, "SETTLED_SECONDS", 0.0)
    shelf, spec = Shelf(), load_spec(write_spec(TABLE))
    first = shelf.prepare(spec).dataset
    alike = {"sgd.learning_rate": 0.1, "sgd.batch_size": 3, "name": "other",
             "model.layers.0.units": 9, "evaluation.batch_size": 2}  # fmt: skip
    assert shelf.prepare(spec.changed(alike)).dataset.train is first.train
    assert read == ["tiny"]
    for change in ({"seed": 1}, {"model.dtype": "float32"}, {"data.scale": "standard"}):
        shelf.prepare(spec.changed(change))
    assert len(read) == 4
    with pytest.raises(trainer.SpecError, match="a batch of 13 rows"):
        shelf.prepare(spec.changed({"sgd.batch_size": 13}))
    before = table.stat()
    table.write_text(table.read_text().replace("11,2,1", "11,9,1"))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time are the same
    changed = shelf.prepare(spec).dataset
    assert changed.sha256 != first.sha256
    assert changed.sha256 == load_dataset(spec).sha256


def test_few_data_sets_are_kept(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    for bytes_, kept in ((10**9, 2), (0, 0)):
        shelf = Shelf(2, bytes_)
        for seed in range(4):
            shelf.prepare(spec.changed({"seed": seed}))
        assert len(shelf._kept) == kept


def test_another_learning_rate_compiles_nothing(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_spec(write_spec({"sgd.momentum": 0.5}))
    made: list[int] = []
    real = compiled.kernels_of

    def count(*sizes: Any, **others: Any) -> Any:
        made.append(1)
        return real(*sizes, **others)

    monkeypatch.setattr(compiled, "kernels_of", count)
    compiled.keep_kernels(0)  # forgets those of other tests
    compiled.keep_kernels(2)
    try:
        for number in range(3):
            changes = {"sgd.learning_rate": 0.1 + number}
            answer = train_task(task(spec.changed(changes), 1, f"{number:032}"), RUNS)
            assert answer.status == "PAUSED"
        assert len(made) == 1
        train_task(task(spec.changed({"sgd.batch_size": 3}), 1, "a" * 32), RUNS)
        assert len(made) == 2
    finally:
        compiled.keep_kernels(0)


def test_what_is_trained_and_cannot_be_kept_is_not_done(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training ends well where its disk is full at its end, and warns; its task is tried again,
    and comes to the same bits.
    """
    spec = load_spec(write_spec())
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runs.attempt.leave_numbers", full)
        answer = train_task(task(spec, None), RUNS)
    assert (answer.status, answer.fault) == ("FAILED", "room")
    assert "cannot be kept" in answer.reason
    again = train_task(task(spec, None), RUNS)
    assert (again.status, again.attempt) == ("FINISHED", 2)
    whole = trainer.train(spec, profile=Profile(runs=Path("others"), record=False))
    assert again.parameters_sha256 == whole.parameters_sha256


def full(*_: Any, **__: Any) -> None:
    raise NoRoomError("the disk is full")


# Processes --------------------------------------------------------------------------------------


def processes_of(workers: Workers) -> list[int]:
    return [pid for worker in workers._all for pid in worker._process._executor._processes or ()]


def has_saved(name: str) -> bool:
    return saved_step(RUNS / name) > 0


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes(write_spec: WriteSpec) -> None:
    """One is killed while it trains, the other one is told to stop: the bits are the same at the
    end, whoever trained them.
    """
    spec = load_spec(write_spec(LONG))
    endless = spec.changed({"sgd.epochs": 10**6})
    tasks = [task(each, None, name, save_every="20 epochs")
             for each, name in ((spec, ID), (endless, OTHER))]  # fmt: skip
    with open_workers(2, None, RUNS) as workers:
        assert workers.count == 2
        futures = [workers.submit(each) for each in tasks]
        wait_for(lambda: has_saved(ID))
        first, second = processes_of(workers)
        os.kill(first, signal.SIGKILL)  # at once: the other one may be late
        wait_for(lambda: has_saved(OTHER))
        os.kill(second, signal.SIGINT)  # is not heard
        ended = futures[0].result()
        pids = processes_of(workers)
        waits = [workers.submit(task(endless, None, f"{number:032}")) for number in (5, 6)]
        assert not futures[1].done()
        workers.pause()
        asked = time.monotonic()
        assert [future.result().status for future in waits] == ["KILLED"] * 2
        killed = futures[1].result()
        assert time.monotonic() - asked < 3  # on a busy machine
    assert not any(map(is_alive, pids))
    assert (killed.status, killed.step > 0) == ("KILLED", True)
    whole = trainer.train(spec, profile=Profile(runs=Path("others"), record=False))
    assert (ended.status, ended.attempt) == ("FINISHED", 2)
    assert ended.parameters_sha256 == whole.parameters_sha256
    assert ended.metrics == whole.metrics
    until = killed.epoch + 2
    gone_on, again = (train_task(task(endless, until, name), RUNS) for name in (OTHER, "a" * 32))
    assert (gone_on.epoch, gone_on.attempt, again.attempt) == (until, 2, 1)
    assert gone_on.parameters_sha256 == again.parameters_sha256
    assert gone_on.metrics == again.metrics


SCRIPT = """
from pathlib import Path
from trainer import load_spec
from trainer.workers.pool import open_workers
from trainer.workers.task import Task

print("begun", flush=True)
spec = load_spec("spec.yaml")
workers = open_workers(1, None, Path("runs"))
task = Task("0" * 31 + "1", spec.resolved(), spec.file, None, save_every="20 epochs")
future = workers.submit(task)
print(*workers._all[0]._process._executor._processes, flush=True)
print(future.result().reason)
"""


def test_a_driver_that_is_killed(write_spec: WriteSpec) -> None:
    """A script needs no `if __name__ == "__main__"`, and its workers end with it at once."""
    spec = load_spec(write_spec(LONG | {"sgd.epochs": 10**6}))
    Path("script.py").write_text(SCRIPT)
    driver = subprocess.Popen([sys.executable, "script.py"], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    with driver, driver.stdout:
        assert driver.stdout.readline() == "begun\n"
        pid = int(driver.stdout.readline())
        wait_for(lambda: has_saved(ID))
        assert is_alive(pid)
        driver.kill()
        wait_for(lambda: not is_alive(pid), 2)
        assert driver.stdout.read() == ""  # it began once
    found, _ = load_progress(RUNS / ID, pytest.fail)
    assert found is not None
    epoch = int(str(found.position["epoch"]))
    answer = train_task(task(spec, epoch), RUNS)
    again = train_task(task(spec, epoch, OTHER), RUNS)
    assert (answer.status, answer.epoch, answer.attempt) == ("PAUSED", epoch, 2)
    assert answer.parameters_sha256 == again.parameters_sha256


class Lost:
    """An executor whose process is lost each time, after it saved checkpoints of these steps; -1
    where it is lost before it began.
    """

    steps: list[int]

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if not arguments and self.steps[:1] != [-1]:
            future.set_result(None)
            return future
        if arguments and not self.steps:
            future.set_result(Answer(arguments[0].id, "FINISHED"))
            return future
        if arguments and (step := self.steps.pop(0)) > 0:
            checkpoints = arguments[1] / arguments[0].id / "checkpoints"
            checkpoints.mkdir(parents=True, exist_ok=True)
            (checkpoints / f"step-{step:012}.json").touch()
        future.set_exception(BrokenProcessPool())
        return future

    def shutdown(self, **_: Any) -> None:
        """Nothing is to be ended."""


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([0, 0], "FINISHED"),
        ([0, 0, 0], "FAILED"),
        ([10, 20, 30, 40], "FINISHED"),
        ([10, 10, 20, 20], "FINISHED"),
        ([10, 10, 10], "FAILED"),
        ([-1] * 19 + [0, 0] + [-1] * 3 + [10, 10], "FINISHED"),
        ([-1] * 20, "FAILED"),
    ],
)
def test_a_process_that_is_lost_again_and_again(
    write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, steps: list[int], status: str
) -> None:
    lost = Lost()
    lost.steps = [*steps]
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda *_: lost)
    flag = type("Flag", (), {"value": 0})()
    answer = ProcessWorker(RUNS, flag).answer(task(load_spec(write_spec())))
    assert answer.status == status
    if status == "FAILED":
        assert ("20 processes were lost" if -1 in steps else "was lost 3 times") in answer.reason
        assert answer.fault == "machine"
