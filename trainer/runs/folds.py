"""The folds of a spec: which they are, checked against the data, and what is computed of them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data import Table, load_table, preprocess
from trainer.errors import DataError, Problem, SpecError
from trainer.spec import Spec, load_spec
from trainer.spec.changes import Changes
from trainer.training.result import Run, Status

FOLDS: Final = 5
PART: Final = "test_"


@dataclass
class CrossValidation:
    """The folds of a spec, and the runs of those that were trained so far.

    `spec` has the number of folds and no fold at hand, `specs` one fold each. `run_id` is that of
    the run in MLflow that holds the others; None where nothing is recorded. `status` is the
    status of the whole.
    """

    name: str
    spec: Spec
    specs: Sequence[Spec]
    data_sha256: str
    notes: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    status: Status = "FINISHED"
    run_id: str | None = None
    experiment: str | None = None
    tracking_uri: str | None = None
    seconds: float = 0.0

    @property
    def group_name(self) -> str:
        """What the run that holds the others is called."""
        return f"{self.name} {len(self.specs)} folds"

    def fold_name(self, fold: int) -> str:
        """What the run of a fold is called; the first is 1."""
        return f"{self.name} fold {fold}/{len(self.specs)}"

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
        if len(self.runs) < len(self.specs):
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


def plan_folds(
    config: str | Path,
    folds: int | None = None,
    overrides: Changes | None = None,
    *,
    name: str | None = None,
) -> CrossValidation:
    """The folds of the spec in the file `config`, checked against its data; nothing is trained.

    `folds` is by default the spec's `data.split.folds`, or 5; `overrides` are as `load_spec`
    takes them. A fold takes the place of `data.split.test`, which a note then says.

    Raises `SpecError` and `DataError` for what any fold's run would raise before it trains, and
    `SpecError` where the spec names files of test rows.
    """
    spec = load_spec(config, overrides)
    count = folds or spec.data.split.folds or FOLDS
    if spec.data.test is not None:
        message = "these rows test each model, so there is nothing to cross-validate"
        hint = "leave them out, and each fold tests once; or train the spec by itself"
        raise SpecError(spec.problem(("data", "test"), message, hint))
    notes, changes = [], {"data.split.folds": count, "data.split.fold": None}
    if spec.data.split.test:
        notes.append(f"the folds take the place of data.split.test ({spec.data.split.test:g})")
        changes["data.split.test"] = 0

    def with_fold(fold: int | None) -> Spec:
        return load_spec(config, _joined(overrides, {**changes, "data.split.fold": fold}))

    try:
        specs = [with_fold(fold) for fold in range(1, count + 1)]
        sha256 = _check_data(specs)
    except SpecError as error:
        raise SpecError([_asked(problem) for problem in error.problems]) from None
    return CrossValidation(name or spec.name, with_fold(None), specs, sha256, notes)


def _joined(overrides: Changes | None, changes: Mapping[str, Any]) -> Changes:
    """The overrides, and after them the changes."""
    if isinstance(overrides, Mapping):
        return {**overrides, **changes}
    return [*(overrides or ()), *(f"{key}={json.dumps(value)}" for key, value in changes.items())]


def _asked(problem: Problem) -> Problem:
    """The problem, at the option that asks for folds where it is with their number."""
    if problem.file != "--set data.split.folds":
        return problem
    return Problem("", problem.message, problem.hint, file="--folds")


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
        raise DataError(spec.problem(("data", "target"), message, hint))
