"""A run that was interrupted, however often, ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from conftest import RecorderThread, Train, WriteSpec
from folders import make_folder
from mlflow import MlflowClient

import trainer
from trainer import (
    CheckpointError,
    InterruptedRun,
    Profile,
    Run,
    TrackingError,
    UsageError,
    load_spec,
)
from trainer import resume as go_on
from trainer.checkpoints.facts import FACTS, read_facts, read_recorded, write_json
from trainer.checkpoints.folder import (
    CHECKPOINTS,
    JOURNAL,
    LOCK,
    Lock,
    RunFolder,
    check_room,
    find_folder,
    is_held,
    load_progress,
)
from trainer.checkpoints.keeper import Every
from trainer.checkpoints.seal import sealed, unsealed
from trainer.engine.reference import ReferenceSession
from trainer.metrics import METRICS
from trainer.runs.facts import named
from trainer.runs.recording import LOOK_SECONDS
from trainer.spec import Spec
from trainer.tracking import points as sent
from trainer.tracking import recorder, recording
from trainer.tracking.store import resolve_store
from trainer.training import Ended, EpochDone, Event, StepsDone, Warned

RUNS = Path("runs")
REFERENCE = Profile("reference")

# 37 rows: 23 train, in 5 steps of 4 rows and one of 3; 7 are validated and 7 tested, 3 at a time.
COMMON = {
    "data.split": {"validation": 0.2, "test": 0.2},
    "sgd.momentum": 0.9,
    "sgd.batch_size": 4,
    "evaluation.batch_size": 3,
}
SQUARED = {**COMMON, "data.source": {"synthetic": "linear", "rows": 37}, "model.loss": "squared",
           "model.layers": [{"units": 1}], "sgd.learning_rate": 0.01}  # fmt: skip
LOGISTIC = {**COMMON, "data.source": {"synthetic": "two_moons", "rows": 37}, "sgd.nesterov": True,
            "model.layers": [{"units": 1}]}  # fmt: skip
EVERYTHING = {
    **COMMON,
    "data.source": {"synthetic": "two_moons", "rows": 37},
    "model": {"loss": "logistic", "label_smoothing": 0.1, "class_weights": "balanced", "layers": [
        {"units": 5, "activation": "relu"}, {"type": "batch_norm"},
        {"type": "dropout", "rate": 0.3},
        {"units": 5, "activation": "tanh"}, {"type": "add", "inputs": ["dense_4", "dropout_3"]},
        {"type": "layer_norm"}, {"units": 1}]},
    "sgd": {"learning_rate": 0.05, "momentum": 0.9, "batch_size": 4, "epochs": 3, "accumulate": 4,
            "schedule": {"type": "cosine", "warmup": 0.5}, "l1": 0.001, "max_norm": 2.0,
            "clip_norm": 1.0, "average": {"type": "ema", "decay": 0.8},
            "early_stopping": {"patience": 5, "monitor": "auc"}},
    "evaluation": {"batch_size": 3, "metrics": ["auc", "f1"]},
}  # fmt: skip
STEPS = 6  # of an epoch
SUMMARIES = (
    "best_val_loss",
    "best_val_auc",
    "best_epoch",
    "test_loss",
    *(f"test_{name}" for name in METRICS),
)


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled engine too is called several times an epoch, for one step or a few."""
    monkeypatch.setattr("trainer.engine.compiled.engine.CALL_SECONDS", 1e-7)
    monkeypatch.setattr("trainer.training.loop.GATHERED", 2 * 4 * 24)


