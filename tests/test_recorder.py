"""The recorder as a process beside the training: whichever of them dies, MLflow is soon right."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import APART, WriteSpec
from mlflow import MlflowClient
from stores import assert_whole, eventually, only_folder, only_run, series

from trainer import Run, TrackingError, load_spec, resume, train
from trainer.checkpoints.facts import read_recorded
from trainer.checkpoints.folder import folders
from trainer.errors import InterruptedRun
from trainer.runs import ahead
from trainer.runs.known import load_run
from trainer.runs.profile import Profile
from trainer.runs.sync import send, unsent_runs
from trainer.tracking import recording as recording_module
from trainer.tracking.process import RecorderProcess
from trainer.tracking.recorder import Orders, follow
from trainer.tracking.recording import SHARE, Recording
from trainer.tracking.store import resolve_store
from trainer.training import EpochDone, Event, Warned

pytestmark = pytest.mark.models

WITHOUT_MLFLOW: Final = "import sys; sys.modules['mlflow'] = None\n"
SOON_SECONDS: Final = 5.0
STAYS: Final = f"""{WITHOUT_MLFLOW}
import time
from trainer import load_spec, train
from trainer.runs.profile import Profile
from trainer.training import EpochDone

def stay(event):
    if isinstance(event, EpochDone) and event.epoch == 3:
        print("there", flush=True)
        time.sleep(600)

train(load_spec("spec.yaml"), profile=Profile(save_every="1epoch"), listen=stay)
"""
"""A process that trains three epochs and then does nothing, until it is killed."""


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[RecorderProcess]:
    """Recorders are real processes again; those that were started."""
    started: list[RecorderProcess] = []

    def start() -> RecorderProcess:
        started.append(RecorderProcess())
        return started[-1]

    monkeypatch.setattr(ahead, "start_process", start)
    monkeypatch.setattr(ahead, "_ahead", [])
    return started


def is_followed(path: Path) -> bool:
    """Whether the recorder has made the run in MLflow."""
    there = read_recorded(path)
    return there is not None and there.run_id is not None


# The training knows nothing of MLflow -----------------------------------------------------------


def test_a_process_that_cannot_import_mlflow_trains_and_is_recorded(
    store: str, write_spec: WriteSpec
) -> None:
    write_spec()
    code = f"{WITHOUT_MLFLOW}from trainer.cli import main; main(['spec.yaml', '--json'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    found = only_run(store)
    assert (found.info.run_id, found.info.status) == (result["run_id"], "FINISHED")
    assert_whole(replace(load_run(only_folder()), run_id=result["run_id"]), store)


def test_a_folder_that_was_never_recorded_goes_on_elsewhere(
    store: str, folder: Path, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained without MLflow and without a network; resumed, and recorded, where it is copied."""
    spec = load_spec(write_spec({"sgd.epochs": 6}))
    alone = train(spec, profile=Profile("reference", runs=None))
    heard: list[Event] = []

    def stop() -> bool:
        return sum(isinstance(each, EpochDone) for each in heard) > 2

    before = Profile(runs=Path("first"), record=False, engine="reference")
    with monkeypatch.context() as patch:
        patch.setattr(ahead, "start_process", lambda: pytest.fail("a recorder was started"))
        with pytest.raises(InterruptedRun):
            train(spec, profile=before, listen=heard.append, stop=stop)
        whole = train(spec, profile=replace(before, engine="compiled"))
    assert (whole.run_id, whole.tracking_uri) == (None, None)
    assert unsent_runs(before) == [], "nobody asked for it to be recorded"
    assert not (folder / "first" / "mlflow.db").exists()

    killed = next(path for path in folders(Path("first")) if path.name != whole.id)
    for path in (killed, Path("first") / str(whole.id)):
        shutil.copytree(path, folder / "runs" / path.name)
    shutil.rmtree("first")
    run = resume(killed.name)
    assert run.parameters_sha256 == alone.parameters_sha256
    assert_whole(run, store)
    sent = send(str(whole.id))
    assert_whole(replace(whole, run_id=sent.run_id), store)


