"""Where a sweep stands: its trials, and the one that is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from trainer.training.events import Warned
from trainer.training.result import Status

TrialStatus: TypeAlias = Literal["queued", "running", "waiting", "finished", "diverged", "failed"]


@dataclass(frozen=True)
class Objective:
    """What the trials are compared by."""

    metric: str
    maximise: bool = False

    def loss(self, value: float) -> float:
        """The value as one that is the better the less it is."""
        return -value if self.maximise else value


@dataclass(frozen=True)
class Trial:
    """A run of a sweep, as far as it is.

    `number` counts from 0 and `id` is the name of the run's folder. `values` has what was chosen,
    by key of the spec. `results` has the objective by epoch, at each rung that the trial reached
    and at its end, infinite (the worst) where it diverged or failed. A trial is `queued` until a
    worker has it, `waiting` at a rung where others are better; `reason` says why it diverged or
    failed. `rung` is the epoch that it is at or trains to. `known` tells that it was trained
    before.
    """

    number: int
    id: str
    values: Mapping[str, Any]
    status: TrialStatus = "queued"
    rung: int = 0
    epochs: int = 0
    results: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters_sha256: str = ""
    reason: str = ""
    known: bool = False

    @property
    def value(self) -> float | None:
        """The objective where the trial is now; None before its first rung."""
        return self.results[max(self.results)] if self.results else None

    @property
    def ended(self) -> bool:
        """Whether it will not go on."""
        return self.status in ("finished", "diverged", "failed")


@dataclass(frozen=True)
class Sweep:
    """What a sweep found, or has found so far.

    `planned` is how many trials there will be, and `whole` the epochs of one that comes to its end,
    unless it gets no better; `decisions_sha256` names every trial, result and
    promotion, in their order, and the parameters of each finished trial: it is the same for any
    number of workers. `folder` is None where nothing is kept; `run_id`, `experiment` and
    `tracking_uri` say where MLflow has the run that holds the trials.
    """

    name: str
    status: Status
    objective: Objective
    space: Mapping[str, Any]
    planned: int
    trials: Sequence[Trial] = ()
    whole: int = 0
    decisions_sha256: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    folder: Path | None = None
    run_id: str | None = None
    experiment: str | None = None
    tracking_uri: str | None = None

    @property
    def id(self) -> str | None:
        """The name of the sweep's folder."""
        return self.folder.name if self.folder else None

    @property
    def winner(self) -> Trial | None:
        """The best of the trials that came to their end; of equal ones the first."""
        return best_of([each for each in self.trials if each.status == "finished"], self.objective)

    @property
    def best(self) -> Trial | None:
        """The winner, or while there is none the best of those that are farthest."""
        if self.winner is not None:
            return self.winner
        there = [t for t in self.trials if t.value is not None and math.isfinite(t.value)]
        most = max((max(t.results) for t in there), default=0)
        return best_of([t for t in there if max(t.results) == most], self.objective)

    @property
    def epochs(self) -> int:
        """The epochs of all trials together."""
        return sum(trial.epochs for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train sweep --json`."""
        winner = self.winner
        return {
            "id": self.id,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "tracking_uri": self.tracking_uri,
            "name": self.name,
            "status": self.status,
            "objective": self.objective.metric,
            "winner": None if winner is None else _as_json(winner),
            "trials": [_as_json(trial) for trial in self.trials],
            "epochs": self.epochs,
            "whole_epochs": self.planned * self.whole,
            "decisions_sha256": self.decisions_sha256,
            "seconds": round(self.seconds, 3),
        }


def best_of(trials: Sequence[Trial], objective: Objective) -> Trial | None:
    """The trial with the best value where it is now; of equal ones the first; None of none."""
    finite = [t for t in trials if t.value is not None and math.isfinite(t.value)]
    return min(finite, key=lambda t: (objective.loss(t.value or 0.0), t.number), default=None)


def _as_json(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "id": trial.id,
        "status": trial.status,
        "values": dict(trial.values),
        "value": _finite(trial.value),
        "epochs": trial.epochs,
        "results": {str(epoch): _finite(value) for epoch, value in trial.results.items()},
        "metrics": {name: _finite(value) for name, value in trial.metrics.items()},
        "parameters_sha256": trial.parameters_sha256 or None,
        "known": trial.known,
        "reason": trial.reason,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Standing:
    """A sweep has got farther, or is `over`. `busy` trials are with workers now, of which there are
    `workers`; `left` are the seconds until its end, as far as they can be told.
    """

    sweep: Sweep
    busy: int
    workers: int
    left: float | None = None
    over: bool = False


SweepEvent: TypeAlias = Standing | Warned
SweepListener: TypeAlias = Callable[[SweepEvent], None]
