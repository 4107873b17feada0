"""Stores that cannot be used, that come back, and that fail while a run is sent to them."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from conftest import APART, Train, WriteSpec
from mlflow import MlflowClient
from stores import all_runs, assert_whole, only_run, recorded, series, server, tree

from trainer import Run, TrackingError, load_spec, resume, train
from trainer.checkpoints.facts import RECORDED, Recorded, read_outcome, read_recorded, write_json
from trainer.checkpoints.folder import folders
from trainer.runs.profile import Profile
from trainer.runs.recording import Following, Recorder
from trainer.runs.sync import send, unsent_runs
from trainer.tracking import store as store_module
from trainer.tracking.runs import Runs
from trainer.tracking.store import resolve_store
from trainer.training import EpochDone, Event, Warned

pytestmark = pytest.mark.models

LATER = "\n  the run is trained, and kept on this disk; send it later with: train sync"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long for a store that does not answer."""
    monkeypatch.setattr("trainer.tracking.recording.PAUSE_SECONDS", 0.02)
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr("trainer.runs.recording.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("trainer.runs.recording.LASTING_SECONDS", 0.0)


def until_told(event: Event) -> None:
    """A listener: the second epoch begins when the recorder has met the problem."""
    if isinstance(event, EpochDone) and event.epoch == 1:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            there = [read_recorded(path) for path in folders(Path("runs"))]
            if any(each and each.problem for each in there):
                return
            time.sleep(0.01)
        pytest.fail("the recorder says nothing of the store")


def run_of(error: TrackingError) -> Run:
    """What was trained, with its folder."""
    assert isinstance(error.run, Run)
    assert error.run.folder is not None
    return error.run


# Before training --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:///tmp/x", "the tracking store 'file:///tmp/x' is a folder, which MLflow no longer"),
        ("./mlruns", "the tracking store './mlruns' is a folder, which MLflow no longer"),
        ("sqlite://", "names no file: use sqlite:///path/mlflow.db"),
        ("sqlite:///:memory:", "names no file: use sqlite:///path/mlflow.db"),
        ("sqlite:///spec.yaml/x.db", "spec.yaml' cannot be made: "),
        ("sqlite:///runs", "runs' is a folder, not a database file"),
        ("sqlite:///spec.yaml", "spec.yaml' cannot be written: file is not a database"),
    ],
)
def test_unusable_stores(store: str, write_spec: WriteSpec, uri: str, message: str) -> None:
    """What can be seen without MLflow is told before anything is made."""
    spec = load_spec(write_spec())
    before = tree(Path.cwd())
    with pytest.raises(TrackingError) as caught:
        train(spec, profile=Profile(store=uri))
    assert message in str(caught.value)
    assert caught.value.exit_code == 5
    assert tree(Path.cwd()) == before


def test_a_read_only_database(store: str, write_spec: WriteSpec) -> None:
    Path("runs/mlflow.db").chmod(0o400)
    if os.access("runs/mlflow.db", os.W_OK):
        pytest.skip("this user may write everything")
    with pytest.raises(TrackingError, match="cannot be written: attempt to write a readonly"):
        train(load_spec(write_spec()))


