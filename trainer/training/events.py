"""What happens while a network is trained, from the reading of its data to its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from trainer.engine import Steps
from trainer.training.result import Run, Status


@dataclass(frozen=True)
class Reading:
    """So many rows of a table that stays on disk are done; `what` says what is done with them."""

    what: str
    rows: int


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on after `step` steps. `parameters` counts their numbers, `rows`
    the training rows; `run` is the id of the run's folder, None where none is kept.
    """

    run: str | None
    name: str
    parameters: int
    rows: int
    epochs: int
    steps_per_epoch: int
    step: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StepsDone:
    """Some SGD steps are done. `first` is the number of the first of them, counted from 1."""

    epoch: int
    first: int
    steps: Steps


@dataclass(frozen=True)
class EpochDone:
    """An epoch is done; epoch 0 is the state before training.

    `metrics` holds what is shown by epoch: `train_*` are means over the epoch's steps, weighted by
    rows (for epoch 0: over all training rows); `val_*` are measured after it; `grad_norm` is the
    mean over its steps. `parameter_norms` holds the mean gradient norm of each parameter, empty
    for epoch 0. `time` is when, in seconds since 1970.
    """

    epoch: int
    step: int
    metrics: Mapping[str, float]
    parameter_norms: Mapping[str, float]
    time: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True)
class Saved:
    """A checkpoint of the state after so many steps is on the disk."""

    step: int


@dataclass(frozen=True)
class Warned:
    """Something went wrong beside the training and did not stop it."""

    message: str


@dataclass(frozen=True)
class Ended:
    """Training is over. `summary` holds what is known only now, such as `test_loss`."""

    status: Status
    epoch: int
    step: int
    summary: Mapping[str, float]
    reason: str = ""


@dataclass(frozen=True)
class Trained:
    """What came out, before its pictures are drawn and the rest of it is recorded."""

    run: Run


LoopEvent: TypeAlias = StepsDone | EpochDone | Ended
"""What the loop tells, and the journal keeps."""
Event: TypeAlias = Reading | Started | LoopEvent | Saved | Warned | Trained
Listener: TypeAlias = Callable[[Event], None]
Stop: TypeAlias = Callable[[], bool]
"""Is asked between two calls of the engine whether to end the training there."""


def nobody(event: Event) -> None:
    """Hears nothing."""


def never() -> bool:
    """Does not stop."""
    return False
