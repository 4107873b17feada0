"""What `train sweep` shows: while it goes on, and of what came out."""

from __future__ import annotations

import io
import json
import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Train, WriteSpec
from rich.console import Console
from swept import SWEEP, carry_out, declare
from test_sweep_record import ROWS, made, trial

from trainer import Profile, load_model
from trainer.cli.signals import Interrupt, signals_caught
from trainer.cli.sweep import is_sweep
from trainer.cli.sweep_progress import SweepProgress, picture
from trainer.cli.sweep_result import show_sweep, values
from trainer.sweeps.standing import Standing, Sweep, Trial
from trainer.training import Warned
from trainer.workers.task import Answer, Task
from trainer.workers.train import train_task

RUNS = Path("runs")


def standing(*trials: Trial, left: float | None = 65.0, **others: Any) -> Standing:
    return Standing(made(*trials, status="KILLED", **others), 2, 2, left)


def going_on() -> list[Standing]:
    """Four trials, of which the first is best, until the second is."""
    first = trial(0, "waiting", {1: 0.5}, rung=1)
    second = trial(1, "running", {}, rung=1)
    better = trial(1, "waiting", {1: 0.4}, rung=1)
    whole = trial(1, "finished", {1: 0.4, 3: 0.3}, rung=3, metrics={"test_loss": 0.35})
    return [
        standing(trial(0, "running", {}, rung=1), left=None),
        standing(first, second),
        standing(first, second, left=64.0),
        standing(first, better, trial(2, "diverged", {1: math.inf})),
        standing(first, whole, trial(2, "diverged", {1: math.inf}), trial(3, "waiting", {1: 0.9})),
    ]


