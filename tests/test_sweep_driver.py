"""What drives a sweep, with workers that only pretend to train: the same log whatever they do."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from trainer import Profile
from trainer.checkpoints.folder import CHECKPOINTS, RunFolder
from trainer.errors import InterruptedRun, MachineError, NoRoomError, SpecError
from trainer.sweeps.declaration import SweepSpec, load_sweep
from trainer.sweeps.driver import Driver, Script
from trainer.sweeps.log import Chosen, Closed, Entry, Found, Log, Promoted, read_log
from trainer.sweeps.sampling import sampler_of
from trainer.sweeps.standing import Standing, SweepEvent
from trainer.sweeps.trials import Trials
from trainer.training import Status, Warned
from trainer.workers.task import Answer, Task

SWEEP = """
name: pretended
seed: 3
spec: {spec}
space:
  sgd.learning_rate: {{log: [1e-4, 1]}}
  sgd.batch_size: {{values: [8, 16, 32]}}
search: {{method: {method}, trials: 24, startup: 6}}
halving: {{method: asha, from: 2, factor: 3}}
objective: val_loss
slots: 5
"""


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> SweepSpec:
    """24 trials by TPE, with halving."""
    return sweep_of(tmp_path_factory.mktemp("sweep"), "tpe")


def sweep_of(folder: Path, method: str, **changes: Any) -> SweepSpec:
    path = folder / f"{method}.yaml"
    text = SWEEP.format(spec=ROOT / "configs" / "flats.yaml", method=method)
    if method != "tpe":
        text = text.replace(", startup: 6", "")
    path.write_text(text)
    return load_sweep(path, {"sgd.epochs": 20, "sgd.early_stopping": None, **changes})


class Pretended(Trials):
    """Trials whose epochs cost what their values say, and that need no data."""

    def cost(self, number: int, values: Mapping[str, Any]) -> int:
        return 1000 // int(values["sgd.batch_size"]) + number % 3


def loss_of(values: Mapping[str, Any], epoch: int) -> float:
    """A loss that is the least at a learning rate of 0.03."""
    rate: float = values["sgd.learning_rate"]
    return abs(rate - 0.03) + 1 / epoch + values["sgd.batch_size"] / 1000


class Crew:
    """Workers that answer after a while, in an order of their own."""

    def __init__(
        self, count: int, seed: int, answer: Callable[[Task, int], Answer] | None = None
    ) -> None:
        self.count = count
        self.most = self.tasks = 0
        self._draw = random.Random(seed)
        self._answer = answer or answered
        self._tries: dict[str, int] = {}
        self._paused = False

    def submit(self, task: Task) -> Future[Answer]:
        found: Future[Answer] = Future()
        self.tasks += 1
        self.most += 1
        assert self.most <= self.count
        tries = self._tries[task.id] = self._tries.get(task.id, 0) + 1

        def end() -> None:
            self.most -= 1
            killed = Answer(task.id, "KILLED")
            found.set_result(killed if self._paused else self._answer(task, tries))

        threading.Timer(self._draw.choice([0, 0, 0.001, 0.004]), end).start()
        return found

    def pause(self) -> None:
        self._paused = True


def answered(task: Task, tries: int) -> Answer:
    values = {"sgd.learning_rate": task.spec["sgd"]["learning_rate"],
              "sgd.batch_size": task.spec["sgd"]["batch_size"]}  # fmt: skip
    epochs = task.spec["sgd"]["epochs"]
    epoch = min(task.until or epochs, epochs)
    if values["sgd.learning_rate"] > 0.5:
        return Answer(task.id, "DIVERGED", epoch - 1, reason="the loss is not finite")
    whole = epoch == epochs
    metrics = {"val_loss": loss_of(values, epoch)}
    status: Status = "FINISHED" if whole else "PAUSED"
    return Answer(task.id, status, epoch, metrics=metrics, parameters_sha256="p" * whole)


def drive(
    spec: SweepSpec,
    folder: Path,
    crew: Crew,
    listen: Callable[[SweepEvent], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    heard: Callable[[Answer], None] = lambda _: None,
    script: Script | None = None,
    spent: float = 0.0,
) -> tuple[list[Entry], str]:
    """The log of the sweep in the folder, once it is at its end, and its digest."""
    folder.mkdir(exist_ok=True)
    trials = Pretended(spec, "sweep", folder, Profile(), "compiled")
    with closing(Log(folder)) as log:
        driver = Driver(
            spec, trials, log, sampler_of(spec), crew, listen, stop, heard, spent, script
        )
        driver.run()
        found = driver.sweep("FINISHED")
        assert found.winner is not None
        return log.entries, log.digest


@pytest.fixture(scope="module")
def alone(declared: SweepSpec, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the sweep by one worker that is never disturbed."""
    return drive(declared, tmp_path_factory.mktemp("alone"), Crew(1, 0))[1]


