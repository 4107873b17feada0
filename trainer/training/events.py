"""What happens while a network is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from trainer.engine import Steps
from trainer.training.result import Status


@dataclass(frozen=True)
class StepsDone:
    """Some SGD steps are done. `first` is the number of the first of them, counted from 1."""

    epoch: int
    first: int
    steps: Steps


@dataclass(frozen=True)
class EpochDone:
    """An epoch is done; epoch 0 is the state before training.

    `metrics` holds what MLflow shows by epoch: `train_*` are means over the epoch's steps,
    weighted by rows (for epoch 0: over all training rows); `val_*` are measured after it;
    `grad_norm` is the mean over its steps. `parameter_norms` holds the mean gradient norm of
    each parameter, empty for epoch 0. `time` is when, in seconds since 1970.
    """

    epoch: int
    step: int
    metrics: Mapping[str, float]
    parameter_norms: Mapping[str, float]
    time: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True)
class Ended:
    """Training is over. `summary` holds what is known only now, such as `test_loss`."""

    status: Status
    epoch: int
    step: int
    summary: Mapping[str, float]
    reason: str = ""


Event: TypeAlias = StepsDone | EpochDone | Ended