def test_a_locked_database(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ANSWER_SECONDS", 0.2)
    other = sqlite3.connect("runs/mlflow.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TrackingError, match="cannot be written: database is locked"):
        train(load_spec(write_spec()))
    other.close()
    assert train(load_spec(write_spec())).status == "FINISHED"


# A store that is away ---------------------------------------------------------------------------


def test_a_run_that_has_not_got_far_is_stopped_and_goes_on_once_the_store_is_there(
    store: str, write_spec: WriteSpec
) -> None:
    client = MlflowClient(store)
    number = client.create_experiment("tiny")
    client.delete_experiment(number)
    spec = load_spec(write_spec())
    with pytest.raises(TrackingError) as caught:
        train(spec, listen=until_told)
    stopped = run_of(caught.value)
    assert str(caught.value) == (
        f"the experiment 'tiny' is deleted in {store} [TR-T007]\n"
        "  hint: restore it in the MLflow UI, or name another one in tracking.experiment\n"
        "  stopped after 2 steps (1 whole epochs); go on with: "
        f"train resume {str(stopped.id)[:8]}\n"
        "  hint: --offline-ok trains without the store"
    )
    assert caught.value.exit_code == 5
    assert (stopped.status, stopped.epochs, stopped.run_id) == ("KILLED", 1, None)
    assert all_runs(store) == []

    client.restore_experiment(number)
    run = resume(str(stopped.id))
    alone = train(spec, profile=Profile(runs=None))
    assert (run.id, run.parameters_sha256) == (stopped.id, alone.parameters_sha256)
    assert_whole(run, store)
    assert unsent_runs() == []


def test_a_run_that_has_got_far_goes_on(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message comes as soon as it is known, and again at the end."""
    monkeypatch.setattr("trainer.runs.attempt.FAR_SECONDS", 0.0)
    client = MlflowClient(store)
    number = client.create_experiment("tiny")
    client.delete_experiment(number)
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        until_told(event)

    with pytest.raises(TrackingError) as caught:
        train(load_spec(write_spec()), listen=listen)
    run = run_of(caught.value)
    said = f"the experiment 'tiny' is deleted in {store} [TR-T007]\n  hint: restore it in"
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(LATER)
    assert (run.status, run.epochs, caught.value.exit_code) == ("FINISHED", 3, 5)
    (warned,) = (each for each in heard if isinstance(each, Warned))
    assert warned.message.startswith(said)
    assert warned.message.endswith(f"\n  the run goes on, and is kept in {run.folder}")
    after = next(each for each in heard if isinstance(each, EpochDone) and each.epoch == 2)
    assert heard.index(warned) < heard.index(after)

    assert unsent_runs() == [run.id]
    client.restore_experiment(number)
    sent = send(str(run.id))
    assert sent.whole
    assert_whole(Run(**{**vars(run), "run_id": sent.run_id}), store)


def test_what_does_not_last_is_no_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store may refuse one call and take the next: who trains hears of it after two seconds."""
    (folder / "one").mkdir()
    clock = [100.0]
    monkeypatch.setattr("trainer.runs.recording.LASTING_SECONDS", 2.0)
    monkeypatch.setattr("trainer.runs.recording.time.monotonic", lambda: clock[0])
    following = Following(cast("Recorder", None), folder / "one", attempt=1)
    told = {}
    for second, problem in enumerate([None, "away", None, "away", "away", "away", "gone", None]):
        clock[0] = 100.0 + second
        write_json(folder / "one", RECORDED, Recorded("store", 1, problem=problem))
        told[second] = following.problem
    met = {second: text for second, text in told.items() if text}
    assert met == {4: "away", 5: "away", 6: "gone"}


def test_offline_ok(store: str, write_spec: WriteSpec) -> None:
    """The run goes on whatever it has trained, and its end is no error."""
    uri, warned = closed_port(), []

    def listen(event: Event) -> None:
        until_told(event)
        if isinstance(event, Warned):
            warned.append(event.message)

    run = train(load_spec(write_spec()), profile=Profile(store=uri, offline_ok=True), listen=listen)
    assert (run.status, run.epochs, run.run_id) == ("FINISHED", 3, None)
    said = f"no MLflow server at {uri}: [Errno 111] Connection refused [TR-T001]\n"
    assert [text.startswith(said) for text in warned] == [True, True]
    assert warned[0].endswith(f"the run goes on, and is kept in {run.folder}")
    assert warned[1].endswith(LATER)
    sent = send(str(run.id), Profile(store=store))
    assert_whole(Run(**{**vars(run), "run_id": sent.run_id}), store)


def test_offline_ok_of_the_command(train: Any, write_spec: WriteSpec) -> None:
    code, out, err = train(write_spec(), "--tracking-uri", closed_port(), "--offline-ok")
    assert code == 0
    assert "FINISHED in " in out
    assert "warning: no MLflow server at " in err
    assert "send it later with: train sync" in err


def test_the_experiment_that_is_mlflows_own(store: str, write_spec: WriteSpec) -> None:
    with pytest.raises(TrackingError, match="the experiment 'Default' is MLflow's own"):
        train(load_spec(write_spec({"name": "Default"})))


def closed_port() -> str:
    """The address of a server that is not there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_an_unreachable_server(folder: Path, write_spec: WriteSpec, train: Train) -> None:
    """A long run is stopped, and is kept where it was."""
    uri = closed_port()
    write_spec({"sgd.epochs": 10**5})
    code, out, err = train("spec.yaml", "--quiet", "--tracking-uri", uri)
    assert (code, out) == (5, "")
    lines = err.splitlines()
    assert lines[0] == f"train: no MLflow server at {uri}: [Errno 111] Connection refused [TR-T001]"
    assert lines[1] == (
        "  hint: start the server, or leave the address out to record in runs/mlflow.db"
    )
    assert lines[2].startswith("  stopped after ")
    (path,) = folders(Path("runs"))
    assert lines[2].endswith(f"; go on with: train resume {path.name[:8]}")
    assert lines[3:] == ["  hint: --offline-ok trains without the store"]
    outcome = read_outcome(path)
    assert outcome is not None
    assert outcome.status == "KILLED"
    assert (path / "files" / "parameters.safetensors").exists()


def hangs(done: threading.Event) -> Callable[[Any], None]:
    return lambda _: done.wait(10) and None


def test_a_server_that_hangs(
    folder: Path, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_module.ANSWER_SECONDS < 5
    monkeypatch.setattr(store_module, "ANSWER_SECONDS", 0.5)
    done = threading.Event()
    with server(hangs(done)) as uri:
        with pytest.raises(TrackingError, match=r"no MLflow server at .*: timed out"):
            train(load_spec(write_spec()), profile=Profile(store=uri))
        done.set()


def trickles(request: Any) -> None:
    """A byte now and then, for ever: no piece of the answer is late."""
    request.send_response(200)
    request.end_headers()
    with suppress(OSError):
        while True:
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.05)


def answers_then_trickles(request: Any) -> None:
    """The check of the server passes, all that follows does not end."""
    if "experiments/search" in request.path and "max_results=1" in request.path:
        request.send_response(200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")
        return
    trickles(request)


@pytest.mark.parametrize(
    ("respond", "message"),
    [
        (trickles, r"no MLflow server at .*: it has not answered to the end within 0\.6 s"),
        (answers_then_trickles, r"the tracking store .* has not answered to the end within 0\.4 s"),
    ],
)
def test_a_server_that_answers_a_byte_now_and_then(
    folder: Path,
    write_spec: WriteSpec,
    monkeypatch: pytest.MonkeyPatch,
    respond: Callable[[Any], None],
    message: str,
) -> None:
    monkeypatch.setattr(store_module, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("trainer.tracking.waiting.CALL_SECONDS", 0.4)
    began = time.monotonic()
    with server(respond) as uri:
        with pytest.raises(TrackingError, match=message):
            train(load_spec(write_spec()), profile=Profile(store=uri))
        with pytest.raises(TrackingError, match=message):
            Runs(resolve_store(uri, Path("runs"))).search()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (500, r"no MLflow server at .*: it answers 500"),
        (404, r"the tracking store .* refused: .*404"),
    ],
)
def test_servers_that_answer_with_an_error(
    folder: Path, write_spec: WriteSpec, code: int, message: str
) -> None:
    with (
        server(lambda request: request.send_error(code)) as uri,
        pytest.raises(TrackingError, match=message) as caught,
    ):
        train(load_spec(write_spec()), profile=Profile(store=uri))
    assert run_of(caught.value).status in ("FINISHED", "KILLED")


def test_an_address_that_mlflow_does_not_know(folder: Path, write_spec: WriteSpec) -> None:
    with pytest.raises(TrackingError, match="nonsense://x refused: "):
        train(load_spec(write_spec()), profile=Profile(store="nonsense://x"))


def test_runs_that_start_at_the_same_time_on_a_fresh_store(
    folder: Path, write_spec: WriteSpec
) -> None:
    write_spec()
    begun = [
        subprocess.Popen(
            [*APART, "spec.yaml", "--quiet", "--set", f"seed={seed}"],
            stderr=subprocess.PIPE, text=True,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    assert [process.communicate()[1] for process in begun] == [""] * 2
    runs = all_runs(f"sqlite:///{folder}/runs/mlflow.db")
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    ids = {run.data.tags["trainer.run"] for run in runs}
    assert {path.name for path in Path("runs").iterdir()} == ids | {
        "mlflow.db", "artifacts", ".known",
    }  # fmt: skip


# Stores that fail in mid-run --------------------------------------------------------------------


class BreakStore:
    """Makes log_batch of metrics fail: at the calls of these numbers, before or after it wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._real = MlflowClient.log_batch

    def __call__(self, fails: Callable[[int], bool], *, wrote: bool = False) -> list[int]:
        """From now on; the list tells how many points each call had."""
        calls: list[int] = []
        real = self._real

        def log_batch(client: MlflowClient, run_id: str, metrics: Any = (), **others: Any) -> None:
            if metrics:
                calls.append(len(metrics))
            failing = bool(metrics) and fails(len(calls))
            if not failing or wrote:
                real(client, run_id, metrics=metrics, **others)
            if failing:
                raise ConnectionError("the line is dead\nat some place")

        self._patch.setattr(MlflowClient, "log_batch", log_batch)
        return calls


@pytest.fixture
def break_store(monkeypatch: pytest.MonkeyPatch) -> BreakStore:
    """A store that works, until this is called."""
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr("trainer.runs.attempt.FAR_SECONDS", 0.0)
    return BreakStore(monkeypatch)


@pytest.mark.parametrize("wrote", [False, True], ids=["request lost", "reply lost"])
def test_points_arrive_once_when_the_store_recovers(
    store: str, write_spec: WriteSpec, break_store: BreakStore, wrote: bool
) -> None:
    calls = break_store(lambda call: call <= 4, wrote=wrote)

    def slow(event: Event) -> None:
        if isinstance(event, EpochDone):
            time.sleep(0.01)

    run = train(load_spec(write_spec({"sgd.epochs": 30})), listen=slow)
    assert len(calls) >= 5
    assert recorded(run, store).info.status == "FINISHED"
    for name in ("train_loss", "grad_norm", "train_loss_step"):
        expected = run.history[name]
        got = series(run, store, name)
        assert list(got) == expected.steps.tolist()
        assert list(got.values()) == expected.values.tolist()


def test_a_store_that_stays_broken_keeps_the_run_locally(
    store: str, write_spec: WriteSpec, break_store: BreakStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_store(lambda call: True)
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 0.3)
    with pytest.raises(TrackingError) as caught:
        train(load_spec(write_spec({"sgd.epochs": 30})))
    run = run_of(caught.value)
    assert run.status == "FINISHED", "the training went on to its end"
    assert (
        str(caught.value)
        == f"the tracking store {store} refused: the line is dead [TR-T004]{LATER}"
    )
    assert caught.value.exit_code == 5
    there = only_run(store)
    assert there.info.run_id == run.run_id
    assert there.info.status == "FAILED", "MLflow does not hold all of it"
    ids = {"mlflow.db", "artifacts", ".known", run.id}
    assert {path.name for path in Path("runs").iterdir()} == ids

    assert unsent_runs() == [run.id]
    break_store(lambda call: False)
    assert send(str(run.id)).run_id == run.run_id
    assert unsent_runs() == []
    assert_whole(run, store)


def refuse(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


def test_a_store_that_fails_at_the_end(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", refuse)
        with pytest.raises(
            TrackingError, match=r"No space left on device \[TR-T004\]\n  the run is t"
        ) as no:
            train(load_spec(write_spec()))
    run = run_of(no.value)
    assert run.status == "FINISHED"
    send(str(run.id))
    assert_whole(run, store)


def test_the_reason_of_a_database_is_told_without_its_sql(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLAlchemy puts it when the disk is full in the middle of a run."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(
            "(raised as a result of Query-invoked autoflush; consider this)\n"
            "(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO metrics]"
        )

    monkeypatch.setattr(MlflowClient, "set_terminated", fail)
    with pytest.raises(TrackingError) as caught:
        train(load_spec(write_spec()))
    reason = f"the tracking store {store} refused: database or disk is full [TR-T004]"
    assert str(caught.value) == reason + LATER


def test_what_mlflow_refuses_keeps_the_run(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.tracking.opening.flatten", lambda _: {"a*b": "1"})
    with pytest.raises(TrackingError, match=r"Invalid value .*a\*b") as caught:
        train(load_spec(write_spec()), listen=until_told)
    stopped = run_of(caught.value)
    assert (stopped.status, stopped.epochs) == ("KILLED", 1)
    assert only_run(store).info.status == "FAILED"
