"""The training loop: it yields events and knows nothing of who listens.

No file, terminal or tracking server appears here. Whoever drives the loop takes the events one
by one and may stop it between any two steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from trainer.data import AnyPart, rows_at_a_time
from trainer.graph.ops import Array
from trainer.randomness import stream
from trainer.training.diagnose import diagnose
from trainer.training.events import Ended, EpochDone, LoopEvent, StepsDone, Stop, never
from trainer.training.job import EpochRecord, Job
from trainer.training.masks import draw_masks, mask_bytes
from trainer.training.result import Status

GATHERED: Final = 2**21  # bytes of rows at a time


def compile_kernels(job: Job) -> None:
    """Lets the engine compile what it needs for the job's rows, before the first step."""
    rows = job.dataset.train.span(0, 1)
    job.engine.prepare(job.state, rows | draw_masks(job.masks, job.spec.seed, 0, 0, 1))


def run_job(job: Job, stop: Stop = never) -> Iterator[LoopEvent]:
    """Trains on from `job.progress`, and yields what happens; the last event is `Ended`.

    Ends early with status KILLED when `stop()` says so (asked before every call of the engine),
    and DIVERGED at the first step whose loss or gradient norm is not finite. Such a step changes
    nothing. Whenever an event is yielded, `job.state` and `job.progress` belong together: saved,
    and restored in a new job, they lead to the same bits.
    """
    data, now = job.dataset, job.progress

    def ended(status: Status, reason: str = "") -> Ended:
        return Ended(status, max(now.epoch - 1, 0), now.step, now.best.summary() | tested, reason)

    tested: dict[str, float] = {}

    try:
        if now.epoch == 0:
            metrics = _evaluate(job, {"train": data.train, "val": data.validation}, stop)
            now.best.see(0, metrics, job)
            now.epoch = 1
            yield EpochDone(0, 0, metrics, {})
        while not job.ended:
            for arrays, first, last in _calls(job, now.epoch, now.done):
                if stop():
                    yield ended("KILLED")
                    return
                rates = job.rates.at(now.step + 1, last - first)
                steps, predictions = job.engine.train(
                    job.state, arrays, rates, job.batch_size, first, last
                )
                begin, count = first * job.batch_size, len(steps.losses)
                if count:
                    now.record.add(steps, predictions, _slice(arrays, begin, begin + steps.rows))
                    now.done += count
                    now.step += count
                    yield StepsDone(now.epoch, now.step - count + 1, steps)
                if steps.diverged:
                    begin += count * job.batch_size
                    where = f"at step {now.step + 1} (epoch {now.epoch})"
                    rows = _slice(arrays, begin, begin + job.batch_size)
                    yield ended("DIVERGED", diagnose(job, [rows], where, training=True))
                    return
            yield _end_epoch(job, stop)
        tested = _evaluate(job, {"test": data.test}, stop)
    except _StoppedError as end:
        yield ended(end.status, end.reason)
        return
    yield ended("FINISHED", _early(job))


def _end_epoch(job: Job, stop: Stop) -> EpochDone:
    """What was measured of an epoch whose steps are done; the job stands at the next one then."""
    now = job.progress
    measured = _evaluate(job, {"val": job.dataset.validation}, stop)
    metrics = _finite(now.record.metrics()) | measured
    now.best.see(now.epoch, metrics, job)
    done = EpochDone(now.epoch, now.step, metrics, now.record.parameter_norms())
    now.epoch, now.done, now.record = now.epoch + 1, 0, EpochRecord(job)
    return done


def _early(job: Job) -> str:
    """Why a training ended before all its epochs were done."""
    now = job.progress
    if now.epoch > job.spec.sgd.epochs:
        return ""
    told = f"stopped after epoch {now.epoch - 1}: none was better than epoch {now.best.epoch}"
    return f"{told}, whose parameters are the result" if now.best.restored else told


def _calls(job: Job, epoch: int, done: int = 0) -> Iterator[tuple[Mapping[str, Array], int, int]]:
    """The training rows in the epoch's order, some megabytes at a time, with what is drawn for
    them, and which steps of them to run: the first and the last.

    So the rows are in memory once, and those that train are in the cache then. The first
    `done` steps of the epoch are left out; where calls end does not depend on it. The arrays are
    overwritten when the next rows are gathered.
    """
    train, size, masks = job.dataset.train, job.batch_size, job.masks
    rows = min(rows_at_a_time(train, size, GATHERED, mask_bytes(masks)), len(train))
    order = stream(job.spec.seed, "order", epoch)
    for start, gathered in train.shuffled(order, rows, done * size):
        before, count = start // size, len(gathered["x"])
        arrays = gathered | draw_masks(masks, job.spec.seed, epoch, start, count)
        steps = -(-count // size)
        for first in range(0, steps, job.engine.steps_per_call):
            last = min(first + job.engine.steps_per_call, steps)
            if before + last > done:
                yield arrays, max(first, done - before), last


def _slice(arrays: Mapping[str, Array], start: int, stop: int) -> dict[str, Array]:
    return {name: array[start:stop] for name, array in arrays.items()}


class _StoppedError(Exception):
    """An evaluation that did not come to its end."""

    def __init__(self, status: Status, reason: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def _evaluate(job: Job, parts: Mapping[str, AnyPart | None], stop: Stop) -> dict[str, float]:
    """Loss and scores of each part that is there.

    Raises `_StoppedError` when `stop()` says so, or for a loss that is not finite, with the reason.
    """
    metrics: dict[str, float] = {}
    size, state = job.spec.evaluation.batch_size, job.evaluated
    for name, part in parts.items():
        if part is None:
            continue
        span = min(size * job.engine.batches_per_call, rows_at_a_time(part, size, GATHERED))
        total, scores = 0.0, job.scores(every=name == "test", more=name == "val")
        for start in range(0, len(part), span):
            if stop():
                raise _StoppedError("KILLED")
            rows = part.span(start, start + span)
            loss, prediction = job.engine.predict(state, rows, size)
            total += loss
            scores.add(prediction, rows["y"], rows.get("weight") if job.weighs_scores else None)
        if not math.isfinite(total):
            where = f"on the {_PART[name]} rows"
            batches = (part.span(start, start + size) for start in range(0, len(part), size))
            raise _StoppedError("DIVERGED", diagnose(job, batches, where, training=False))
        metrics[f"{name}_loss"] = total / len(part)
        metrics |= {f"{name}_{score}": value for score, value in scores.values().items()}
    return _finite(metrics)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without the values that overflowed: nobody can chart, compare or write them as JSON."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


_PART: Final = {"train": "training", "val": "validation", "test": "test"}
