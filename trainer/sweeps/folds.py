"""The folds of a spec: which they are, checked against the data, and what is computed of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data import Table, load_table, preprocess
from trainer.errors import DataError, SpecError
from trainer.runs.facts import named
from trainer.spec import Spec
from trainer.training.result import Run, Status

FOLDS: Final = 5
PART: Final = "test_"


@dataclass(frozen=True)
class Plan:
    """The folds of a spec, checked against its data. `spec` has their number and names none of
    them, `specs` has one fold each.
    """

    spec: Spec
    specs: Sequence[Spec]
    data_sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CrossValidation:
    """The folds of a spec, and the runs of those that were trained so far.

    `status` is the status of the whole. `folder` is that of the run that holds the others, None
    where nothing is kept; `run_id` its id in MLflow, None until that has it.
    """

    plan: Plan
    runs: Sequence[Run] = ()
    notes: tuple[str, ...] = ()
    status: Status = "FINISHED"
    folder: Path | None = None
    run_id: str | None = None
    experiment: str | None = None
    tracking_uri: str | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The name of the spec."""
        return self.plan.spec.name

    @property
    def measured(self) -> dict[str, list[float | None]]:
        """What was measured on the test rows, a value a trained fold; None where a fold lacks it,
        or where it is not finite.
        """
        names = dict.fromkeys(
            name for run in self.runs for name in run.metrics if name.startswith(PART)
        )
        return {name: [_finite(run.metrics.get(name)) for run in self.runs] for name in names}

    @property
    def complete(self) -> dict[str, list[float]]:
        """Those of `measured` that all folds have; empty before the last fold is trained."""
        if len(self.runs) < len(self.plan.specs):
            return {}
        return {
            name: [value for value in values if value is not None]
            for name, values in self.measured.items()
            if None not in values
        }

    @property
    def mean(self) -> dict[str, float]:
        """The mean over the folds of each metric that all have; each fold counts the same."""
        return {name: statistics.fmean(values) for name, values in self.complete.items()}

    @property
    def deviation(self) -> dict[str, float]:
        """The sample deviation over the folds, √(Σ(v − mean)² / (N − 1)), of each such metric."""
        return {name: statistics.stdev(values) for name, values in self.complete.items()}

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train crossval --json`."""
        return {
            "id": self.folder.name if self.folder else None,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "tracking_uri": self.tracking_uri,
            "name": self.name,
            "status": self.status,
            "folds": [run.as_json() for run in self.runs],
            "mean": self.mean,
            "deviation": self.deviation,
            "seconds": round(self.seconds, 3),
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


# Planning ---------------------------------------------------------------------------------------


def plan_folds(spec: Spec, folds: int | None = None) -> Plan:
    """The folds of the spec, checked against its data; nothing is trained.

    `folds` is by default the spec's `data.split.folds`, or 5. A fold takes the place of
    `data.split.test`, which a note then says.

    Raises `SpecError` and `DataError` for what any fold's run would raise before it trains, and
    `SpecError` where the spec names files of test rows.
    """
    count = folds or spec.data.split.folds or FOLDS
    if spec.data.test is not None:
        message = "these rows test each model, so there is nothing to cross-validate"
        hint = "leave them out, and each fold tests once; or train the spec by itself"
        raise SpecError(spec.problem(("data", "test"), message, hint, code="TR-W011"))
    notes: tuple[str, ...] = ()
    changes: dict[str, Any] = {"data.split.folds": count, "data.split.fold": None}
    if spec.data.split.test:
        notes = (f"the folds take the place of data.split.test ({spec.data.split.test:g})",)
        changes["data.split.test"] = 0
    whole = spec.changed(changes)
    specs = [
        named(whole.changed({"data.split.fold": fold}), f"{spec.name} fold {fold}/{count}")
        for fold in range(1, count + 1)
    ]
    return Plan(whole, specs, _check_data(specs), notes)


def _check_data(specs: Sequence[Spec]) -> str:
    """The SHA-256 of the data, on which every fold can be trained.

    Raises `DataError` and `SpecError`, the first that a fold meets.
    """
    table = load_table(specs[0])
    _check_classes(specs[0], table)
    for spec in specs:
        preprocess(spec, table)
    return table.sha256


def _check_classes(spec: Spec, table: Table) -> None:
    """Where folds are dealt class by class, each must get a row of each class to be tested on."""
    split, folds = spec.data.split, spec.data.split.folds or 0
    if table.classes is None or split.group is not None or split.time is not None:
        return
    dealt = slice(None) if table.part is None else table.part == 0
    counts = np.bincount(table.target[dealt], minlength=len(table.classes)).tolist()
    least = counts.index(min(counts))
    if counts[least] < folds:
        rows = f"{counts[least]} row{'s' * (counts[least] != 1)}"
        message = f"{folds} folds need as many rows of each class, and {table.classes[least]!r} "
        message += f"has {rows}"
        hint = f"take {counts[least]} folds" if counts[least] > 1 else "leave its rows out"
        hint += ", or more rows of it"
        raise DataError(spec.problem(("data", "target"), message, hint, code="TR-W011"))
