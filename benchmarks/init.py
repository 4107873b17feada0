"""Compares specs that `train init` writes with scikit-learn's MLP as it comes, on twenty tables.

python -m benchmarks.init [--tables iris …] [--seeds 25] [--first 0] [--results FILE] [--write FILE]

A spec is drafted once for each table, from its file and the name of the target, and trained as it
is, with several seeds. The specs are kept beside what is measured, so that tables can be measured
one by one; the page is written from all that is in it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.drafted import Drafted, Trained, fit_own, fit_sklearn, fit_trivial
from benchmarks.init_page import Compared, page
from benchmarks.measured import save_results
from benchmarks.raw_tables import RAW_TABLES
from trainer.drafting import draft

PAGE: Final = Path(__file__).with_name("INIT.md")
SPECS: Final = Path(__file__).with_name("init")
RESULTS: Final = SPECS / "results.json"
CONTENDERS: Final = {"own": fit_own, "sklearn": fit_sklearn, "trivial": fit_trivial}


def measure(name: str, seeds: Sequence[int], specs: Path) -> Compared:
    """Drafts a spec for a table, keeps it in the folder `specs`, and trains all contenders."""
    table = RAW_TABLES[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table.write(folder / f"{name}.csv")
        began = time.perf_counter()
        text = draft(folder / f"{name}.csv", table.target, folder).text
        seconds = time.perf_counter() - began
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        specs.mkdir(exist_ok=True)
        (specs / f"{name}.yaml").write_text(text, encoding="utf-8")
        fits: dict[str, list[Trained]] = {who: [] for who in CONTENDERS}
        for seed in seeds:
            given = Drafted.load(folder / f"{name}.yaml", seed)
            for who, fit in CONTENDERS.items():
                fits[who].append(fit(given))
            shown = (f"{who} {fits[who][-1].scores[given.metric]:.4f}" for who in fits)
            print(name, seed, given.metric, *shown, flush=True)
        kept, had = len(given.own.features), len(given.read().columns) - 1
    return Compared(len(given.own.x), kept, had, given.metric, seconds, fits)


def load_results(file: Path) -> dict[str, Compared]:
    """The tables measured before, in the order of `RAW_TABLES`."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for values in kept.values():
        values["fits"] = {
            who: [Trained(**one) for one in fits] for who, fits in values["fits"].items()
        }
    return {name: Compared(**kept[name]) for name in RAW_TABLES if name in kept}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks.init", description=__doc__)
    parser.add_argument("--tables", nargs="*", choices=RAW_TABLES, default=list(RAW_TABLES))
    parser.add_argument("--seeds", type=int, default=25, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first; those below 100 report")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON, read and written")
    parser.add_argument("--write", type=Path, default=PAGE, help="the page")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.seeds)
    for name in options.tables:
        compared = measure(name, seeds, options.results.parent)
        save_results(options.results, load_results(options.results) | {name: compared})
    options.write.write_text(page(load_results(options.results)), encoding="utf-8")
    print(f"written to {options.write}")


if __name__ == "__main__":
    main()
