"""The trainings of a search for a learning rate, all from the start of one job."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from trainer.errors import DivergedError, InterruptedRun
from trainer.graph import Graph
from trainer.graph.ops import BATCH, LEAVES, Array
from trainer.network.memory import count_parameters
from trainer.numerics.statistics import rising
from trainer.runs.prepare import Prepared
from trainer.runs.profile import Profile
from trainer.runs.start import first_values
from trainer.spec.schema import Spec
from trainer.training import (
    Ended,
    EpochDone,
    Job,
    StepsDone,
    Stop,
    compile_kernels,
    make_job,
    run_job,
)
from trainer.training.range_test import RangeTest, before_rise, smooth
from trainer.training.rates import LearningRates, Rates
from trainer.training.schedule import rates_at
from trainer.training.trials import Trial, Trials, next_rates

TRIAL_SECONDS: Final = 4.0
"""What a trial may take node by node, estimated; compiled it is a fraction of that."""
EPOCH_SECONDS: Final = 40.0
"""What an epoch may take for there to be trials at all."""
NODE_SECONDS: Final = 2e-6
NUMBER_SECONDS: Final = 1e-9
"""Of a node, and of one number of its result."""
PRODUCT_SECONDS: Final = 3e-10
"""Of a parameter and a row: its product, and the two of the gradients."""
USUAL: Final = 8
"""Trials of a search, about; of those that compile or not it decides."""
USUAL_FALL: Final = (0.001, 0.1)
"""Where rates are tried if the curve tells nothing."""


@dataclass(frozen=True)
class Course:
    """Where all trainings of a search begin: a job that is never trained itself.

    A trial has `epochs`, 0 where there are to be none; `spec` is the one whose rate is looked for,
    and `stop` is asked between calls of the engine.
    """

    job: Job
    spec: Spec
    epochs: int
    stop: Stop

    @property
    def judged_by(self) -> str:
        """The loss by which trials are judged: of validation rows, where they are there."""
        return "train_loss" if self.job.dataset.validation is None else "val_loss"

    def fresh(self, epochs: int, rates: LearningRates) -> Job:
        """The job at its start, with other rates and so many epochs."""
        spec = self.job.spec.changed({"sgd.epochs": epochs})
        session = self.job.engine.load(self.job.state)
        given = Rates(spec.sgd, self.job.rates.rows, self.job.rates.batch_size, rates)
        return replace(self.job, spec=spec, session=session, rates=given)

    def check_stop(self, where: str) -> None:
        """Raises `InterruptedRun` where it is to stop."""
        if self.stop():
            raise InterruptedRun(f"interrupted {where}: nothing is recorded")


def course_of(prepared: Prepared, profile: Profile, epochs: int | None, stop: Stop) -> Course:
    """The beginning of a search, compiled where that pays for all of it. A trial has at most the
    epochs of the spec, and by default as many of them as are affordable.
    """
    spec, initial = first_values(prepared.spec, prepared.model, profile)
    each = affordable(prepared) if epochs is None else min(epochs, spec.sgd.epochs)
    plain = spec.changed({
        "sgd.epochs": max(1, each * USUAL), "sgd.schedule": "constant",
        "sgd.early_stopping": None,
    })  # fmt: skip
    untested = replace(prepared.dataset, test=None)
    job = make_job(
        plain, untested, prepared.model, profile.engine, profile.threads, initial=initial
    )
    compile_kernels(job)
    return Course(job, spec, each, stop)


def affordable(prepared: Prepared) -> int:
    """How many of the spec's epochs a trial may take, by sizes alone; 0 where one is too many."""
    products = count_parameters(prepared.model) * prepared.batch_size * PRODUCT_SECONDS
    step = _step_seconds(prepared.training, prepared.batch_size) + products
    epoch = step * prepared.steps_per_epoch
    if epoch > EPOCH_SECONDS:
        return 0
    return max(1, min(prepared.spec.sgd.epochs, int(TRIAL_SECONDS / epoch)))