@pytest.fixture
def single_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is called for each step by itself, and can be stopped after any."""
    monkeypatch.setattr("trainer.engine.compiled.engine.CALL_SECONDS", 0.0)


def begin(spec: Spec, **others: Any) -> Run:
    """Trains also what was trained before."""
    return trainer.train(spec, again=True, **others)


class Process:
    """What one process does with a run, until it ends or is stopped."""

    def __init__(self, stop: Callable[[Event], bool] | None = None, crash: bool = False) -> None:
        self._stop, self._crash = stop, crash
        self.stopped = False
        self.events: list[Event] = []
        self.warnings: list[str] = []
        self.error: Exception | None = None

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Warned):
            self.warnings.append(event.message)
        if self._stop is not None and not isinstance(event, Ended) and self._stop(event):
            if self._crash:
                raise ZeroDivisionError
            self.stopped = True

    def run(self, what: Callable[..., Run], *arguments: Any, **others: Any) -> Run:
        """Trains or resumes; returns the run also where it was interrupted."""
        try:
            return what(*arguments, listen=self._hear, stop=lambda: self.stopped, **others)
        except (InterruptedRun, TrackingError) as error:
            self.error = error
            if error.run is None:
                raise
            return cast("Run", error.run)

    @property
    def last_step(self) -> int:
        """The number of the last step that this process did."""
        done = [event for event in self.events if isinstance(event, StepsDone)]
        return done[-1].first + len(done[-1].steps.losses) - 1


def points(store: str, run_id: str | None) -> dict[str, Any]:
    """What MLflow holds of a run, but what tells of the machine: (step, value) by metric. Of a
    summary, which a longer training replaces, the value that is shown.
    """
    client = MlflowClient(store)
    shown = client.get_run(str(run_id)).data.metrics
    found: dict[str, Any] = {}
    for name in shown:
        if name in SUMMARIES or name.startswith("last_"):
            found[name] = shown[name]
        elif not name.startswith("perf/"):
            history = client.get_metric_history(str(run_id), name)
            history.sort(key=lambda point: point.timestamp)
            told = [point.step for point in history]
            kept = f"last_{name}" in shown  # is then told after the last epoch, at its step
            assert len(told) - kept <= len(set(told)), f"{name} has a step twice"
            found[name] = sorted({point.step: point.value for point in history}.items())
    return found


def state_of(run: Run) -> dict[str, bytes]:
    """What the engine works on at the end, as the last checkpoint has it."""
    assert run.folder is not None
    found, _ = load_progress(run.folder, pytest.fail)
    assert found is not None
    return {name: value.tobytes() for name, value in found.arrays.items()}


def check_same(store: str, expected: Run, found: Run) -> None:
    """Parameters, history and what MLflow holds are the same to the bit."""
    assert found.status == expected.status
    assert found.parameters_sha256 == expected.parameters_sha256
    assert (found.epochs, found.steps) == (expected.epochs, expected.steps)
    assert found.metrics == expected.metrics
    assert found.history.keys() == expected.history.keys()
    for name, series in expected.history.items():
        assert found.history[name].steps.tolist() == series.steps.tolist(), name
        assert found.history[name].values.tobytes() == series.values.tobytes(), name
    assert state_of(found) == state_of(expected)
    assert points(store, found.run_id) == points(store, expected.run_id)
    tags = MlflowClient(store).get_run(str(found.run_id)).data.tags
    assert tags["trainer.parameters_sha256"] == expected.parameters_sha256


def is_recorded(path: Path | None) -> bool:
    """Whether the store has all of the run, of its last attempt too."""
    assert path is not None
    recorded = read_recorded(path)
    return recorded is not None and recorded.whole and recorded.attempt == read_facts(path).attempt


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def status(store: str, run_id: str | None) -> str:
    return str(MlflowClient(store).get_run(str(run_id)).info.status)


def at_step(step: int) -> Callable[[Event], bool]:
    """True once this step is done, counted over all epochs."""
    return lambda e: isinstance(e, StepsDone) and e.first <= step < e.first + len(e.steps.losses)


def at_epoch(epoch: int) -> Callable[[Event], bool]:
    return lambda e: isinstance(e, EpochDone) and e.epoch == epoch


def in_steps(count: int) -> Callable[[Event], bool]:
    """True after so many calls of the engine of this process."""
    left = [count]

    def stop(event: Event) -> bool:
        left[0] -= isinstance(event, StepsDone)
        return left[0] <= 0

    return stop


# The same bits ----------------------------------------------------------------------------------

PLACES = {
    "the first step": at_step(1),
    "the middle of an epoch": at_step(STEPS + 3),
    "the evaluation after the short last batch": at_step(2 * STEPS),
    "the end of epoch 0": at_epoch(0),
    "the end of an epoch": at_epoch(2),
    "the test after the last epoch": at_epoch(3),
}


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(
    "changes", [LOGISTIC, SQUARED, EVERYTHING], ids=["logistic", "squared", "everything"]
)
@pytest.mark.usefixtures("short_calls")
def test_interrupted_anywhere(
    store: str, write_spec: WriteSpec, engine: Any, changes: dict[str, Any]
) -> None:
    spec = load_spec(write_spec(changes))
    whole = Process()
    expected = whole.run(begin, spec, profile=Profile(engine))
    assert whole.last_step == 3 * STEPS
    assert len(whole.events) > 9, "an epoch takes several calls of the engine"
    assert any(name.startswith("state/velocity/") for name in state_of(expected))
    for place, stop in PLACES.items():
        first, second = Process(stop), Process()
        killed = first.run(begin, spec, profile=Profile(engine, save_every="1steps"))
        assert (killed.status, status(store, killed.run_id)) == ("KILLED", "KILLED"), place
        assert killed.steps < 3 * STEPS or place.startswith("the test"), place
        found = second.run(go_on, str(killed.id)[:8])
        assert found.run_id == killed.run_id
        assert status(store, found.run_id) == "FINISHED"
        check_same(store, expected, found)
        steps = [event for event in second.events if isinstance(event, StepsDone)]
        assert not steps or steps[0].first == killed.steps + 1, "no step is done twice"


@pytest.mark.parametrize(
    ("engine", "changes"),
    [("reference", SQUARED), ("compiled", SQUARED), ("compiled", LOGISTIC)],
    ids=["reference-squared", "compiled-squared", "compiled-logistic"],
)
@pytest.mark.usefixtures("short_calls")
def test_interrupted_ten_times(
    store: str, write_spec: WriteSpec, engine: Any, changes: dict[str, Any]
) -> None:
    spec = load_spec(write_spec(changes | {"sgd.epochs": 5}))
    whole = Process()
    expected = whole.run(begin, spec, profile=Profile(engine))
    calls = sum(isinstance(event, StepsDone) for event in whole.events)
    each = calls // 11
    run = Process(in_steps(each)).run(begin, spec, profile=Profile(engine, save_every="2steps"))
    for _ in range(9):
        assert run.status == "KILLED"
        run = Process(in_steps(each)).run(go_on, "last", profile=Profile(save_every="1000steps"))
    assert run.status == "KILLED"
    last = Process()
    check_same(store, expected, last.run(go_on, "last"))


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(
    ("every", "saved"),
    [("1h", 0), ("1epoch", STEPS), ("5steps", 5), ("1steps", 9)],
)
@pytest.mark.usefixtures("short_calls")
def test_after_a_crash(
    store: str, write_spec: WriteSpec, engine: Any, every: str, saved: int
) -> None:
    """It goes on from the last checkpoint, or from the start where there is none."""
    spec = load_spec(write_spec(SQUARED))
    whole = Process()
    expected = whole.run(begin, spec, profile=Profile(engine))
    crashed = Process(at_step(STEPS + 3), crash=True)
    with pytest.raises(ZeroDivisionError):
        crashed.run(begin, named(spec, "crashed"), profile=Profile(engine, save_every=every))
    path = find_folder(RUNS, "crashed")
    wait_until(lambda: is_recorded(path))
    run_id = read_recorded(path).run_id
    assert status(store, run_id) == "FAILED"
    again = Process()
    found = again.run(go_on, "crashed")
    first = next(event for event in again.events if isinstance(event, StepsDone)).first
    assert saved < first <= saved + 4, "a call of the compiled engine is a few steps"
    check_same(store, expected, found)
    assert status(store, run_id) == "FINISHED"


@pytest.mark.parametrize("call", [1, 5, 9, 12, 15])
def test_interrupted_within_an_evaluation(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Before training (8 calls for the training rows, 3 for the others), and after epochs."""
    spec = load_spec(write_spec(SQUARED))
    expected = begin(spec, profile=REFERENCE)
    killed = Process()
    real, calls = ReferenceSession.predict, []

    def predict(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            killed.stopped = True
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceSession, "predict", predict)
        run = killed.run(begin, spec, profile=Profile("reference", save_every="1h"))
    assert len(calls) == call
    assert run.status == "KILLED"
    check_same(store, expected, go_on(str(run.id)))