# The recorder dies ------------------------------------------------------------------------------


def test_the_recorder_is_killed_while_the_run_trains(
    store: str, write_spec: WriteSpec, processes: list[RecorderProcess]
) -> None:
    """The training goes on and says so at its end; `train sync` sends the rest."""
    heard: list[Event] = []

    def kill(event: Event) -> None:
        heard.append(event)
        if isinstance(event, EpochDone) and event.epoch == 2:
            eventually(lambda: is_followed(only_folder()))
            (recorder,) = processes
            os.kill(recorder._process.pid, signal.SIGKILL)
            recorder._process.wait()

    with pytest.raises(TrackingError) as caught:
        train(load_spec(write_spec({"sgd.epochs": 40})), listen=kill)
    run = caught.value.run
    assert isinstance(run, Run)
    assert (run.status, run.epochs, caught.value.exit_code) == ("FINISHED", 40, 5)
    assert str(caught.value) == (
        "the recorder of the run has ended [TR-T009]\n"
        "  the run is trained, and kept on this disk; send it later with: train sync"
    )
    assert not [each for each in heard if isinstance(each, Warned)]
    found = only_run(store)
    assert found.info.status == "RUNNING"
    assert unsent_runs() == [run.id]

    done = subprocess.run([*APART, "sync"], capture_output=True, text=True, check=False)
    said = f"sent {str(run.id)[:8]} as run {found.info.run_id} of {store}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert unsent_runs() == []
    assert only_run(store).info.run_id == run.run_id
    assert_whole(run, store)


class Died(BaseException):
    """What ends a recorder that is a thread, as SIGKILL ends a process."""


