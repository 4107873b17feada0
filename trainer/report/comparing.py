"""What differs between recorded runs: their specs, their metrics, their curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trainer.metrics import METRICS, direction
from trainer.report.recorded import RecordedRun
from trainer.spec.schema import decides_numbers

MOST_RUNS: Final = 20  # more cannot be told apart
LETTERS: Final = "ABCDEFGHIJKLMNOPQRST"
SETTINGS: Final = frozenset({"learning_rate"})  # recorded as metrics, but no results
TRIVIAL: Final = "trivial_"
FACTS: Final = ("data_sha256", "engine", "version")
_FIRST: Final = ("val_loss", "best_val_loss", "best_epoch", "test_loss", "train_loss")
_PARTS: Final = {"val": "Validation", "test": "Test", "train": "Training"}

Curve = Sequence[tuple[int, float]]
"""The values of a metric as (epoch, value), epochs ascending; empty where a run has none."""


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. `curves` holds for a metric one curve a run, in the order of `runs`."""

    runs: Sequence[RecordedRun]
    curves: Mapping[str, Sequence[Curve]] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, list[str | None]]:
        """The leaves of the spec that decide numbers and are not the same in all runs, by path, and
        the facts of `FACTS` that are not; None for a run that has no such leaf.
        """
        params = [
            {leaf: value for leaf, value in run.params.items() if decides_numbers(leaf)}
            for run in self.runs
        ]
        leaves = _side_by_side(params)
        facts = _side_by_side([_facts(run) for run in self.runs])
        rows = {path: leaves[path] for path in sorted(leaves, key=_natural)} | facts
        return {path: values for path, values in rows.items() if len(set(values)) > 1}

    @property
    def metrics(self) -> dict[str, list[float | None]]:
        """The last value of each headline metric by name, losses first; None where there is none.

        Those of single parameters (`grad_norm/…`), of the machine and of single steps are left
        out.
        """
        flat = [{name: v for name, v in run.metrics.items() if is_headline(name)}
                for run in self.runs]  # fmt: skip
        rows = _side_by_side(flat)
        return {name: [_finite(v) for v in rows[name]] for name in sorted(rows, key=_rank)}

    @property
    def results(self) -> dict[str, list[float | None]]:
        """The metrics without those that are settings, or of the trivial result."""
        return {
            name: row
            for name, row in self.metrics.items()
            if name not in SETTINGS and not name.startswith(TRIVIAL)
        }

    def best(self, metric: str) -> set[int]:
        """Which runs have the best value of a metric.

        None have where better has no direction, where all values are alike, and where losses
        are of different kinds.
        """
        values = {i: v for i, v in enumerate(self.metrics.get(metric, ())) if v is not None}
        sign = direction(metric)
        if not sign or len(set(values.values())) < 2:
            return set()
        if metric.endswith("_loss") and self._kinds_of_loss() > 1:
            return set()
        best = max(sign * value for value in values.values())
        return {i for i, value in values.items() if sign * value == best}

    @property
    def notes(self) -> list[str]:
        """What to know before values are compared."""
        notes = []
        if self._kinds_of_loss() > 1:
            notes.append("the runs have different losses, whose values cannot be compared")
        if len({run.tags.get("trainer.data_sha256") for run in self.runs}) > 1:
            notes.append("the runs have different data")
        return notes

    def _kinds_of_loss(self) -> int:
        return len({run.params.get("model/loss") for run in self.runs})

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train compare --json`."""
        return {
            "runs": [run.as_json() for run in self.runs],
            "differences": self.differences,
            "metrics": self.metrics,
            "curves": {
                name: [
                    {"epochs": [e for e, _ in curve], "values": [_finite(v) for _, v in curve]}
                    for curve in curves
                ]
                for name, curves in self.curves.items()
            },
        }


def is_headline(metric: str) -> bool:
    """Whether a metric tells of the whole run or of whole epochs."""
    return "/" not in metric and not metric.endswith("_step")


def curve_names(runs: Sequence[RecordedRun]) -> list[str]:
    """The series by epoch that are worth a picture: losses, scores, the gradient's norm."""
    held = {name for run in runs for name in run.metrics}
    names = [f"{part}_{kind}" for kind in ("loss", *METRICS) for part in ("val", "train")]
    return [name for name in [*names, "grad_norm"] if name in held]


def title(metric: str) -> str:
    """A recorded metric in words, such as `Validation R²`; others keep their names."""
    part, _, kind = metric.partition("_")
    if metric == "grad_norm":
        return "Norm of the gradient"
    if part not in _PARTS or kind not in ("loss", *METRICS):
        return metric
    return f"{_PARTS[part]} {METRICS[kind].title if kind in METRICS else kind}"


def curve(points: Sequence[tuple[int, float]], last: float | None = None) -> Curve:
    """Recorded points as a curve: of a step that was recorded twice, the last value counts.

    `last` is the value after the last epoch, where what was recorded last is the value of the
    parameters that are kept (the metric `last_…`).
    """
    values = dict(points)
    if last is not None and values:
        values[max(values)] = last
    return sorted((step, value) for step, value in values.items() if math.isfinite(value))


def _facts(run: RecordedRun) -> dict[str, str]:
    tags = {name: run.tags.get(f"trainer.{name}") for name in FACTS}
    return {name: value for name, value in tags.items() if value is not None}


def _side_by_side(columns: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name) for column in columns] for name in names}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _natural(path: str) -> list[tuple[int, str]]:
    """Sorts layer 10 behind layer 2."""
    return [(int(part) if part.isdecimal() else -1, part) for part in path.split("/")]


def _rank(metric: str) -> tuple[int, int, str]:
    """Losses, then scores, then what else there is; of each, validation, test, training."""
    if metric in _FIRST:
        return 0, _FIRST.index(metric), ""
    part, parts = metric.partition("_")[0], [*_PARTS]
    order = parts.index(part) if part in parts else len(parts)
    return 2 - abs(direction(metric)), order, metric
