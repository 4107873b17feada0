"""The trials of a sweep side by side: a table, and pictures."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer.report.choices import Choice
from trainer.report.influence import Influence, influences
from trainer.report.style import LARGEST, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE: Final = "trials.csv"


@dataclass(frozen=True)
class TrialShown:
    """A trial as a picture needs it: see `trainer.sweeps.standing.Trial`."""

    number: int
    run: str
    status: str
    values: Mapping[str, Any]
    epochs: int = 0
    results: Mapping[int, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def value(self) -> float | None:
        """The objective where the trial is now; None before its first rung."""
        return self.results[max(self.results)] if self.results else None

    @property
    def reached(self) -> int:
        """The epoch of its last result; 0 before the first."""
        return max(self.results, default=0)

    @property
    def counts(self) -> bool:
        """Whether it has a value that a picture can show."""
        return self.value is not None and abs(self.value) < LARGEST  # not for NaN


@dataclass(frozen=True)
class SweepShown:
    """A sweep as its pictures need it.

    `space` has what was declared of each key, `metric` is what the trials are compared by, `whole`
    the epochs of a whole trial and `winner` the number of the best that came to its end.
    """

    name: str
    metric: str
    maximise: bool
    space: Mapping[str, Any]
    trials: Sequence[TrialShown]
    winner: int | None = None
    whole: int = 0

    def loss(self, value: float) -> float:
        """The value as one that is the better the less it is."""
        return -value if self.maximise else value

    @cached_property
    def ranked(self) -> Sequence[TrialShown]:
        """The trials with a value, the best first: those that finished, then those that came
        farther; of equal ones the better.
        """
        there = [trial for trial in self.trials if trial.counts]
        return sorted(there, key=self._rank)

    def _rank(self, trial: TrialShown) -> tuple[bool, int, float, int]:
        ended = trial.status == "finished"  # perhaps early, since it got no better
        reached = 0 if ended else -trial.reached
        return not ended, reached, self.loss(trial.value or 0.0), trial.number

    @cached_property
    def rungs(self) -> Sequence[int]:
        """The epochs at which a trial was paused."""
        found = {
            epoch for trial in self.trials for epoch in trial.results
            if epoch < trial.reached or trial.status not in ("finished", "diverged", "failed")
        }  # fmt: skip
        return sorted(found)

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """The axis of each key, in the order of the space."""
        return {
            key: Choice.of(key, declared, [t.values[key] for t in self.trials if key in t.values])
            for key, declared in self.space.items()
        }

    @cached_property
    def influences(self) -> dict[str, Influence]:
        """How much each key matters; nothing of too few trials."""
        places = {trial.number: place for place, trial in enumerate(self.ranked)}
        judged = [trial for trial in self.trials if trial.results]
        losses = [float(places.get(trial.number, math.inf)) for trial in judged]
        return influences(self.choices, [trial.values for trial in judged], losses)

    def first_keys(self, most: int) -> list[str]:
        """The keys for which there is room, in their order: of more those that matter most."""
        keys = list(self.space)
        if len(keys) <= most:
            return keys
        weight = {key: found.share for key, found in self.influences.items()}
        kept = sorted(keys, key=lambda key: (-weight.get(key, 0.0), keys.index(key)))[:most]
        return [key for key in keys if key in kept]


def write_sweep(sweep: SweepShown, folder: Path) -> list[Path]:
    """Writes `trials.csv` and, where a trial has a value, `plots/*.png` into the folder, and
    returns the files: `history`, `parallel`, `slices` and, of enough trials, `importance`.

    The same values give the same bytes. Raises `OSError` where a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / TABLE
    write_trials(sweep, table)
    if not sweep.ranked:
        return [table]
    (folder / "plots").mkdir(exist_ok=True)
    with styled():
        return [
            table,
            *(save(figure, folder / "plots" / f"{name}.png") for name, figure in _figures(sweep)),
        ]


def _figures(sweep: SweepShown) -> Iterator[tuple[str, Figure]]:
    """Names and figures, one by one, so that one at a time is in memory."""
    from trainer.report.parallel import parallel
    from trainer.report.slices import importance, slices
    from trainer.report.trials import history

    yield "history", history(sweep)
    yield "parallel", parallel(sweep)
    yield "slices", slices(sweep)
    if sweep.influences:
        yield "importance", importance(sweep)


def write_trials(sweep: SweepShown, path: Path) -> None:
    """Writes a row a trial, in order: what it is, how far it came, what was chosen, its results.

    Numbers are in their shortest exact form and lists and mappings are JSON. Raises `OSError`.
    """
    rungs = sweep.rungs
    after = [f"{sweep.metric} after {epoch}" for epoch in rungs]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        own = ["trial", "run", "status", "epochs", sweep.metric]
        writer.writerow([*own, *sweep.space, *after, "reason"])
        for trial in sweep.trials:
            writer.writerow([
                trial.number, trial.run, trial.status, trial.epochs, _cell(trial.value),
                *(_cell(trial.values.get(key)) for key in sweep.space),
                *(_cell(trial.results.get(epoch)) for epoch in rungs),
                trial.reason,
            ])  # fmt: skip


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