# whoever dies leaves the lock of the recorder to the garbage collector, which complains
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "at",
    ["create_run", "log_inputs", "log_artifact", "log_batch", "log_outputs", "set_terminated"],
)
def test_the_recorder_dies_where_the_store_has_answered(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Whatever it was about to note: the next recorder finds the same run, and ends it."""
    real = getattr(MlflowClient, at)

    def dies(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise Died

    def until_death(orders: Orders) -> bool:
        try:
            return follow(orders)
        except Died:
            return False

    monkeypatch.setattr("conftest.follow", until_death)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, at, dies)
        with pytest.raises(TrackingError, match="the recorder of the run has ended") as caught:
            train(load_spec(write_spec()))
    gc.collect()
    run = caught.value.run
    assert isinstance(run, Run)
    there = only_run(store).info.run_id
    assert send(str(run.id)).run_id == there
    assert_whole(replace(run, run_id=there), store)
    assert only_run(store).info.run_id == there
    models = MlflowClient(store).search_logged_models([only_run(store).info.experiment_id])
    assert len(models) == 1


# The training dies ------------------------------------------------------------------------------


@contextmanager
def staying(changes: Mapping[str, Any], write_spec: WriteSpec) -> Iterator[subprocess.Popen[str]]:
    """A process that has trained three epochs, and whose recorder has begun."""
    write_spec(changes)
    command = [sys.executable, "-c", STAYS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "there\n"
            eventually(lambda: is_followed(only_folder()))
            yield process
        finally:
            process.kill()


def test_the_training_is_killed_under_its_recorder(store: str, write_spec: WriteSpec) -> None:
    """The store soon says so, and how to go on; the run then ends as one in peace."""
    with staying({"sgd.epochs": 8}, write_spec) as process:
        assert only_run(store).info.status == "RUNNING"
        process.kill()
        killed = time.monotonic()
        eventually(lambda: only_run(store).info.status != "RUNNING", SOON_SECONDS)
        assert time.monotonic() - killed < SOON_SECONDS
    path, found = only_folder(), only_run(store)
    assert found.info.status == "KILLED"
    assert found.info.end_time is not None
    assert f"train resume {path.name[:8]}" in found.data.tags["mlflow.note.content"]
    assert list(series(found.info.run_id, store, "train_loss"))[:1] == [0]

    run = resume("last")
    assert (run.id, run.run_id) == (path.name, found.info.run_id)
    alone = train(load_spec("spec.yaml"), profile=Profile(runs=None))
    assert run.parameters_sha256 == alone.parameters_sha256
    assert {name: values.values.tolist() for name, values in run.history.items()} == {
        name: values.values.tolist() for name, values in alone.history.items()
    }
    assert_whole(run, store)
    assert "train resume" not in only_run(store).data.tags["mlflow.note.content"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_signals_reach_the_training_alone(
    store: str, write_spec: WriteSpec, number: signal.Signals
) -> None:
    """Ctrl-C goes to all processes of the terminal's group."""
    write_spec({"sgd.epochs": 10**6})
    process = subprocess.Popen(
        [*APART, "spec.yaml"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # says that training begins
    process.send_signal(signal.SIGSTOP)  # it has no need of the core meanwhile
    eventually(lambda: is_followed(only_folder()))
    process.send_signal(signal.SIGCONT)
    os.killpg(process.pid, number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert error.splitlines()[-1].startswith("train: interrupted after ")
    assert "Traceback" not in error + out
    run, found = load_run(only_folder()), only_run(store)
    assert (run.status, found.info.status) == ("KILLED", "KILLED")
    assert found.info.end_time is not None
    there = read_recorded(only_folder())
    assert there is not None
    assert there.whole
    assert found.data.tags["trainer.parameters_sha256"] == run.parameters_sha256


def test_ctrl_c_while_the_rest_is_sent(
    train: Any, store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends, and the recorder goes on without it."""
    real = MlflowClient.set_terminated

    def slow(*arguments: Any, **named: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        real(*arguments, **named)

    monkeypatch.setattr(MlflowClient, "set_terminated", slow)
    code, out, err = train(write_spec())
    assert code == 130
    assert "FINISHED in " in out
    assert err.endswith(
        "train: the run is trained; it is recorded without this command [TR-X002]\n"
    )
    eventually(lambda: only_run(store).info.status == "FINISHED")
    eventually(lambda: unsent_runs() == [])


# What it costs ----------------------------------------------------------------------------------


class Clock:
    """The time of a recorder whose store is slow: each call takes so much of the processor."""

    def __init__(self) -> None:
        self.now = self.busy = 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.busy

    def time(self) -> float:
        return 1e9 + self.now

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.busy += seconds


@pytest.mark.parametrize("cost", [0.001, 0.02, 0.4])
def test_the_recorder_takes_a_twentieth_of_a_core(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, cost: float
) -> None:
    """While the run trains, however long it takes to tell the store; then all is told at once."""
    clock, calls = Clock(), []
    real = MlflowClient.log_batch

    def log_batch(*arguments: Any, **named: Any) -> None:
        clock.work(cost)
        calls.append(clock.now)
        real(*arguments, **named)

    spec = load_spec(write_spec({"sgd.epochs": 60}))
    seen: list[tuple[float, float]] = []
    recordings: list[Recording] = []

    def listen(event: Event) -> None:
        """The recorder has its turn twenty times a second, in a second an epoch."""
        if not isinstance(event, EpochDone) or not event.epoch:
            return
        if not recordings:
            recordings.append(Recording(only_folder(), resolve_store(store, Path("runs"))))
        for _ in range(20):
            clock.now += 0.05
            assert not recordings[0].step()
        seen.append((clock.now, clock.busy))

    monkeypatch.setattr("trainer.checkpoints.keeper.WRITE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(recording_module, "time", clock)
        patch.setattr(MlflowClient, "log_batch", log_batch)
        run = train(spec, profile=Profile(record=False), listen=listen)
        (opened, spent), (now, busy) = seen[0], seen[-1]
        assert busy - spent <= SHARE * (now - opened) + cost
        assert len(calls) > 1
        assert recordings[0].step(), "now nothing waits"
    assert_whole(replace(run, run_id=only_run(store).info.run_id), store)
