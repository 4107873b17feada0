"""What was measured on a real table: how good all are, how long they take; and its file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, get_args

from benchmarks.climb import Climb, Lap
from benchmarks.tables import TABLES
from benchmarks.tabular import Fitted, Solver


@dataclass(frozen=True)
class Measured:
    """What came out on one table: a `Fitted` for each seed, of ours and of each solver of
    scikit-learn's, and whether that one stops early; and a `Climb` of ours for each seed.
    """

    rows: int
    classes: bool
    fits: dict[str, list[Fitted]]
    early: dict[str, bool]
    climbs: list[Climb]

    @property
    def rival(self) -> str:
        """The better one of scikit-learn's, by its mean score in the report."""
        return max(get_args(Solver), key=lambda solver: mean(self.scores(solver)))

    def scores(self, who: str) -> list[float]:
        """The test scores of a contender, seed by seed."""
        return [fitted.score for fitted in self.fits[who]]

    @property
    def difference(self) -> tuple[float, float]:
        """Our score less the rival's: mean over the seeds and its standard error."""
        return self._apart(lambda fitted: fitted.score)

    @property
    def excess(self) -> tuple[float, float]:
        """Our log loss or RMSE less the rival's; below 0 is good."""
        return self._apart(lambda fitted: fitted.error)

    def seconds(self, who: str) -> float:
        """The seconds of training of a contender: the median over the seeds."""
        return median(fitted.seconds for fitted in self.fits[who])

    @property
    def quicker(self) -> str:
        """The one of scikit-learn's that trains for less time."""
        return min(get_args(Solver), key=self.seconds)

    @property
    def laps(self) -> list[Lap]:
        """How long it took us, seed by seed, to be as good as the rival is at its end."""
        pairs = zip(self.climbs, self.scores(self.rival), strict=True)
        return [climb.lap(score) for climb, score in pairs]

    @property
    def lead(self) -> float:
        """The seconds of all the training of the quicker one by ours until we are as good as the
        better one; medians over the seeds.
        """
        return self.seconds(self.quicker) / median(lap.seconds for lap in self.laps)

    @property
    def is_ahead(self) -> bool:
        """Whether we are as good as the better one before the quicker one is done. A median of
        trainings that mostly never were as good would say nothing.
        """
        reached = sum(lap.reached for lap in self.laps)
        return self.lead > 1 and 2 * reached > len(self.laps)

    def _apart(self, of: Callable[[Fitted], float]) -> tuple[float, float]:
        pairs = zip(self.fits["own"], self.fits[self.rival], strict=True)
        return with_error([of(ours) - of(theirs) for ours, theirs in pairs])


def with_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, s / √n with the deviation s of a sample (n - 1)."""
    return mean(values), stdev(values) / math.sqrt(len(values))


def verdict(difference: float, error: float) -> str:
    """What a mean difference and its standard error say of us."""
    # where one seed alone differs the two are the same number, but for rounding
    if abs(difference) <= error * (1 + 1e-9):
        return "equal"
    return "better" if difference > 0 else "worse"


def load_results(file: Path) -> dict[str, Measured]:
    """The tables measured before, in the order of `TABLES`."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for values in kept.values():
        values["fits"] = {
            who: [Fitted(**one) for one in fits] for who, fits in values["fits"].items()
        }
        values["climbs"] = [
            Climb(**{**one, "whole": tuple(one["whole"])}) for one in values["climbs"]
        ]
    return {name: Measured(**kept[name]) for name in TABLES if name in kept}


def save_results(file: Path, results: Mapping[str, Any]) -> None:
    """Writes what was measured, dataclasses by table, as JSON, a training a line."""
    kept = {name: asdict(measured) for name, measured in results.items()}
    indented = json.dumps(kept, indent=1)
    text = re.sub(r"\{[^{}]*\}", lambda flat: " ".join(flat[0].split()), indented)
    file.write_text(text + "\n", encoding="utf-8")