@pytest.mark.parametrize(("count", "seed"), [(1, 1), (2, 2), (3, 3), (5, 4), (50, 5)])
def test_the_same_log_for_any_workers(declared, alone, tmp_path: Path, count, seed) -> None:
    entries, digest = drive(declared, tmp_path / "sweep", Crew(count, seed))
    assert digest == alone
    assert sum(isinstance(entry, Promoted) for entry in entries) >= 8


class KilledError(Exception):
    """The driver's process ends here."""


@pytest.mark.parametrize("seed", range(6))
def test_the_same_log_after_kills_at_any_moment(declared, alone, tmp_path, seed) -> None:
    """Each time after a few answers; the log keeps what was appended, sometimes but a half of its
    last line.
    """
    draw = random.Random(seed)
    for _ in range(200):
        left = draw.randint(0, 6)

        def heard(answer: Answer) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError

        with suppress(KilledError):
            crew = Crew(draw.randint(1, 4), draw.random())
            assert drive(declared, tmp_path / "sweep", crew, heard=heard)[1] == alone
            return
        path = tmp_path / "sweep" / "decisions"
        if draw.random() < 0.3 and path.stat().st_size:
            path.write_bytes(path.read_bytes()[: -draw.randint(1, 30)])
    pytest.fail("it never came to its end")


def test_a_stop_pauses_and_goes_on(declared, alone, tmp_path) -> None:
    standing: list[Standing] = []
    answers: list[Answer] = []

    def listen(event: SweepEvent) -> None:
        if isinstance(event, Standing):
            standing.append(event)

    def stop() -> bool:
        return len(answers) >= 7

    with pytest.raises(InterruptedRun, match=r"stopped after \d+ of 24 trials"):
        drive(declared, tmp_path / "sweep", Crew(2, 1), listen, stop, answers.append)
    assert answers[-1].status in ("KILLED", "PAUSED")
    assert drive(declared, tmp_path / "sweep", Crew(2, 1), listen)[1] == alone
    assert (standing[0].workers, standing[0].sweep.planned) == (2, 24)


@pytest.mark.parametrize("fault", ["machine", "room", "bits", "away"])
def test_what_fails_for_a_reason_outside_is_tried_again(fault, declared, alone, tmp_path) -> None:
    told: list[SweepEvent] = []

    def answer(task: Task, tries: int) -> Answer:
        if tries < 3 and int(task.id, 16) % 4 == 0:
            return Answer(task.id, "FAILED", reason="no space left", fault=fault)
        return answered(task, tries)

    assert drive(declared, tmp_path / "sweep", Crew(3, 1, answer), told.append)[1] == alone
    assert any(isinstance(e, Warned) and "tried again: no space left" in e.message for e in told)


@pytest.mark.parametrize("fault", ["machine", "room"])
def test_what_always_fails_stops_the_sweep_and_loses_nothing(
    fault, declared, alone, tmp_path
) -> None:
    def answer(task: Task, tries: int) -> Answer:
        return Answer(task.id, "FAILED", reason="no space left", fault=fault)

    with pytest.raises(MachineError, match=r"trial \d+ cannot be trained: no space left") as caught:
        drive(declared, tmp_path / "sweep", Crew(3, 1, answer))
    assert isinstance(caught.value.__cause__, NoRoomError) == (fault == "room")
    assert drive(declared, tmp_path / "sweep", Crew(3, 1))[1] == alone


def test_a_fault_of_the_spec_is_told_and_is_the_worst(declared, tmp_path) -> None:
    told: list[str] = []

    def answer(task: Task, tries: int) -> Answer:
        if task.spec["sgd"]["batch_size"] == 8:
            return Answer(task.id, "FAILED", reason="too few rows", fault="spec")
        return answered(task, tries)

    def listen(event: SweepEvent) -> None:
        if isinstance(event, Warned):
            told.append(event.message)

    entries, _ = drive(declared, tmp_path / "sweep", Crew(2, 1, answer), listen)
    failed = [entry for entry in entries if isinstance(entry, Found) and entry.status == "failed"]
    assert failed
    assert all(entry.value is None for entry in failed)
    assert f"trial {failed[0].trial} failed: too few rows" in told


def test_a_trial_that_is_no_spec_fails_before_it_begins(declared, tmp_path, monkeypatch) -> None:
    def cost(self: Trials, number: int, values: Mapping[str, Any]) -> int:
        if number == 2:
            raise SpecError("batches of 8 are too small")
        return 10

    monkeypatch.setattr(Pretended, "cost", cost)
    crew = Crew(2, 1)
    entries, _ = drive(declared, tmp_path / "sweep", crew)
    found = [e for e in entries if isinstance(e, Found) and e.trial == 2]
    assert [(e.status, e.value) for e in found] == [("failed", None)]
    assert crew.tasks == sum(isinstance(entry, Found) for entry in entries) - 1