def _step_seconds(graph: Graph, batch_size: int) -> float:
    """About how long a step takes node by node, beside the matrix products."""
    nodes = [node for node in graph if node.op not in LEAVES]
    numbers = sum(
        math.prod(batch_size if dim == BATCH else int(dim) for dim in node.shape) for node in nodes
    )
    return len(nodes) * NODE_SECONDS + numbers * NUMBER_SECONDS


# The curve --------------------------------------------------------------------------------------


def run_range_test(course: Course, lowest: float, highest: float, steps: int) -> RangeTest:
    """The losses without training, then those while the rate rises, until it is too large.

    Raises `InterruptedRun`, and `DivergedError` where the first loss is not finite.
    """
    rates = rising(lowest, highest, steps)
    epochs = -(-steps // course.job.steps_per_epoch)

    def risen(first: int, count: int) -> Array:
        return rates[np.minimum(np.arange(first - 1, first - 1 + count), steps - 1)]

    def nothing(first: int, count: int) -> Array:
        return np.zeros(count)

    def is_long(found: Array) -> bool:
        return len(found) >= steps

    def is_over(found: Array) -> bool:
        return is_long(found) or before_rise(smooth(found, still[: len(found)])) < len(found)

    still, reason = _losses(course, course.fresh(epochs, nothing), is_long)
    if reason:
        raise DivergedError(reason)
    losses, reason = _losses(course, course.fresh(epochs, risen), is_over)
    return RangeTest.of(rates, losses, still, diverged=bool(reason))


def _losses(course: Course, job: Job, is_over: Callable[[Array], bool]) -> tuple[Array, str]:
    """The losses of the steps until it is over, and why it diverged, "" if it did not."""
    found: list[Array] = []

    def so_far() -> Array:
        return np.concatenate(found) if found else np.empty(0)

    for event in run_job(job, lambda: course.stop() or (bool(found) and is_over(so_far()))):
        if isinstance(event, StepsDone):
            found.append(event.steps.losses)
        elif isinstance(event, Ended) and event.status == "DIVERGED":
            return so_far(), event.reason
    course.check_stop(f"after {len(so_far())} steps")
    return so_far(), ""


# The trials -------------------------------------------------------------------------------------


def run_trials(
    course: Course, test: RangeTest, bounds: tuple[float, float],
    told: Callable[[int, Trial], None],
) -> Trials:  # fmt: skip
    """Trains at rates of the fall of the curve, until the best has others on both sides. Raises
    `InterruptedRun`.
    """
    done: dict[float, float] = {}
    start = math.inf
    while rates := next_rates(done, test.fall or USUAL_FALL, bounds):
        for rate in rates:
            start, done[rate] = train_at(course, rate)
            told(course.epochs, Trial(rate, done[rate]))
            if math.isinf(done[rate]):
                break  # and what is larger would diverge as well
    trials = tuple(Trial(rate, done[rate]) for rate in sorted(done))
    return Trials(course.epochs, course.spec.sgd.epochs, course.judged_by, start, bounds, trials)


def train_at(course: Course, rate: float) -> tuple[float, float]:
    """The loss before a training at this rate, and the one that its run would keep: that of its
    end, or of its best epoch if the spec keeps that; infinite where it diverges.
    """
    job = course.fresh(course.epochs, _schedule(course, rate))
    losses: list[float] = []
    for event in run_job(job, course.stop):
        if isinstance(event, EpochDone):
            losses.append(event.metrics.get(course.judged_by, math.inf))
        elif isinstance(event, Ended) and event.status == "DIVERGED":
            losses.append(math.inf)
    course.check_stop(f"in the trial at {rate:g}")
    stopping = course.spec.sgd.early_stopping
    restores = stopping is not None and stopping.restore_best
    return losses[0], min(losses[1:], default=math.inf) if restores else losses[-1]


def _schedule(course: Course, rate: float) -> LearningRates:
    """The spec's schedule at another rate, gone through in the epochs of a trial."""
    sgd = course.spec.changed({"sgd.learning_rate": rate}).sgd
    steps_per_epoch, pace = course.job.steps_per_epoch, sgd.epochs / course.epochs

    def rates(first: int, count: int) -> Array:
        steps = 1 + np.arange(first - 1, first - 1 + count) * pace
        return rates_at(sgd, steps_per_epoch, steps)

    return rates
