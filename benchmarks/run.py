"""Runs the benchmarks and writes their tables.

python -m benchmarks.run [--tables sizes scale command] [--cases …] [--peers …] [--quick]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from benchmarks import report
from benchmarks.cases import CASES, of_width
from benchmarks.command import Timed, fresh_folder, time_known, time_torch, time_train
from benchmarks.peers import PEERS, own
from benchmarks.scale import measure_rows
from benchmarks.sizes import measure
from trainer.engine import EngineName, choose_engine

TABLES = ("sizes", "scale", "command")
OWN = "`train configs/hidden_layer.yaml`"
RESULTS = Path(__file__).with_name("RESULTS.md")
CPU_SETTINGS = ("TRAINER_CPU", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they slow one of us
ROWS = [10**n for n in range(3, 8)]
WIDTHS = [16, 64, 256, 1024, 4096]


def main() -> None:
    options = _options()
    for name in CPU_SETTINGS:
        os.environ.pop(name, None)
    engine = choose_engine(options.engine)
    text = [
        "# Benchmarks\n",
        f"Written by `make bench`{', quickly: the numbers mean little' * options.quick}. "
        f"Engine: {engine}. {', '.join(CPU_SETTINGS)} are unset.\n",
        report.machine(engine),
    ]
    for name in TABLES:
        if name in options.tables:
            print(f"{name} …", flush=True)
            text.append(MAKE[name](options, engine))
            print(text[-1], flush=True)
    options.output.write_text("\n".join(text), encoding="utf-8")
    print(f"written to {options.output}")


def _sizes(options: argparse.Namespace, engine: EngineName) -> str:
    contenders = [own(engine), *(peer for peer in PEERS if peer.module in options.peers)]
    results = []
    for name in options.cases:
        found = measure(CASES[name], contenders, options.rounds, options.seconds)
        results.append((CASES[name], found))
        shown = ", ".join(
            f"{contender.title} {m.missing or f'{m.step * 1e6:.3g} µs'}"
            for contender, m in zip(contenders, found, strict=True)
        )
        print(f"{name}: {shown}", flush=True)
    return report.sizes(contenders, results)


def _scale(options: argparse.Namespace, engine: EngineName) -> str:
    kept = 1 if options.quick else None
    widths = []
    for width in WIDTHS[:kept]:
        case = of_width(width)
        widths.append((case, measure(case, [own(engine)], 3, options.seconds)[0]))
    return report.scale(engine, measure_rows(ROWS[:kept], engine), widths)


def _command(options: argparse.Namespace, engine: EngineName) -> str:
    """Cold runs, then warm ones in turn, each in the folder of its cold one."""
    runners: dict[str, Callable[[Path], Timed]] = {OWN: time_train}
    if options.peers and find_spec("torch"):
        runners["torch and `mlflow.log_metrics`"] = time_torch
    with fresh_folder() as folder:
        folders = {title: folder / str(i) for i, title in enumerate(runners)}
        for place in folders.values():
            place.mkdir()
        cold = {title: run(folders[title]) for title, run in runners.items()}
        rounds = range(min(options.rounds, 3))
        warm = [{title: run(folders[title]) for title, run in runners.items()} for _ in rounds]
        again = [time_known(folder / "0") for _ in rounds]
    rows = []
    for title in runners:
        rows.append((f"{title}, cold", [cold[title]]))
        rows.append((f"{title}, warm", [timed[title] for timed in warm]))
    rows.insert(2, (f"{OWN}, trained before", again))
    return report.command(rows)


MAKE = {"sizes": _sizes, "scale": _scale, "command": _command}


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="Run the benchmarks.")
    modules = [peer.module for peer in PEERS]
    parser.add_argument("--engine", choices=get_args(EngineName), default="auto")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--peers", nargs="*", choices=modules, default=modules)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the first table")
    parser.add_argument("--seconds", type=float, default=0.25, help="of a contender in a round")
    parser.add_argument("--quick", action="store_true", help="see that it works, in seconds")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 0.01
    return options


if __name__ == "__main__":
    main()
