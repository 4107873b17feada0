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
    """Large files are read, before training begins; then, of a table that stays on disk, how far
    that is.
    """

    what: str
    """What is read, or what is done with the rows."""
    rows: int
    """So many of them are done; 0 where it begins."""


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on."""

    run: str | None
    """The id of the run's folder; None where none is kept."""
    name: str
    """What the spec is called."""
    parameters: int
    """How many numbers the parameters have."""
    rows: int
    """Rows to train on."""
    epochs: int
    """All epochs of the run, as the spec has them."""
    steps_per_epoch: int
    """Steps of each epoch."""
    step: int
    """Steps that were done before; 0 unless it goes on."""
    notes: tuple[str, ...]
    """What to know of the data and the network."""


@dataclass(frozen=True)
class StepsDone:
    """Some SGD steps of one epoch are done."""

    epoch: int
    """The epoch that they belong to, from 1."""
    first: int
    """The number of the first of them in the run, from 1."""
    steps: Steps
    """What they recorded."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch is done and measured. Epoch 0 is the state before training."""

    epoch: int
    """The epoch, from 0."""
    step: int
    """Steps of the run that are done."""
    metrics: Mapping[str, float]
    """What is shown by epoch, of finite values: `train_…` are means over the epoch's steps,
    weighted by rows (of epoch 0 over all training rows); `val_…` are measured after it; `grad_norm`
    is the mean over its steps; `learning_rate` that of its last step."""
    parameter_norms: Mapping[str, float]
    """The mean gradient norm of each parameter, by its name; empty for epoch 0."""
    time: float = field(default_factory=time.time, compare=False)
    """When that was."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on the disk."""

    step: int
    """It holds the state after so many steps."""


@dataclass(frozen=True)
class Warned:
    """Something went wrong beside the training and did not stop it."""

    message: str
    """What it was, for people."""


@dataclass(frozen=True)
class Ended:
    """Training is over."""

    status: Status
    """How it ended."""
    epoch: int
    """Epochs that are done."""
    step: int
    """Steps that are done."""
    summary: Mapping[str, float]
    """What is known only now, such as `test_loss`."""
    reason: str = ""
    """Why it ended before all epochs were done; empty where they are."""


@dataclass(frozen=True)
class Trained:
    """What came out, before its pictures are drawn and the rest of it is recorded."""

    run: Run
    """The parameters, the metrics and all of the history."""


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