def test_a_run_that_diverged_does_so_again(train: Train, store: str, write_spec: WriteSpec) -> None:
    path = write_spec(SQUARED | {"sgd.learning_rate": 1e200})
    code, out, _ = train(path, "--json")
    again, resumed, _ = train("resume", "last", "--json")
    assert (code, again) == (4, 4)
    first, second = json.loads(out), json.loads(resumed)
    for name in ("id", "run_id", "status", "steps", "parameters_sha256", "metrics"):
        assert first[name] == second[name]
    assert status(store, first["run_id"]) == "FAILED"


# Extending --------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [LOGISTIC, SQUARED], ids=["logistic", "squared"])
def test_a_finished_run_trains_for_more_epochs(
    store: str, write_spec: WriteSpec, changes: dict[str, Any]
) -> None:
    long, whole = load_spec(write_spec(changes | {"sgd.epochs": 6})), Process()
    expected = whole.run(begin, long)
    short = begin(load_spec(write_spec(changes)))
    again = Process()
    found = again.run(go_on, str(short.id), changes=["sgd.epochs=6"])
    assert found.run_id == short.run_id
    check_same(store, expected, found)
    tags = MlflowClient(store).get_run(str(found.run_id)).data.tags
    assert tags["trainer.changed"] == "sgd/epochs: 3 → 6"
    assert tags["trainer.spec_sha256"] == long.sha256


def test_an_extended_run_that_was_interrupted(store: str, write_spec: WriteSpec) -> None:
    """It goes on to the epochs that it was extended to, without being told again."""
    expected = begin(load_spec(write_spec(SQUARED | {"sgd.epochs": 6})))
    run_id = str(begin(load_spec(write_spec(SQUARED))).id)
    killed = Process(at_step(4 * STEPS + 2)).run(go_on, run_id, changes=["sgd.epochs=6"])
    assert killed.status == "KILLED"
    check_same(store, expected, go_on(run_id))


def test_fewer_epochs(train: Train, store: str, write_spec: WriteSpec) -> None:
    """A run can end earlier than it was to, but not before what it has trained."""
    expected = begin(load_spec(write_spec(SQUARED | {"sgd.epochs": 4})))
    spec = load_spec(write_spec(SQUARED | {"sgd.epochs": 6}))
    run = Process(at_step(3 * STEPS + 2)).run(begin, spec)
    run_id = str(run.id)
    for epochs in (2, 3):
        code, _, err = train("resume", run_id, "--set", f"sgd.epochs={epochs}")
        said = f"train: the run {run_id[:8]} has trained for more than 3 epochs, not {epochs}"
        said += " [TR-R007]"
        assert (code, err.splitlines()[0]) == (2, said)
    assert status(store, run.run_id) == "KILLED"
    check_same(store, expected, go_on(run_id, changes=["sgd.epochs=4"]))


