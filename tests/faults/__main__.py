"""Runs the campaigns, whole or as samples, and prints what survived; exits with 1 for a loss."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import (
    cells,
    damage,
    outputs,
    pairs,
    runs,
    saves,
    server,
    service,
    specs,
    sweeps,
    tables,
    trusted,
)
from .runs import can_mount
from .tally import Tally

CAMPAIGNS: Final = (
    "truncations", "flips", "failures", "loads", "kills", "full", "runs", "recorder", "training",
    "disk", "server", "specs", "cells", "tables", "outputs", "trusted",
    "sweeps", "cluster", "service", "postgres", "service-cluster", "service-disk",
    "service-clock", "api",
)  # fmt: skip
SAMPLE: Final = 37
"""A sample takes one case of so many."""
KILLS_OF_A_RUN: Final = 10


@dataclass(frozen=True)
class Size:
    """How much is done: one case of `every`, so many kills of runs, so many mutated configs."""

    every: int
    kills: int
    mutations: int


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=", ".join(CAMPAIGNS))
    parser.add_argument("--sample", action="store_true", help="a small part of the cases")
    parser.add_argument("--kills", type=int, help="kills of whole runs, ten a run")
    parser.add_argument("--mutations", type=int, help="mutated configs")
    options = parser.parse_args(arguments)
    unknown = set(options.campaigns) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"no campaign {', '.join(sorted(unknown))}")
    usual = Size(SAMPLE, 3, 300) if options.sample else Size(1, 200, 100_000)
    size = Size(usual.every, options.kills or usual.kills, options.mutations or usual.mutations)
    lost = []
    print(f"{'campaign':32}{'cases':>8}{'survived':>10}{'lost':>6}{'seconds':>9}")
    for name in options.campaigns or CAMPAIGNS:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            for tally in ALL[name](Path(folder), size):
                seconds, began = time.monotonic() - began, time.monotonic()
                row = f"{tally.campaign:32}{tally.cases:8}{tally.survived:10}"
                print(f"{row}{len(tally.lost):6}{seconds:9.1f}", *tally.notes, flush=True)
                lost += [f"{tally.campaign}: {text}" for text in tally.lost]
    print(*lost[:50], sep="\n", end="\n" if lost else "")
    return 1 if lost else 0


def _runs(folder: Path, size: Size) -> Iterator[Tally]:
    """Half of the kills on each engine, some of them within each run."""
    template = _template(folder)
    os.environ["TRAINER_CACHE"] = str(folder / "kernels")
    for engine in ("reference", "compiled"):
        total = Tally(f"kills of a run, {engine}")
        left, seed = size.kills // 2, 0
        while left > 0:
            seed += 1
            tally = runs.kills(folder, template, engine, min(left, KILLS_OF_A_RUN), seed)
            total.cases += tally.cases
            total.lost += tally.lost
            left -= tally.cases
        total.notes.append(f"in {seed} runs")
        yield total


def _pair(folder: Path, size: Size, campaign: Callable[..., Tally]) -> Iterator[Tally]:
    """A quarter of the kills of runs, since each is a run of its own."""
    tally = campaign(folder, _template(folder), max(3, size.kills // 4))
    tally.notes.append(f"{tally.missed} too late")
    yield tally


def _server(folder: Path, size: Size) -> Iterator[Tally]:
    """Runs on a real server behind a proxy that meddles."""
    tally = Tally("a server that fails")
    for kind, whole in server.campaign(folder, max(1, size.kills // 10)):
        tally.case(kind, None if whole else "the server has not every point once")
    yield tally


def _disk(folder: Path, size: Size) -> Iterator[Tally]:
    template, place = _template(folder), folder / "disk"
    runs.new_store(place, template)
    before = Path.cwd()
    os.chdir(place)
    try:
        yield runs.disk_full(place, list(range(0, 10_000, 5000 if size.every > 1 else 500)))
    finally:
        os.chdir(before)
    if runs.can_mount():
        rooms = [80] if size.every > 1 else [0, 20, 40, 80, 120, 160]
        yield runs.small_disk(folder, template, rooms)


def _api(folder: Path, size: Size) -> Iterator[Tally]:
    """Requests to the service; what makes them is imported for these alone."""
    from . import api

    yield api.campaign(folder, 300 if size.every > 1 else 10_000)


def _template(folder: Path) -> Path:
    """A new MLflow database: made once and copied, since that takes seconds."""
    from mlflow import MlflowClient

    path = folder / "template.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


ALL: Final[dict[str, Callable[[Path, Size], Iterator[Tally]]]] = {
    "truncations": lambda folder, size: iter([damage.truncations(folder, size.every)]),
    "flips": lambda folder, size: iter([damage.flips(folder, size.every)]),
    "failures": lambda folder, size: iter([saves.failures(folder, min(size.every, 3))]),
    "loads": lambda folder, _: iter([saves.failing_loads(folder)]),
    "kills": lambda folder, size: iter([saves.kills(folder, min(size.every, 3))]),
    "full": lambda folder, size: iter([saves.full_disks(folder, size.every)]),
    "runs": _runs,
    "recorder": lambda folder, size: _pair(folder, size, pairs.recorder),
    "training": lambda folder, size: _pair(folder, size, pairs.training),
    "disk": _disk,
    "server": _server,
    "specs": lambda folder, size: iter([specs.mutations(folder, size.mutations)]),
    "cells": lambda folder, size: iter([cells.campaign(folder, 2 if size.every > 1 else 300)]),
    "tables": lambda folder, size: iter([tables.campaign(folder, 1 if size.every > 1 else 300)]),
    "outputs": lambda folder, size: iter(
        [
            outputs.files(folder, size.every),
            outputs.streams(folder, size.every),
        ]
    ),
    "trusted": lambda folder, size: trusted.campaign(folder, size.every),
    "sweeps": lambda folder, size: iter([sweeps.kills(folder, max(3, size.kills // 4))]),
    "service": lambda folder, size: iter([service.kills(folder, max(3, size.kills // 2))]),
    "postgres": lambda folder, size: iter([service.on_postgres(folder, max(3, size.kills // 4))]),
    "service-clock": lambda folder, size: iter(
        [service.with_a_moved_clock(folder, max(3, size.kills // 8))]
    ),
    "service-cluster": lambda folder, size: iter(
        [service.on_a_cluster(folder, max(3, size.kills // 4))]
    ),
    "service-disk": lambda folder, _: iter([service.full_disk(folder)] if can_mount() else []),
    "api": _api,
    "cluster": lambda folder, size: iter([sweeps.on_a_cluster(folder, max(2, size.kills // 20))]),
}

if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    sys.exit(main())
