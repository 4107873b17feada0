"""How soon a training is as good as another one ends: its test score after each epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.tabular import Judge, Split
from trainer.runs.prepare import prepare
from trainer.training import EpochDone, compile_kernels, make_job, run_job


@dataclass(frozen=True)
class Lap:
    """Seconds until a score was reached, and the epochs; where it never was, those of all."""

    seconds: float
    epochs: int
    reached: bool


@dataclass(frozen=True)
class Climb:
    """The seconds and epochs after which the test score was higher than ever before, and that
    score; last the seconds and epochs of the whole training.
    """

    seconds: list[float]
    epochs: list[int]
    scores: list[float]
    whole: tuple[float, int]

    def lap(self, target: float) -> Lap:
        """How long it took until the score was the target at least."""
        for seconds, epochs, score in zip(self.seconds, self.epochs, self.scores, strict=True):
            if score >= target:
                return Lap(seconds, epochs, True)
        return Lap(*self.whole, False)


def climb(given: Split) -> Climb:
    """Trains our spec on one thread. The clock runs from the encoded rows on, as that of
    scikit-learn's `fit` does, and stands while the score is measured.
    """
    prepared = prepare(given.spec)
    judge = Judge(given, prepared.dataset.preprocessing)
    found, passed, since = Climb([], [], [], (0.0, 0)), 0.0, time.perf_counter()
    job = make_job(prepared.spec, prepared.dataset, prepared.model, threads=1)
    compile_kernels(job)
    for event in run_job(job):
        passed += time.perf_counter() - since
        if isinstance(event, EpochDone):
            score, _ = judge.score(job.parameters)
            if not found.scores or score > found.scores[-1]:
                found.seconds.append(passed)
                found.epochs.append(event.epoch)
                found.scores.append(score)
        since = time.perf_counter()
    return Climb(found.seconds, found.epochs, found.scores, (passed, prepared.spec.sgd.epochs))