# While it goes on -------------------------------------------------------------------------------


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One for each better trial, and for each tenth that has a result."""
    progress = SweepProgress(False)
    for event in going_on():
        progress.on(event)
    progress.on(Warned("trial 2 diverged: the loss is inf\n  likely cause: its rate"))
    progress.stop()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "flats: 4 trials of 2 keys, 2 workers",
        "best so far: trial 0, val_loss 0.5 after 1 epochs: learning_rate 0.01, schedule a|b",
        "1/4 trials: 1 stopped at a rung, 1 running, 2 to come, 1 epochs, about 1 min 5 s left",
        "best so far: trial 1, val_loss 0.4 after 1 epochs: learning_rate 0.02, schedule a|b",
        "3/4 trials: 2 stopped at a rung, 1 diverged, 1 to come, 3 epochs, about 1 min 5 s left",
        "best so far: trial 1, val_loss 0.3 after 3 epochs, test_loss 0.35: learning_rate 0.02, "
        "schedule a|b",
        "4/4 trials: 1 finished, 2 stopped at a rung, 1 diverged, 6 epochs, about 1 min 5 s left",
        "train: warning: trial 2 diverged: the loss is inf",
    ]  # fmt: skip


def test_nothing_but_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SweepProgress(True)
    for event in (*going_on(), Warned("so it is")):
        progress.on(event)
    assert progress.begun
    assert capsys.readouterr() == ("", "train: warning: so it is\n")


def test_few_lines_of_many_trials(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SweepProgress(False)
    trials = [trial(i, "waiting", {1: 0.5}) for i in range(1000)]
    sweep = replace(made(), planned=1000)
    for count in range(0, 1001, 25):
        progress.on(Standing(replace(sweep, trials=trials[:count]), 2, 2))
    assert len(capsys.readouterr().err.splitlines()) == 12


@pytest.mark.parametrize("width", [60, 100, 200])
@pytest.mark.parametrize("number", range(5))
def test_the_live_table(width: int, number: int) -> None:
    """What runs, and the best, in lines that fit."""
    event = going_on()[number]
    screen = io.StringIO()
    Console(file=screen, width=width, color_system=None).print(picture(event, width))
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    running = [each for each in event.sweep.trials if each.status == "running"]
    assert [line.split()[1] for line in lines if line.startswith("running")] == [
        str(each.number) for each in running
    ]
    best = [line.split()[1:3] for line in lines if line.startswith("best")]
    expected = event.sweep.best
    assert best == ([[str(expected.number), str(expected.value)]] if expected else [])


def test_many_that_run_and_odd_names_fit_a_screen() -> None:
    odd = {"model.layers.0.name": "\x1b[31m" + "x" * 500, "b": [1, {"c": None}]}
    trials = [replace(trial(i, "running", {}), values=odd) for i in range(50)]
    screen = io.StringIO()
    found = replace(made(*trials), planned=60, seconds=65.0)
    Console(file=screen, width=80, color_system=None).print(
        picture(Standing(found, 8, 8, 65.0), 80)
    )
    lines = screen.getvalue().splitlines()
    assert lines[0].rstrip() == "━" * 40
    assert len(lines) == 12
    assert lines[-1] == "and 42 more that run"
    assert "\x1b" not in screen.getvalue()


@pytest.mark.parametrize(
    ("chosen", "most", "text"),
    [({"sgd.momentum": 0.5, "seed": 3}, 99, "momentum 0.5, seed 3"),
     ({"sgd.momentum": 0.5, "seed": 3, "b": 1}, 10, "momentum 0.5, and 2 more"),
     ({}, 9, "")],
)  # fmt: skip
def test_values_in_a_line(chosen: Mapping[str, Any], most: int, text: str) -> None:
    assert values(replace(trial(0, "running", {}), values=chosen), most) == text


def test_a_signal_is_noted_while_trials_run_and_ends_at_once_before() -> None:
    with signals_caught() as interrupt:
        interrupt.begun(True)
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked()
    interrupt = Interrupt()
    interrupt.begun(True)
    interrupt.begun(False)
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, None)
    assert interrupt.told() == "stopped at once"


# What came out ----------------------------------------------------------------------------------


def shown(found: Sweep, capsys: pytest.CaptureFixture[str], before: bool = False) -> list[str]:
    show_sweep(found, before)
    return capsys.readouterr().out.splitlines()


def test_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    trials = list(going_on()[-1].sweep.trials)
    trials[0] = replace(trials[0], known=True)
    found = replace(
        made(*trials), seconds=62.0, whole=9, folder=Path("runs") / ("a" * 32), notes=("so it is",),
        experiment="flats", tracking_uri="sqlite:////elsewhere/mlflow.db",
    )  # fmt: skip
    lines = shown(found, capsys)
    assert lines[1].split() == ["trial", "status", "epochs", "val_loss", "learning_rate",
                                "schedule"]  # fmt: skip
    assert [line.split() for line in lines[2:5]] == [
        ["1", "finished", "3", "0.3", "0.02", "a|b"], ["0", "waiting", "1", "0.5", "0.01", "a|b"],
        ["3", "waiting", "1", "0.9", "0.04", "a|b"],
    ]  # fmt: skip
    assert lines[5:] == [
        "", "note: so it is", "best: trial 1, val_loss 0.3 after 3 epochs, test_loss 0.35",
        "  learning_rate 0.02, schedule a|b",
        "FINISHED in 1 min 2 s: 1 finished, 2 stopped at a rung, 1 diverged; 1 trained before",
        "spent 6 epochs, 17% of the 36 that all whole would take",
        f"sweep {'a' * 32} in experiment 'flats', /elsewhere/mlflow.db",
        "next: train predict flats --data FILE",
        "next: train ui --tracking-uri sqlite:////elsewhere/mlflow.db",
    ]  # fmt: skip


RESULTS: Sequence[tuple[Sweep, bool, list[str]]] = [
    (made(), False, ["FINISHED in 0.0 s: no trial yet", "spent 0 epochs"]),
    (made(trial(0, "finished", {3: 0.5})), True,
     ["FINISHED in 0.0 s: 1 finished; carried out before, --again does it anew"]),
    (replace(made(trial(0, "waiting", {1: 0.5}), status="KILLED"), folder=Path("a" * 32)), False,
     ["best so far: trial 0, val_loss 0.5 after 1 epochs",
      "KILLED in 0.0 s: 1 stopped at a rung, 3 to come", "go on: train resume aaaaaaaa"]),
    (made(trial(0, "diverged", {1: math.inf}), status="DIVERGED"), False,
     ["DIVERGED in 0.0 s: 1 diverged"]),
]  # fmt: skip


@pytest.mark.parametrize(("found", "before", "expected"), RESULTS)
def test_other_results(
    capsys: pytest.CaptureFixture[str], found: Sweep, before: bool, expected: list[str]
) -> None:
    assert set(expected) <= set(shown(found, capsys, before))


# The command ------------------------------------------------------------------------------------


class Crew:
    """A worker in this process, which a signal stops before its task of this number."""

    def __init__(self, stopped: int | None = None) -> None:
        self.count = 1
        self.tasks: list[Task] = []
        self._stopped = stopped

    def submit(self, task: Task) -> Future[Answer]:
        found: Future[Answer] = Future()
        self.tasks.append(task)
        if len(self.tasks) - 1 == self._stopped:
            signal.raise_signal(signal.SIGINT)
            found.set_result(Answer(task.id, "KILLED"))
        else:
            found.set_result(train_task(task, RUNS))
        return found

    def pause(self) -> None:
        pass


@pytest.fixture
def crews(monkeypatch: pytest.MonkeyPatch) -> list[Crew]:
    """Those that are still to come; each sweep takes one."""
    to_come: list[Crew] = []

    @contextmanager
    def open_workers(*_: object) -> Iterator[Crew]:
        yield to_come.pop(0)

    monkeypatch.setattr("trainer.sweeps.carrying.open_workers", open_workers)
    return to_come


def test_a_sweep_from_its_file_to_its_proof(
    train: Train, store: str, write_spec: WriteSpec, crews: list[Crew]
) -> None:
    """Stopped, gone on with, found again, predicted with, and proven."""
    write_spec(ROWS)
    Path("sweep.yaml").write_text(SWEEP)
    crews += [Crew(stopped=2), Crew(), Crew()]
    code, out, err = train("sweep", "sweep.yaml")
    assert code == 130
    assert err.startswith("tiny-sweep: 3 trials of 2 keys, 1 worker\n")
    assert "KILLED in" in out
    assert "go on: train resume" in out
    assert train("sweep", "sweep.yaml")[0] == 2, "one that is not finished is gone on with"
    code, out, err = train("resume", "last", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["status"], found["whole_epochs"], len(found["trials"])) == ("FINISHED", 9, 3)
    assert found["tracking_uri"] == store
    # again: nothing is trained
    code, out, err = train("sweep", "sweep.yaml")
    assert (code, err) == (0, "")
    assert "carried out before, --again does it anew" in out
    assert json.loads(train("sweep", "sweep.yaml", "--json")[1])["winner"] == found["winner"]
    assert train("sweep", "sweep.yaml", "--quiet") == (0, "", "")
    # its best trial
    Path("rows.csv").write_text("x1,x2\n0.1,0.2\n")
    assert load_model("tiny-sweep", profile=Profile()).run.id == found["winner"]["id"]
    listed = json.loads(train("list", "--json")[1])["runs"]
    assert [run["name"] for run in listed] == ["tiny-sweep"]
    code, out, _ = train("list", "--sweep", "tiny-sweep")
    assert [title in out.splitlines()[0] for title in ("sgd.learning_rate", "sgd.schedule")]
    assert len(out.splitlines()) == 4
    # the proof
    code, out, _ = train("reproduce", "tiny-sweep")
    assert code == 0
    assert out.startswith("identical: 3 trials")


def test_what_it_will_take(train: Train, write_spec: WriteSpec) -> None:
    write_spec(ROWS)
    Path("sweep.yaml").write_text(SWEEP)
    code, out, err = train("sweep", "sweep.yaml", "--check", "--set", "search.trials=5")
    assert (code, err) == (0, "")
    assert "5 trials" in out
    plan = json.loads(train("sweep", "sweep.yaml", "--check", "--json", "--name", "other")[1])
    assert (plan["name"], plan["trials"]) == ("other", 3)
    assert not RUNS.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--resume", "--again"], "give one of them"), (["--promote", "a/b"], "is no name"),
     (["--set", "sgd.learning_rat=1"], "learning_rat"), (["--workers", 0], "--workers")],
)  # fmt: skip
def test_wrong_usage(
    train: Train, write_spec: WriteSpec, arguments: list[object], said: str
) -> None:
    write_spec(ROWS)
    Path("sweep.yaml").write_text(SWEEP)
    code, out, err = train("sweep", "sweep.yaml", *arguments)
    assert (code, out) == (2, "")
    assert said in err


# Which runs are sweeps --------------------------------------------------------------------------


def test_resume_and_reproduce_know_a_sweep(train: Train, write_spec: WriteSpec) -> None:
    write_spec(ROWS)
    carry_out(declare())
    assert is_sweep("tiny-sweep", RUNS)
    assert is_sweep("last", RUNS)
    for name, runs in (("trial 0 of tiny-sweep", RUNS), ("nobody", RUNS), ("tiny-sweep", None)):
        assert not is_sweep(name, runs)
    code, _, err = train("resume", "tiny-sweep", "--set", "sgd.epochs=9")
    assert (code, "goes on as it was declared" in err) == (2, True)
