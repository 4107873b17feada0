"""What a training leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

Status: TypeAlias = Literal["FINISHED", "PAUSED", "KILLED", "DIVERGED", "FAILED"]
"""PAUSED: it was asked to go no farther than to this epoch."""
Values: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Series:
    """A recorded metric: `values[i]` belongs to `steps[i]`, an epoch or an SGD step."""

    steps: Values
    values: Values


@dataclass(frozen=True)
class Run:
    """What a training left behind.

    `parameters` maps names such as `dense_1/W` to arrays. `metrics` holds what is known of them
    at the end, `history` all values: by epoch (`train_loss`, `val_loss`, …; epoch 0 is before
    training) and by step (`train_loss_step`, `grad_norm_step`; counted from 1). `findings` says
    what is wrong, and what to try; `notes` what to know of its data, its end and its result.

    `id` is the name of its `folder`; both are None where nothing was kept. `known` tells that it
    was trained before, and only looked up. `run_id`, `experiment` and `tracking_uri` say where
    MLflow has it; `run_id` is None until it does.
    """

    name: str
    status: Status
    epochs: int
    steps: int
    parameters: Mapping[str, Values]
    metrics: Mapping[str, float]
    history: Mapping[str, Series]
    parameters_sha256: str
    spec_sha256: str
    data_sha256: str
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    folder: Path | None = None
    known: bool = False
    run_id: str | None = None
    experiment: str | None = None
    tracking_uri: str | None = None

    @property
    def id(self) -> str | None:
        """The name of the run's folder."""
        return self.folder.name if self.folder else None

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train CONFIG --json`."""
        return {
            "id": self.id,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "tracking_uri": self.tracking_uri,
            "status": self.status,
            "known": self.known,
            "epochs": self.epochs,
            "steps": self.steps,
            "metrics": dict(self.metrics),
            "parameters_sha256": self.parameters_sha256,
            "spec_sha256": self.spec_sha256,
            "data_sha256": self.data_sha256,
            "findings": list(self.findings),
            "seconds": round(self.seconds, 3),
        }