@pytest.mark.parametrize("changes", [(), ("--set", "sgd.epochs=3")])
def test_a_finished_run_is_refused(
    train: Train, store: str, write_spec: WriteSpec, changes: tuple[str, ...]
) -> None:
    run = begin(load_spec(write_spec()))
    run_id = str(run.id)
    code, out, err = train("resume", run_id, *changes)
    assert (code, out) == (2, "")
    assert err.splitlines()[:2] == [
        f"train: the run {run_id[:8]} is finished [TR-R007]",
        "  hint: train it for longer with --set sgd.epochs=6",
    ]
    assert status(store, run.run_id) == "FINISHED"


def test_a_run_whose_end_was_not_kept(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is trained, and an earlier end of the run does not stand for this one."""
    expected = begin(load_spec(write_spec(SQUARED | {"sgd.epochs": 6})))
    first = begin(load_spec(write_spec(SQUARED)))
    assert first.folder is not None

    def stop(*_: Any, **__: Any) -> None:  # as the end of its process would
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trainer.runs.attempt.leave_numbers", stop)
        with pytest.raises(KeyboardInterrupt):
            go_on(str(first.id), changes=["sgd.epochs=6"])
    wait_until(lambda: is_recorded(first.folder))
    assert status(store, first.run_id) == "KILLED"
    check_same(store, expected, go_on(str(first.id)))
    assert status(store, first.run_id) == "FINISHED"


@pytest.mark.parametrize("name", ["resume", "reproduce", "train"])
def test_the_package_gives_the_function(name: str) -> None:
    """Also once its module has been imported, by whatever means."""
    for _ in range(2):
        assert callable(getattr(trainer, name))


# Which run --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("abcd1", "abcd1"),
        ("abcd2", "abcd2"),
        ("def3", "def34"),
        ("def34", "def34"),
        ("once", "abcd1"),
        ("last", "abcd2"),
        ("abcd", "'abcd' may be any of several runs: choose one by its id [TR-R001]\n"
                 "  abcd2  DAY  KILLED\n  abcd1  DAY  KILLED"),
        ("twice", "abcd2"),
        ("abc", "there is no run 'abc' in runs [TR-R001]\n"
                "  hint: give at least four characters of an id"),
        ("nobody", "there is no run 'nobody' in runs [TR-R001]\n"
                   "  the latest: abcd2 (twice), def34 (twice), abcd1 (once)"),
    ],
)  # fmt: skip
def test_references(folder: Path, reference: str, found: str) -> None:
    runs = [("abcd2", "twice"), ("def34", "twice"), ("abcd1", "once")]
    for age, (run_id, name) in enumerate(runs):
        make_folder(run_id, name, age)
    try:
        assert find_folder(RUNS, reference).name == found
    except UsageError as error:
        told = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "DAY", str(error))
        assert told == found


def test_no_run_at_all(train: Train, folder: Path) -> None:
    code, _, err = train("resume", "last")
    assert code == 2
    assert err.startswith("train: there is no run in runs [TR-R001]\n")


def test_a_run_whose_facts_cannot_be_read(train: Train, folder: Path) -> None:
    (make_folder("abc1", "once", 0) / "run.json").write_text("{")
    code, _, err = train("resume", "abc1")
    assert code == 6
    assert err.startswith("train: runs/abc1/run.json is damaged or was changed: it is no JSON")


# What must not differ ---------------------------------------------------------------------------


@pytest.fixture
def killed(store: str, write_spec: WriteSpec) -> SimpleNamespace:
    """A run of a CSV file that was killed in its second epoch, and where the file is."""
    table = Path("table.csv")
    rows = [f"{i},{i * i % 7},{i % 2}" for i in range(12)]
    table.write_text("\n".join(["a,b,y", *rows]) + "\n")
    path = write_spec({"data": {"source": {"csv": "table.csv"}, "target": "y"},
                       "sgd.learning_rate": 0.01})  # fmt: skip
    run = Process(at_step(7)).run(begin, load_spec(path), profile=REFERENCE)
    assert run.status == "KILLED"
    return SimpleNamespace(
        id=str(run.id), run_id=run.run_id, table=table, sha256=run.data_sha256, store=store
    )


def check_refused(train: Train, run_id: str, *arguments: str, names: str) -> None:
    code, out, err = train("resume", run_id, *arguments)
    assert (code, out) == (6, "")
    lines = err.splitlines()
    head = f"train: the run {run_id[:8]} cannot go on to the bit, since this differs: [TR-R005]"
    assert (lines[0], lines[2:]) == (head, [
        "  hint: --force goes on all the same, and records it",
    ])  # fmt: skip
    assert lines[1] == f"  {names}"


def forced(killed: SimpleNamespace, *changes: str) -> str:
    """Goes on by force; the tag that tells what differs."""
    run = go_on(killed.id, force=True, changes=changes)
    assert run.status == status(killed.store, killed.run_id) == "FINISHED"
    tags = MlflowClient(killed.store).get_run(killed.run_id).data.tags
    assert tags["trainer.resumed_at_step"] == "7"
    return str(tags["trainer.changed"])


def test_other_data(train: Train, killed: SimpleNamespace) -> None:
    from trainer.data import load_dataset

    killed.table.write_text(killed.table.read_text().replace("11,2,1", "11,3,1"))
    changed = load_dataset(load_spec("spec.yaml")).sha256
    assert changed != killed.sha256
    names = f"data_sha256: {killed.sha256} → {changed}"
    check_refused(train, killed.id, names=names)
    assert status(killed.store, killed.run_id) == "KILLED"
    assert forced(killed) == names


def test_another_learning_rate(train: Train, killed: SimpleNamespace) -> None:
    names = "sgd/learning_rate: 0.01 → 0.02"
    change = "sgd.learning_rate=0.02"
    check_refused(train, killed.id, "--set", change, names=names)
    assert forced(killed, change) == names
    again = Process().run(go_on, killed.id, changes=["sgd.epochs=4"])
    assert again.history["learning_rate"].values.tolist() == [0.01, 0.02, 0.02, 0.02]


def test_another_environment(
    train: Train, killed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.checkpoints.environment import numeric_environment

    old = numeric_environment("reference")
    monkeypatch.setattr(
        "trainer.runs.resume.numeric_environment", lambda _: old | {"blas": "another"}
    )
    names = f"blas: {old['blas']} → another"
    check_refused(train, killed.id, names=names)
    assert forced(killed) == names


def test_another_version(train: Train, killed: SimpleNamespace) -> None:
    """The engine is that of the run, whatever it runs on; what it runs on is compared."""
    facts = RUNS / killed.id / "run.json"
    content = unsealed(facts.read_bytes())
    assert content["engine"] == "reference"
    content["environment"]["numpy"] = "1.0"
    facts.write_bytes(sealed(content))
    names = f"numpy: 1.0 → {np.__version__}"
    check_refused(train, killed.id, names=names)
    assert forced(killed) == names


def test_a_network_of_another_shape_is_refused_even_by_force(
    train: Train, killed: SimpleNamespace
) -> None:
    code, _, err = train("resume", killed.id, "--force", "--set", "model.layers.0.units=4")
    assert code == 6
    assert err == (
        "train: the checkpoint does not fit the spec: expected 'dense_1/W' to be float64 of "
        "(2, 4), found float64 of (2, 3) [TR-R006]\n"
    )
    assert status(killed.store, killed.run_id) == "KILLED"


def test_data_that_are_gone(train: Train, killed: SimpleNamespace) -> None:
    killed.table.unlink()
    code, _, err = train("resume", killed.id)
    assert code == 3
    assert "table.csv" in err


def test_from_another_folder(
    killed: SimpleNamespace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data stay where they were, beside the spec, even where that was changed since; the store
    moves with the folders of the runs, and has the run once.
    """
    (folder / "other").mkdir()
    (folder / "spec.yaml").write_text("changed")
    os.rename("runs", "other/runs")
    monkeypatch.chdir("other")
    run = go_on(killed.id)
    assert (run.status, run.run_id) == ("FINISHED", killed.run_id)
    assert run.tracking_uri == f"sqlite:///{folder}/other/runs/mlflow.db"


def test_on_another_machine(
    killed: SimpleNamespace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder alone was copied there: no spec file, no store; the data lie in the current
    folder. What comes out is the same, and recorded there.
    """
    here, there = folder / "here", folder / "there"
    here.mkdir()
    shutil.copytree(RUNS / killed.id, there / RUNS / killed.id)
    shutil.copy(killed.table, there)
    killed.table.rename(here / killed.table)
    (folder / "spec.yaml").rename(here / "spec.yaml")
    RUNS.rename(here / RUNS)
    monkeypatch.chdir(there)
    facts = read_facts(RUNS / killed.id)
    elsewhere = replace(facts, spec_file="/no/such/place/spec.yaml")
    write_json(RUNS / killed.id, FACTS, elsewhere)
    found = go_on(killed.id)
    expected = begin(load_spec(here / "spec.yaml"), profile=REFERENCE)
    check_same(f"sqlite:///{there}/runs/mlflow.db", expected, found)


# The lock ---------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from trainer.checkpoints.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run `abc1`."""
    command = [sys.executable, "-c", HOLD, str(make_folder("abc1", "once", 0))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_is_held_by_one_process(train: Train, holder: subprocess.Popen[str]) -> None:
    said = f"the run abc1 is being written by process {holder.pid} on "
    with pytest.raises(CheckpointError) as caught:
        RunFolder(Path("runs/abc1"))
    assert str(caught.value).startswith(said)
    code, _, err = train("resume", "abc1")
    assert code == 6
    assert err.startswith(f"train: {said}")

    holder.send_signal(signal.SIGKILL)
    holder.wait()
    RunFolder(Path("runs/abc1")).release()


def test_a_run_is_held_while_it_trains(store: str, write_spec: WriteSpec) -> None:
    told: list[str] = []

    def intrude(event: Event) -> None:
        if isinstance(event, EpochDone):
            with pytest.raises(CheckpointError) as caught:
                go_on("last")
            told.append(str(caught.value))

    run = begin(load_spec(write_spec({"sgd.epochs": 1})), listen=intrude)
    said = f"the run {run.id} is being written by process {os.getpid()} on "
    assert [text.startswith(said) for text in told] == [True, True]
    assert go_on("last", changes=["sgd.epochs=2"]).epochs == 2


# Damage, and disks that refuse ------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.usefixtures("single_steps")
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_damaged_checkpoint(
    store: str, write_spec: WriteSpec, suffix: str, damage: Callable[[Path], None]
) -> None:
    """The one before it serves, with a warning; where its JSON is gone, it never was."""
    spec = load_spec(write_spec(SQUARED))
    expected = begin(spec)
    killed = Process(at_step(STEPS + 3)).run(begin, spec, profile=Profile(save_every="1steps"))
    newest = max((RUNS / str(killed.id) / CHECKPOINTS).glob(f"step-*{suffix}"))
    damage(newest)
    again = Process()
    found = again.run(go_on, "last")
    if (suffix, damage) == (".json", Path.unlink):
        assert again.warnings == []
    else:
        (warning,) = again.warnings
        assert warning.startswith(f"the checkpoint {newest.stem[:17]} is damaged: ")
        assert warning.endswith(f"; going back to step {killed.steps - 1}")
    check_same(store, expected, found)


def test_no_checkpoint_is_whole(train: Train, store: str, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec(SQUARED))
    run_id = str(Process(at_step(9)).run(begin, spec, profile=Profile(save_every="1steps")).id)
    for path in (RUNS / run_id / CHECKPOINTS).glob("step-*.safetensors"):
        cut(path)
    code, _, err = train("resume", run_id)
    assert code == 6
    assert err.count(" is damaged: step-") == 2
    assert f"no checkpoint in runs/{run_id}/checkpoints can be read" in err


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_journal(
    train: Train, store: str, write_spec: WriteSpec, damage: Callable[[Path], None]
) -> None:
    """Without all events the history would be another."""
    spec = load_spec(write_spec(SQUARED))
    run_id = str(Process(at_step(9)).run(begin, spec, profile=Profile(save_every="1h")).id)
    damage(RUNS / run_id / JOURNAL)
    code, _, err = train("resume", run_id)
    assert code == 6
    assert "journal" in err


def test_no_room_for_checkpoints(
    train: Train, store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=0, used=0, free=2**20)
    monkeypatch.setattr("trainer.checkpoints.folder.shutil.disk_usage", lambda _: usage)
    code, _, err = train(write_spec())
    assert code == 6
    assert err.startswith("train: checkpoints need about 1 MB in runs, where 1 MB are free")
    assert MlflowClient(store).search_runs(["0", "1"]) == []


def test_the_room_that_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    usage = SimpleNamespace(free=2**20 + 4 * 800)

    def disk_usage(place: Path) -> Any:
        asked.append(place)
        return usage

    monkeypatch.setattr("trainer.checkpoints.folder.shutil.disk_usage", disk_usage)
    check_room(Path("a/b"), SimpleNamespace(state={"w": np.zeros(100)}))
    assert asked == [folder]
    with pytest.raises(CheckpointError, match="checkpoints need about 1 MB in a/b"):
        check_room(Path("a/b"), SimpleNamespace(state={"w": np.zeros(101)}))


@pytest.mark.parametrize(
    ("text", "seconds", "steps", "epochs"),
    [
        ("30s", 30, None, None),
        ("0.5s", 0.5, None, None),
        ("5min", 300, None, None),
        (" 1.5 h ", 5400, None, None),
        ("1000steps", None, 1000, None),
        ("1 step", None, 1, None),
        ("0.3steps", None, 1, None),
        ("2.9steps", None, 2, None),
        ("1epoch", None, None, 1),
        ("10 epochs", None, None, 10),
    ],
)
def test_every(text: str, seconds: float | None, steps: int | None, epochs: int | None) -> None:
    assert Every.parse(text) == Every(seconds, steps, epochs)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "0s", "0.0epochs", "-1s", "1e3s", "1 day", "1s 1s", "1.s", "infs", "١x"]
)
def test_no_time_between_checkpoints(train: Train, write_spec: WriteSpec, text: str) -> None:
    code, _, err = train(write_spec(), "--checkpoint-every", text)
    assert code == 2
    assert err.splitlines()[:2] == [
        f"train: '{text}' is no time between checkpoints [TR-U003]",
        "  hint: write 30s, 5min, 1000steps or 1epoch",
    ]
    assert not Path("runs").exists()


# Sending later ----------------------------------------------------------------------------------


@pytest.fixture
def refused(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Trains a spec, of whose metrics the store takes nothing from the call of this number on."""
    real = MlflowClient.log_batch
    monkeypatch.setattr(recording, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(recorder, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(sent, "BATCH", 20)

    def run(process: Process, changes: Mapping[str, Any], call: int = 1, **others: Any) -> Run:
        calls: list[int] = []

        def log_batch(self: MlflowClient, run_id: str, metrics: Any = (), **others: Any) -> None:
            calls.extend([1] if metrics else [])
            if metrics and len(calls) >= call:
                raise ConnectionError("the line is dead")
            real(self, run_id, metrics=metrics, **others)

        spec = load_spec(write_spec(changes))
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", log_batch)
            return process.run(begin, spec, profile=Profile(**others))

    return run


DEAD = "refused: the line is dead"


@pytest.mark.parametrize("call", [1, 3], ids=["nothing was sent", "a part was sent"])
def test_sync(
    train: Train, store: str, write_spec: WriteSpec, refused: Callable[..., Run], call: int
) -> None:
    expected, process = begin(load_spec(write_spec(SQUARED))), Process()
    run = refused(process, SQUARED, call, offline_ok=True)
    path, run_id = RUNS / str(run.id), str(run.run_id)
    assert DEAD in process.warnings[-1]
    assert (run.status, is_recorded(path), status(store, run_id)) == ("FINISHED", False, "FAILED")
    assert points(store, run_id) != points(store, expected.run_id)

    code, out, err = train("sync")
    said = f"sent {str(run.id)[:8]} as run {run_id} of {store}\n"
    assert (code, err, out) == (0, "", said)
    client = MlflowClient(store)
    assert status(store, run_id) == "FINISHED"
    assert points(store, run_id) == points(store, expected.run_id)
    for name in SUMMARIES:
        assert len(client.get_metric_history(run_id, name)) == (name in expected.metrics)
    names = {item.path for item in client.list_artifacts(run_id)}
    assert {"parameters.safetensors", "trace.parquet", "environment.json"} <= names
    for name in ("parameters.safetensors", "trace.parquet"):
        files = [Path(client.download_artifacts(str(i), name)) for i in (run_id, expected.run_id)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    assert is_recorded(path)
    assert train("sync") == (0, "nothing waits to be sent\n", "")
    assert train("sync", "--quiet") == (0, "", "")


@pytest.mark.models
def test_what_is_sent_again_is_there_once(train: Train, store: str, write_spec: WriteSpec) -> None:
    """A run that the store has whole is sent anew where that is asked for by its name."""
    run = begin(load_spec(write_spec(SQUARED)))
    before, client = points(store, run.run_id), MlflowClient(store)
    experiment = client.get_run(str(run.run_id)).info.experiment_id
    (model,) = client.search_logged_models([experiment])
    assert train("sync", str(run.id))[::2] == (0, "")
    assert points(store, run.run_id) == before
    assert [m.model_id for m in client.search_logged_models([experiment])] == [model.model_id]
    assert len(client.search_runs([experiment])) == 1


def test_sync_without_runs(train: Train, folder: Path) -> None:
    assert train("sync") == (0, "nothing waits to be sent\n", "")


def waits_for(problem: str) -> Callable[[Event], bool]:
    """Lets no step pass before the recorder has told of this problem; stops nothing."""

    def wait(event: Event) -> bool:
        if isinstance(event, StepsDone):
            (path,) = [path for path in RUNS.iterdir() if is_held(path / LOCK)]
            wait_until(lambda: problem in (getattr(read_recorded(path), "problem", "") or ""))
            time.sleep(2 * LOOK_SECONDS)
        return False

    return wait


@pytest.mark.usefixtures("single_steps")
def test_a_young_run_is_stopped_where_the_store_refuses(
    train: Train, store: str, write_spec: WriteSpec, refused: Callable[..., Run]
) -> None:
    """With a checkpoint, and goes on to the same bits and points."""
    expected = begin(load_spec(write_spec(SQUARED)))
    process = Process(waits_for(DEAD))
    run = refused(process, SQUARED, save_every="1steps")
    assert isinstance(process.error, TrackingError)
    assert (run.status, process.error.exit_code) == ("KILLED", 5)
    assert 0 < run.steps < expected.steps
    assert f"go on with: train resume {str(run.id)[:8]}" in str(process.error)
    found = go_on(str(run.id))
    check_same(store, expected, found)


@pytest.mark.usefixtures("single_steps")
def test_going_on_without_the_store(
    train: Train, store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = begin(load_spec(write_spec(SQUARED)))
    killed = Process(at_step(STEPS + 3)).run(begin, load_spec(write_spec(SQUARED)))

    def absent(*_: Any, **__: Any) -> None:
        raise TrackingError("the store is away [TR-T001]")

    with monkeypatch.context() as patch:
        patch.setattr(recording, "check_store", absent)
        patch.setattr(recording, "PAUSE_SECONDS", 0.02)
        patch.setattr(recorder, "PATIENCE_SECONDS", 0.1)
        patch.setattr("trainer.runs.recording.LASTING_SECONDS", 0.0)
        with pytest.raises(TrackingError, match="away"):
            go_on(str(killed.id), listen=Process(waits_for("away"))._hear)
        later = Process(waits_for("away"))
        run = later.run(go_on, str(killed.id), profile=Profile(offline_ok=True))
    assert (run.status, run.parameters_sha256) == ("FINISHED", expected.parameters_sha256)
    assert later.warnings == [
        f"the store is away [TR-T001]\n  the run goes on, and is kept in runs/{killed.id}",
        "the store is away [TR-T001]\n"
        "  the run is trained, and kept on this disk; send it later with: train sync",
    ]
    assert status(store, killed.run_id) == "KILLED"
    said = f"sent {str(killed.id)[:8]} as run {killed.run_id} of {store}\n"
    assert train("sync")[:2] == (0, said)
    assert status(store, killed.run_id) == "FINISHED"
    assert points(store, killed.run_id) == points(store, expected.run_id)


# Who records ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("single_steps")
def test_the_recorder_of_the_attempt_before_still_works(store: str, write_spec: WriteSpec) -> None:
    """It holds the run while the next attempt begins, and leaves it to the next recorder: one run,
    each point once.
    """
    expected = begin(load_spec(write_spec(SQUARED)))
    killed = Process(at_step(STEPS + 3)).run(begin, load_spec(write_spec(SQUARED)))
    old = Lock(RUNS / str(killed.id) / recorder.RECORDER_LOCK)

    def let_go(event: Event) -> bool:
        if at_step(STEPS + 5)(event):
            time.sleep(0.1)
            assert status(store, killed.run_id) == "KILLED", "the next recorder waits"
            old.release()
        return False

    found = Process(let_go).run(go_on, str(killed.id))
    check_same(store, expected, found)


class _Gone(RecorderThread):
    """A recorder that was killed at its start."""

    def send(self, order: Mapping[str, Any]) -> None:
        self.close()
        self.wait()


def test_a_run_goes_on_without_its_recorder(
    train: Train, store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However young it was; at its end it says that MLflow has not all of it."""
    expected = begin(load_spec(write_spec(SQUARED)))
    process = Process()
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runs.ahead.start_process", _Gone)
        run = process.run(begin, load_spec(write_spec(SQUARED)))
    assert (run.status, run.run_id) == ("FINISHED", None)
    assert isinstance(process.error, TrackingError)
    assert str(process.error) == (
        "the recorder of the run has ended [TR-T009]\n"
        "  the run is trained, and kept on this disk; send it later with: train sync"
    )
    assert process.warnings == []
    assert train("sync")[0] == 0
    recorded = read_recorded(RUNS / str(run.id))
    assert recorded is not None
    assert points(store, recorded.run_id) == points(store, expected.run_id)


def test_a_recorder_that_follows_an_attempt_that_is_over(store: str, write_spec: WriteSpec) -> None:
    """It tells nothing of the next attempt, whose recorder does."""
    run = begin(load_spec(write_spec(SQUARED)))
    assert run.folder is not None
    facts = read_facts(run.folder)
    old = recording.Recording(run.folder, resolve_store(store, RUNS))
    before = read_recorded(run.folder)
    write_json(run.folder, FACTS, replace(facts, attempt=2, charts={}))
    with (run.folder / JOURNAL).open("ab") as journal:
        journal.truncate(100)
    assert old.step(), "nothing is left to do"
    assert read_recorded(run.folder) == before


def test_who_only_looks_does_not_keep_a_run_from_going_on(
    store: str, write_spec: WriteSpec
) -> None:
    """Recorders ask again and again whether the run is held."""
    killed = Process(at_step(STEPS + 3)).run(begin, load_spec(write_spec(SQUARED)))
    lock, over = RUNS / str(killed.id) / LOCK, threading.Event()

    def look() -> None:
        while not over.is_set():
            is_held(lock)
            time.sleep(0.0005)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert go_on(str(killed.id)).status == "FINISHED"
    finally:
        over.set()
        for thread in threads:
            thread.join()


# Longer runs, and runs that ended early ---------------------------------------------------------


@pytest.mark.parametrize(("schedule", "longer"), [
    ("constant", True), ({"type": "exponential", "factor": 0.5}, True),
    ({"type": "cosine", "cycle": 1}, True), ("cosine", False), ("linear", False),
    ("one_cycle", False),
], ids=str)  # fmt: skip
def test_a_schedule_decides_whether_a_run_can_be_longer(
    store: str, write_spec: WriteSpec, schedule: Any, longer: bool
) -> None:
    """To the bit as a run of so many epochs; where that would have gone otherwise, a refusal."""
    spec = load_spec(write_spec({**SQUARED, "sgd.schedule": schedule}))
    first = trainer.train(spec, profile=REFERENCE)
    if not longer:
        with pytest.raises(UsageError, match="its schedule goes by the number of epochs"):
            go_on(str(first.id), changes=["sgd.epochs=5"])
        return
    found = go_on(str(first.id), changes=["sgd.epochs=5"])
    path = write_spec({**SQUARED, "sgd.schedule": schedule, "sgd.epochs": 5})
    expected = trainer.train(load_spec(path), profile=REFERENCE)
    assert found.parameters_sha256 == expected.parameters_sha256


def test_a_run_that_stopped_early_is_finished(store: str, write_spec: WriteSpec) -> None:
    stopping = {"patience": 1, "min_delta": 1e9}
    spec = load_spec(write_spec({**SQUARED, "sgd.early_stopping": stopping}))
    run = trainer.train(spec, profile=REFERENCE)
    assert (run.status, run.epochs) == ("FINISHED", 1)
    with pytest.raises(UsageError, match="it stopped early, after 1 epochs"):
        go_on(str(run.id))
