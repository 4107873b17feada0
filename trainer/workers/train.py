"""What a worker does: it trains a run in its folder, from where that is to where it is to get."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from trainer.checkpoints.facts import FACTS, read_facts
from trainer.checkpoints.folder import RunFolder
from trainer.errors import (
    DamagedError,
    DataError,
    GraphError,
    NoRoomError,
    OtherBitsError,
    RunError,
    SpecError,
    TrainerError,
)
from trainer.runs.attempt import Attempt
from trainer.runs.profile import Profile
from trainer.runs.resume import restored
from trainer.runs.train import Order, carry_out, known_run
from trainer.spec.schema import Spec
from trainer.training import Listener, Run, Stop, never, nobody
from trainer.workers.reached import answer_of, as_far_as
from trainer.workers.shelf import Shelf
from trainer.workers.task import Answer, Task, Told

PATIENCE_SECONDS: Final = 5.0
"""The worker of a driver that was killed may have the folder for a moment."""

Heard: TypeAlias = tuple[Listener, Stop]


def train_task(
    task: Task,
    runs: Path,
    *,
    listen: Listener = nobody,
    stop: Stop = never,
    shelf: Shelf | None = None,
    same_attempt: bool = False,
) -> Answer:
    """Trains the task's run in the folder `runs` until it is where it is to get, and says how it
    is there. What is there already is not trained again.

    `listen` hears the events of the training, `stop` is asked whether to end it with a checkpoint;
    `shelf` holds what is not read twice. With `same_attempt` the last attempt goes on, of which
    this is a slice. Raises nothing that a run can meet: that is an answer, too.
    """
    kept = shelf or Shelf()
    return attempted(task, lambda: _answered(task, runs, (listen, stop), kept, same_attempt))


def attempted(task: Task, work: Callable[[], Answer]) -> Answer:
    """The answer of the work, also where it raises."""
    try:
        return work()
    except (SpecError, GraphError) as error:
        return _failed(task, error, "spec")
    except DataError as error:
        return _failed(task, error, "data")
    except OtherBitsError as error:
        return _failed(task, error, "bits")
    except NoRoomError as error:
        return _failed(task, error, "room")
    except Exception as error:  # the machine's: its disk, its memory; or a fault of our own
        return _failed(task, error, "machine")


def _answered(task: Task, runs: Path, heard: Heard, shelf: Shelf, same_attempt: bool) -> Answer:
    folder = RunFolder(runs / task.id, PATIENCE_SECONDS)
    try:
        if not (folder.path / FACTS).exists():
            folder.clear()
            run = _begun(task, folder, heard, shelf)
        else:
            try:
                reached = as_far_as(folder.path, task)
                if reached is not None:
                    return reached
                run = _gone_on(task, folder, heard, shelf, same_attempt)
            except (DamagedError, ValueError):  # it is damaged: the same comes out again
                folder.clear()
                run = _begun(task, folder, heard, shelf)
    finally:
        folder.release()
        if not (folder.path / FACTS).exists():  # there is no run: it cannot be trained
            shutil.rmtree(folder.path, ignore_errors=True)
    reached = as_far_as(folder.path, task)
    if reached is None and run.status in ("PAUSED", "FINISHED", "DIVERGED"):
        # a training ends well where its disk refuses, and says so; a task is done once it is kept
        raise NoRoomError(f"the run {task.id[:8]} is trained, and cannot be kept: the disk refuses")
    return reached or answer_of(task, run)


def known_answer(task: Task, folder: RunFolder, shelf: Shelf) -> Answer | None:
    """The answer of a run that was trained before, under the id of the task, whose folder is empty;
    None where there is none. Raises what its training would raise before it begins.
    """
    found = known_run(_order(task, folder, (nobody, never), shelf))
    return None if found is None else as_far_as(folder.path, task) or answer_of(task, found)


def _begun(task: Task, folder: RunFolder, heard: Heard, shelf: Shelf) -> Run:
    """The run, from its beginning, or as it is known."""
    return _ran(lambda: carry_out(_order(task, folder, heard, shelf)))


def _order(task: Task, folder: RunFolder, heard: Heard, shelf: Shelf) -> Order:
    listen, stop = heard
    spec = Spec.from_resolved(task.spec, file=task.file, text=task.text)
    return Order(
        spec, _profile(task, folder.path.parent), listen, stop, task.again, parent=task.parent,
        tags=task.tags, folder=folder, pause_after=task.until, model=task.model,
        pictures=task.pictures, prepare=shelf.prepare, origin_of=shelf.origin_of,
    )  # fmt: skip


def _gone_on(task: Task, folder: RunFolder, heard: Heard, shelf: Shelf, same_attempt: bool) -> Run:
    """The run, from its last checkpoint."""
    listen, stop = heard
    facts = read_facts(folder.path)
    profile = _profile(task, folder.path.parent)
    attempt = facts.attempt if same_attempt else None
    kept, job = restored(folder, facts, profile, listen, prepare=shelf.prepare, attempt=attempt)
    kept.model, kept.pictures = task.model, task.pictures
    return _ran(Attempt(job, listen, stop, kept, pause_after=task.until).carry_out)


def _ran(train: Callable[[], Run]) -> Run:
    """The run that comes out, also where it diverged or was stopped."""
    try:
        return train()
    except RunError as error:
        if not isinstance(error.run, Run):
            raise
        return error.run


def _profile(task: Task, runs: Path) -> Profile:
    return Profile(
        engine=task.engine, threads=task.threads, runs=runs, store=task.store, record=task.record,
        save_every=task.save_every,
    )  # fmt: skip


def _failed(task: Task, error: Exception, fault: Told) -> Answer:
    reason = str(error) if isinstance(error, TrainerError) else f"{type(error).__name__}: {error}"
    return Answer(task.id, "FAILED", reason=reason, fault=fault)
