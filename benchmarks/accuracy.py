"""Compares with scikit-learn's MLP on ten real tables, over ten seeds each.

python -m benchmarks.accuracy [--tables iris …] [--seeds 10] [--results FILE] [--write FILE]

What is measured is kept in the file of results, so that tables can be measured one by one; the
page is written from all that is in it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Final, get_args

from benchmarks.accuracy_page import page
from benchmarks.climb import Climb, climb
from benchmarks.measured import Measured, load_results, save_results
from benchmarks.tables import TABLES
from benchmarks.tabular import LARGE, SPECS, Fitted, Solver, fit_own, fit_sklearn, split

PAGE: Final = Path(__file__).with_name("ACCURACY.md")
RESULTS: Final = SPECS / "results.json"
CHOOSING: Final = (100, 101, 102)
"""Seeds on which it is chosen whether scikit-learn stops early; they are none of the report's.
Large tables take the first alone."""


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
        climbs: list[Climb] = []
        for seed in seeds:
            given = split(name, folder, seed, **overrides)
            fits["own"].append(fit_own(given))
            climbs.append(climb(given))
            for solver in get_args(Solver):
                fits[solver].append(fit_sklearn(given, solver, early[solver]))
            print(name, seed, *(f"{who} {fits[who][-1].score:.4f}" for who in fits), flush=True)
    table = TABLES[name]
    return Measured(table.rows, table.task == "classes", fits, early, climbs)


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