def test_such_a_trial_that_a_killed_driver_chose_fails_too(declared, tmp_path, monkeypatch) -> None:
    def spec_of(self: Trials, number: int, values: Mapping[str, Any]) -> Any:
        if number == 2:
            raise SpecError("batches of 8 are too small")
        return Trials.spec_of(self, number, values)

    alone = drive(declared, tmp_path / "alone", Crew(2, 1))[0]
    chosen = next(i for i, e in enumerate(alone) if isinstance(e, Chosen) and e.trial == 2)
    (tmp_path / "sweep").mkdir()
    with closing(Log(tmp_path / "sweep")) as log:
        log.append(alone[: chosen + 1])
    monkeypatch.setattr(Pretended, "spec_of", spec_of)
    entries, _ = drive(declared, tmp_path / "sweep", Crew(2, 1))
    found = [e for e in entries if isinstance(e, Found) and e.trial == 2]
    assert [(e.status, e.value) for e in found] == [("failed", None)]


# Independent trials, arrival, budgets ------------------------------------------------------------


@pytest.mark.parametrize("method", ["random", "grid"])
def test_trials_that_depend_on_nothing_all_begin_at_once(tmp_path: Path, method: str) -> None:
    changes: dict[str, Any] = {"halving": None}
    if method == "grid":
        changes["space"] = {"sgd.learning_rate": {"log": [0.001, 0.1], "steps": 8},
                            "sgd.batch_size": {"values": [8, 16, 32]}}  # fmt: skip
    spec = sweep_of(tmp_path, method, **changes)
    digests = {drive(spec, tmp_path / str(n), Crew(n, n))[1] for n in (1, 4, 30)}
    assert len(digests) == 1
    entries, _ = read_log(tmp_path / "4")
    first = [entry.trial for entry in entries[:24] if isinstance(entry, Chosen)]
    assert first == list(range(24))


def test_by_arrival_the_log_can_be_repeated(tmp_path: Path) -> None:
    spec = sweep_of(tmp_path, "tpe", decide="arrival")
    logs = [drive(spec, tmp_path / str(n), Crew(3, n)) for n in range(3)]
    assert len({digest for _, digest in logs}) > 1  # that is what is asked for
    for number, (entries, digest) in enumerate(logs):
        again = drive(spec, tmp_path / f"again {number}", Crew(5, 9), script=Script.of(entries))
        assert again[1] == digest


def test_where_its_time_is_spent_the_best_goes_to_the_end(tmp_path: Path) -> None:
    spec = sweep_of(tmp_path, "random", **{"budget.time": "1h"})
    entries, digest = drive(spec, tmp_path / "late", Crew(2, 1), spent=3600.0)
    assert isinstance(entries[0], Closed)  # and yet there is one trial, and a winner
    assert len({e.trial for e in entries if isinstance(e, Found)}) == 1
    until = drive(spec, tmp_path / "early", Crew(2, 1))
    assert not any(isinstance(entry, Closed) for entry in until[0])
    assert digest != until[1]


def test_a_closed_sweep_is_repeated_as_it_was(tmp_path: Path) -> None:
    spec = sweep_of(tmp_path, "random")
    whole, _ = drive(spec, tmp_path / "whole", Crew(2, 1))
    for place in (3, 11, len(whole) - 1):
        script = Script([e.trial for e in whole if isinstance(e, Found)], place)
        closed, digest = drive(spec, tmp_path / str(place), Crew(2, 2), script=script)
        assert closed[:place] == whole[:place]
        assert isinstance(closed[place], Closed)
        again = drive(spec, tmp_path / f"{place} again", Crew(3, 3), script=Script.of(closed))
        assert again == (closed, digest)


def test_the_worst_checkpoints_go_where_the_disk_is_to_be_spared(tmp_path: Path) -> None:
    spec = sweep_of(tmp_path, "random", **{"budget.disk": "3kB"})
    runs = tmp_path / "runs"

    def heard(answer: Answer) -> None:
        folder = RunFolder(runs / answer.id)
        (folder.path / CHECKPOINTS / "step-1").write_bytes(bytes(1000))
        folder.release()

    entries, digest = drive(spec, runs, Crew(2, 1), heard=heard)
    kept = {path.parent.parent.name for path in runs.glob(f"*/{CHECKPOINTS}/*")}
    waiting = {e.trial: e.value for e in entries if isinstance(e, Found) and e.status == "waiting"}
    gone = {e.trial for e in entries if isinstance(e, Found) and e.status != "waiting"}
    trials = Pretended(spec, "sweep", runs, Profile(), "compiled")
    left = [n for n in waiting.keys() - gone if trials.id(n) in kept]
    assert len(left) <= 3
    assert digest == drive(spec.changed({"budget.disk": None}), tmp_path / "free", Crew(1, 1))[1]
