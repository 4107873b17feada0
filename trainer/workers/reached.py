"""How far the run in a folder is, as an answer to a task; and what an answer is for its driver."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from trainer.checkpoints.arrays import read_arrays
from trainer.checkpoints.disk import read_within
from trainer.checkpoints.facts import OUTCOME, read_facts, read_outcome
from trainer.checkpoints.folder import JOURNAL
from trainer.checkpoints.journal import read_journal
from trainer.errors import (
    DataError,
    DivergedError,
    InterruptedRun,
    MachineError,
    NoRoomError,
    RunError,
    SpecError,
)
from trainer.runs.describe import NOTE
from trainer.runs.known import KNOWN_TAG, load_run
from trainer.runs.resume import INITIAL
from trainer.spec.schema import Spec
from trainer.training import Ended, EpochDone, Event, History, Run, Started
from trainer.training.best import Best
from trainer.training.events import LoopEvent
from trainer.workers.task import OURS, Answer, Task


def answer_of(task: Task, run: Run) -> Answer:
    """The answer that a run gives that was trained now."""
    return Answer(
        task.id, run.status, run.epochs, run.steps, run.metrics, run.parameters_sha256,
        run.seconds,
    )  # fmt: skip


def as_far_as(folder: Path, task: Task) -> Answer | None:
    """The answer that the folder gives; None where the run has not got that far.

    A run that is farther is answered as it was when it came to that epoch. Raises
    `CheckpointError`, and `OSError` or `ValueError` for a journal that cannot be read.
    """
    outcome, until = read_outcome(folder), task.until
    if outcome is None or outcome.status not in ("PAUSED", "FINISHED", "DIVERGED"):
        return None
    facts, status = read_facts(folder), outcome.status
    known = KNOWN_TAG in facts.tags
    # what diverged did so in the epoch after its last whole one
    if until is not None and until < outcome.epoch + (status == "DIVERGED"):
        validated = "validation" in facts.data["rows"]
        events = read_journal(folder / JOURNAL)
        ended, metrics = paused_at(Spec.from_resolved(facts.spec), validated, until, events)
        return Answer(
            task.id, "PAUSED", until, ended.step, metrics, "", outcome.seconds, facts.attempt,
            known,
        )  # fmt: skip
    if status == "PAUSED" and until != outcome.epoch:
        return None
    return Answer(
        task.id, status, outcome.epoch, outcome.step, outcome.metrics,
        outcome.parameters_sha256 or "", outcome.seconds, facts.attempt, known, outcome.reason,
    )  # fmt: skip


def paused_at(
    spec: Spec, validated: bool, epoch: int, events: Iterable[LoopEvent]
) -> tuple[Ended, dict[str, float]]:
    """The end and the metrics of a run that is paused after this epoch. Raises `ValueError` where
    the events do not tell of it.
    """
    history, best = History(), Best(spec, validated)
    for event in events:
        history.on(event)
        if isinstance(event, EpochDone):
            best.see(event.epoch, event.metrics)
            if event.epoch == epoch:
                summary = {**best.summary(), **best.kept(event.metrics)}
                ended = Ended("PAUSED", epoch, event.step, summary)
                history.on(ended)
                return ended, history.last
    raise ValueError(f"its journal does not tell of epoch {epoch}")


# For the driver ---------------------------------------------------------------------------------


def events_of(folder: Path) -> Iterator[Event]:
    """What happened in the run of a folder, as it would have been heard while it trained. Raises
    `CheckpointError`.
    """
    facts = read_facts(folder)
    initial = read_arrays(folder / INITIAL, read_within(folder, INITIAL))
    charts = facts.charts
    yield Started(
        run=facts.id, name=facts.name, parameters=sum(v.size for v in initial.values()),
        rows=charts["rows"], epochs=charts["epochs"],
        steps_per_epoch=charts["steps"] // charts["epochs"], step=0,
        notes=tuple(
            line.removeprefix(NOTE) for line in facts.description if line.startswith(NOTE)
        ),
    )  # fmt: skip
    yield from read_journal(folder / JOURNAL)


def refused(answer: Answer, message: str) -> MachineError:
    """The error of a task that failed for a reason outside; its cause tells that of a full disk."""
    error = MachineError(message, code="TR-W014")
    error.__cause__ = NoRoomError(answer.reason) if answer.fault == "room" else None
    return error


def run_of(answer: Answer, runs: Path) -> Run:
    """The run of an answer, whose folder is in `runs`.

    Raises what its training would have raised here: `DivergedError` or `InterruptedRun`, which
    carry the run; `SpecError` or `DataError` where these are to blame, else `MachineError`.
    """
    if answer.status == "FAILED":
        if answer.fault not in OURS:
            raise refused(answer, answer.reason)
        raise (SpecError if answer.fault == "spec" else DataError)(answer.reason)
    failure: RunError | None = None
    if answer.status == "DIVERGED":
        failure = DivergedError(answer.reason)
    elif answer.status == "KILLED":
        failure = InterruptedRun(
            f"interrupted after {answer.step} steps ({answer.epoch} whole epochs)"
        )
        if not (runs / answer.id / OUTCOME).exists():  # it had not begun
            raise failure
    run = replace(load_run(runs / answer.id), known=answer.known)
    if failure is not None:
        failure.run = run
        raise failure
    return run
