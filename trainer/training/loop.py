"""The training loop: it yields events and knows nothing of who listens.

No file, terminal or tracking server appears here. Whoever drives the loop takes the events one
by one and may stop it between any two steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from trainer.data import AnyPart, rows_at_a_time
from trainer.graph.ops import Array
from trainer.metrics import Classes
from trainer.metrics.threshold import choose_cut, threshold_of, value_of
from trainer.randomness import stream
from trainer.spec.evaluation import EVEN
from trainer.training.diagnose import diagnose
from trainer.training.events import Ended, EpochDone, LoopEvent, StepsDone, Stop, never
from trainer.training.job import Job
from trainer.training.masks import draw_masks, mask_bytes
from trainer.training.record import EpochRecord
from trainer.training.result import Status

GATHERED: Final = 2**21  # bytes of rows at a time


def compile_kernels(job: Job, until: int | None = None) -> None:
    """Lets the engine compile what it needs for the steps to come, to the end or `until` an epoch
    is done.
    """
    now, epochs = job.progress, job.spec.sgd.epochs
    left = min(epochs, epochs if until is None else until) - max(now.epoch - 1, 0)
    job.engine.prepare(max(left, 0) * job.steps_per_epoch)


def run_job(job: Job, stop: Stop = never, pause_after: int | None = None) -> Iterator[LoopEvent]:
    """Trains on from `job.progress`, and yields what happens; the last event is `Ended`.

    Ends with status PAUSED once so many epochs are done and the training is not over: its summary
    has the metrics of the parameters that it would keep if it ended there, as they were measured.
    Ends early with status KILLED when `stop()` says so (asked before every call of the engine),
    and DIVERGED at the first step whose loss or gradient norm is not finite. Such a step changes
    nothing. Whenever an event is yielded, `job.state` and `job.progress` belong together: saved,
    and restored in a new job, they lead to the same bits.
    """
    now = job.progress
    now.paused = False
    try:
        if now.epoch == 0:
            now.measured = _evaluate(job, _measured_parts(job), stop)
            now.best.see(0, now.measured, job)
            now.epoch = 1
            yield EpochDone(0, 0, now.measured, {})
        while not job.ended:
            if pause_after is not None and now.epoch > pause_after:
                raise _StoppedError("PAUSED")
            for arrays, first, last in _calls(job, now.epoch, now.done):
                if stop():
                    raise _StoppedError("KILLED")
                rates = job.rates.at(now.step + 1, last - first)
                steps, predictions = job.session.train(arrays, rates, job.batch_size, first, last)
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
                    reason = diagnose(job, [rows], where, training=True)
                    raise _StoppedError("DIVERGED", reason)
            yield _end_epoch(job, stop)
        end = _ended(job, "FINISHED", _measure_kept(job, stop), _early(job))
    except _StoppedError as stopped:
        if stopped.status == "DIVERGED":
            end = _diverged(job, stopped.reason)
        elif stopped.status == "PAUSED":
            now.paused = True
            end = _ended(job, "PAUSED", now.best.kept(now.measured))
        else:
            end = _ended(job, stopped.status, {})
    yield end


def _ended(job: Job, status: Status, measured: Mapping[str, float], reason: str = "") -> Ended:
    now = job.progress
    summary = {**now.best.summary(), **measured}
    return Ended(status, max(now.epoch - 1, 0), now.step, summary, reason)


def _end_epoch(job: Job, stop: Stop) -> EpochDone:
    """What was measured of an epoch whose steps are done; the job stands at the next one then.

    Raises `_StoppedError` where nothing can be said of what early stopping watches.
    """
    now = job.progress
    measured = _evaluate(job, {"val": job.dataset.validation}, stop)
    metrics = _finite(now.record.metrics()) | measured
    if job.spec.sgd.early_stopping is not None and now.best.watched not in metrics:
        reason = f"{now.best.watched}, which early stopping watches, is no finite number"
        raise _StoppedError("DIVERGED", f"{reason} after epoch {now.epoch}")
    now.best.see(now.epoch, metrics, job)
    done = EpochDone(now.epoch, now.step, metrics, now.record.parameter_norms())
    now.epoch, now.done, now.record, now.measured = now.epoch + 1, 0, EpochRecord(job), metrics
    return done


def _measured_parts(job: Job) -> dict[str, AnyPart | None]:
    """The rows that each epoch tells of."""
    return {"train": job.dataset.train, "val": job.dataset.validation}


def _measure_kept(job: Job, stop: Stop) -> dict[str, float]:
    """What is known at the end: the metrics of the parameters that are kept.

    Where the last step left others, or a threshold is chosen, those on the training and validation
    rows too, in place of the last epoch's, which are then called `last_…`.
    """
    evaluation = job.spec.evaluation
    if evaluation.chooses:
        job.cut = _choose_cut(job, stop)
    others = job.keeps_others or evaluation.chooses
    kept = _evaluate(job, _measured_parts(job) if others else {}, stop)
    before = job.progress.measured
    last = {f"last_{name}": before[name] for name in kept if name in before}
    tested = _evaluate(job, {"test": job.dataset.test}, stop)
    if evaluation.threshold != EVEN:
        tested["threshold"] = threshold_of(job.cut)
    return kept | last | tested | _measure_trivial(job)


def _choose_cut(job: Job, stop: Stop) -> float:
    """The cut between two classes that the spec asks for, by the validation rows; 0 where these are
    of one class. Raises `_StoppedError`.
    """
    part, size = job.dataset.validation, job.spec.evaluation.batch_size
    assert part is not None
    classes = Classes(job.dataset.outputs)
    margins, right, weights = [], [], []
    span = min(size * job.engine.batches_per_call, rows_at_a_time(part, size, GATHERED))
    for start in range(0, len(part), span):
        if stop():
            raise _StoppedError("KILLED")
        rows = part.span(start, start + span)
        _, logits = job.session.predict(rows, size, job.evaluated)
        margins.append(classes.margins(logits).copy())
        right.append(classes.right(rows["y"])[:, 0].astype(bool))
        if job.weighs_scores:
            weights.append(rows["weight"][:, 0].copy())
    weight = np.concatenate(weights) if weights else None
    value = value_of(job.spec.evaluation.threshold)
    found = choose_cut(np.concatenate(margins), np.concatenate(right), value, weight)
    return 0.0 if found is None else found


def _measure_trivial(job: Job) -> dict[str, float]:
    """What the trivial result gives on the validation and test rows, by `trivial_…`; where there
    are none, on the training rows.
    """
    data = job.dataset
    found: dict[str, float] = {}
    parts: dict[str, AnyPart | None] = {"val": data.validation, "test": data.test}
    if data.validation is None and data.test is None:
        parts = {"train": data.train}
    for name, part in parts.items():
        if part is not None:
            scores = job.scores(every=name == "test", more=name == "val", cut=0.0)
            with np.errstate(all="ignore"):  # what overflows is left out
                values = job.trivial.measure(job.spec.model, part, scores, job.weighs_scores)
            found |= {f"trivial_{name}_{metric}": value for metric, value in values.items()}
    return _finite(found)


def _diverged(job: Job, reason: str) -> Ended:
    """The end of a training that diverged: the best epoch's parameters are its result, where they
    are better than those of the start.
    """
    now = job.progress
    now.diverged = True
    measured: Mapping[str, float] = {}
    try:
        if now.best.learned:
            measured = _measure_kept(job, never)
            now.best.confirm(measured)
    except _StoppedError:  # nor are these of use
        now.best.parameters = {}
    if not now.best.learned:
        told = "\n  no epoch was better than the start" if now.epoch > 1 else ""
        return _ended(job, "DIVERGED", {}, reason + told)
    best = f"{now.best.watched} {now.best.value:.5g}"
    told = f"best was epoch {now.best.epoch} ({best}), whose parameters are kept"
    return _ended(job, "DIVERGED", measured, f"{reason}\n  {told}")


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
    size, parameters = job.spec.evaluation.batch_size, job.evaluated
    for name, part in parts.items():
        if part is None:
            continue
        span = min(size * job.engine.batches_per_call, rows_at_a_time(part, size, GATHERED))
        total, scores = 0.0, job.scores(every=name == "test", more=name == "val")
        for start in range(0, len(part), span):
            if stop():
                raise _StoppedError("KILLED")
            rows = part.span(start, start + span)
            total, prediction = job.session.predict(rows, size, parameters, total)
            scores.add(prediction, rows["y"], rows.get("weight") if job.weighs_scores else None)
        if not math.isfinite(total):
            where = f"on the {_PART[name]} rows (epoch {job.progress.epoch})"
            batches = (part.span(start, start + size) for start in range(0, len(part), size))
            raise _StoppedError("DIVERGED", diagnose(job, batches, where, training=False))
        metrics[f"{name}_loss"] = total / len(part)
        metrics |= {f"{name}_{score}": value for score, value in scores.values().items()}
    return _finite(metrics)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without the values that overflowed: nobody can chart, compare or write them as JSON."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


_PART: Final = {"train": "training", "val": "validation", "test": "test"}
