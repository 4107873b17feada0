"""What a worker of the service does: it trains a job in its folder, from where that is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from trainer.checkpoints.facts import FACTS
from trainer.errors import (
    DivergedError,
    InterruptedRun,
    MachineError,
    NoRoomError,
    TrackingError,
)
from trainer.runs.profile import Profile
from trainer.service.records import Job, Kind
from trainer.spec.schema import Spec
from trainer.sweeps.crossval import crossval
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.drive import recall, resume_sweep, sweep
from trainer.sweeps.folds import CrossValidation
from trainer.sweeps.standing import Sweep
from trainer.training.result import Status
from trainer.workers import begin
from trainer.workers.processes import shelf
from trainer.workers.task import Answer, Task
from trainer.workers.train import attempted, train_task

WORKERS: Final = 1
"""Processes that train the trials of a sweep, or the folds of a cross-validation."""


@dataclass(frozen=True)
class Errand:
    """A job for a worker, with the folder of runs; all of it can be pickled."""

    id: str
    kind: Kind
    spec: Mapping[str, Any]
    file: str
    text: str
    runs: Path
    tracking: str | None
    options: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    threads: int = 1
    save_every: str = "2s"
    cluster: str | None = None

    @classmethod
    def of(cls, job: Job, runs: Path, tracking: str | None, **how: Any) -> Errand:
        """That of a job."""
        return cls(
            job.id, job.kind, job.resolved, job.file, job.text, runs, tracking, job.options,
            job.again, **how,
        )  # fmt: skip

    @property
    def task(self) -> Task:
        """A training, as workers know it."""
        return Task(
            id=self.id, spec=self.spec, file=self.file, text=self.text, threads=self.threads,
            save_every=self.save_every, record=True, store=self.tracking, model=True, pictures=True,
            again=self.again,
        )  # fmt: skip

    @property
    def profile(self) -> Profile:
        """Where and how its runs are trained, where there are several."""
        return Profile(
            threads=self.threads, runs=self.runs, store=self.tracking, offline_ok=True,
            save_every=self.save_every, workers=None if self.cluster else WORKERS,
            cluster=self.cluster,
        )  # fmt: skip


def carry_out(errand: Errand) -> Answer:
    """Does it, in a worker's process; the id of the answer is that of the run that was found.
    Raises nothing that a run can meet.
    """
    if errand.kind == "train":
        return train_task(errand.task, errand.runs, stop=begin.stop, shelf=shelf())
    work = _sweep if errand.kind == "sweep" else _crossval
    return attempted(errand.task, lambda: _stopped(errand, work))


def _stopped(errand: Errand, work: Callable[[Errand], Answer]) -> Answer:
    """The answer of several runs, also where they were stopped or diverged."""
    try:
        return work(errand)
    except MachineError as error:
        if isinstance(error.__cause__, NoRoomError):
            raise error.__cause__ from None
        raise
    except InterruptedRun:
        return Answer(errand.id, "KILLED")
    except DivergedError as error:
        known = error.run
        made = Answer(errand.id, "DIVERGED", reason=str(error))
        return replace(_of_sweep(known), reason=str(error)) if isinstance(known, Sweep) else made


def _sweep(errand: Errand) -> Answer:
    profile, folder = errand.profile, errand.runs / errand.id
    if (folder / FACTS).is_file():
        found = recall(folder, profile)
        if found.status not in ("FINISHED", "DIVERGED"):
            found = resume_sweep(errand.id, profile=profile, stop=begin.stop)
    else:
        spec = SweepSpec.from_resolved(errand.spec, file=errand.file, text=errand.text)
        found = sweep(spec, profile=profile, stop=begin.stop, again=errand.again, id=errand.id)
    return _of_sweep(found)


def _of_sweep(found: Sweep) -> Answer:
    best, name = found.winner, found.objective.metric
    metrics = {} if best is None or best.value is None else {name: best.value}
    return Answer(
        found.id or "", found.status, len(found.trials), metrics=metrics,
        parameters_sha256=found.decisions_sha256, seconds=found.seconds,
    )  # fmt: skip


def _crossval(errand: Errand) -> Answer:
    spec = Spec.from_resolved(errand.spec, file=errand.file, text=errand.text)
    try:
        found = crossval(
            spec, errand.options.get("folds"), profile=errand.profile, stop=begin.stop,
            again=errand.again, id=errand.id,
        )  # fmt: skip
    except TrackingError as error:  # the folds are trained; MLflow is told of them later
        if not isinstance(error.run, CrossValidation):
            raise
        found = error.run
    return _of_folds(errand.id, found)


def _of_folds(run: str, found: CrossValidation) -> Answer:
    status: Status = found.status
    parameters = "\n".join(each.parameters_sha256 for each in found.runs)
    metrics = {f"{name}_mean": value for name, value in found.mean.items()}
    metrics |= {f"{name}_deviation": value for name, value in found.deviation.items()}
    return Answer(
        run, status, len(found.runs), metrics=metrics, seconds=found.seconds,
        parameters_sha256=hashlib.sha256(parameters.encode()).hexdigest(),
    )  # fmt: skip
