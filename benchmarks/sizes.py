"""What a step of SGD costs, here and elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from benchmarks.cases import Case
from benchmarks.peers import Contender
from benchmarks.worker import Worker, WorkerError
from trainer.graph.ops import Array

SETTLE_SECONDS = 0.25  # threads that wait for more work spin: OpenBLAS for 2²⁶ cycles, OpenMP too


@dataclass
class Measured:
    """What one contender did on one case.

    `difference` holds the largest relative ones of its losses and of its norms from the first
    contender's; `peak` is in bytes; `missing` says why there are no numbers.
    """

    rounds: list[float] = field(default_factory=list)
    difference: tuple[float, float] = (0.0, 0.0)
    peak: int = 0
    missing: str = ""

    @property
    def step(self) -> float:
        """Seconds a step: the median of the rounds."""
        return median(self.rounds)


def measure(
    case: Case, contenders: Sequence[Contender], rounds: int, seconds: float
) -> list[Measured]:
    """What each contender did. The first is this project; all must have its losses and norms,
    else this raises `AssertionError`. In each round everyone runs in turn for some seconds.
    """
    found = [Measured() for _ in contenders]
    workers = [Worker(contender, case) for contender in contenders]  # they set up side by side
    try:
        records = []
        for worker, result in zip(workers, found, strict=True):
            try:
                worker.answer()
            except WorkerError as error:
                result.missing = str(error)
        if found[0].missing:
            raise WorkerError(f"{contenders[0].title}: {found[0].missing}")
        running = [pair for pair in zip(workers, found, strict=True) if not pair[1].missing]
        for worker, result in running:
            try:
                records.append(worker("record", max(case.checked, 1)))
                if case.checked:
                    losses, norms = map(largest_difference, records[-1], records[0])
                    result.difference = losses, norms
            except WorkerError as error:
                result.missing = str(error)
        running = [pair for pair in running if not pair[1].missing]
        for _ in range(rounds):
            for worker, result in running:
                time.sleep(SETTLE_SECONDS)
                result.rounds.append(worker("cost", seconds))
        for worker, result in running:
            result.peak = worker("peak")
    finally:
        for worker in workers:
            worker.end()
    for contender, result in zip(contenders, found, strict=True):
        for what, far, most in zip(
            ("loss", "norm"), result.difference, case.tolerance, strict=True
        ):
            assert far <= most, f"{case.name}: {contender.title} differs in a {what} by {far:.1e}"
    return found


def largest_difference(values: Array, right: Array) -> float:
    """The largest relative difference, 0 without values. One value an epoch is their mean."""
    if not len(values):
        return 0.0
    means = right.astype(np.float64).reshape(len(values), -1).mean(axis=1)
    return float(np.max(np.abs(values - means) / np.abs(means)))
