"""The training loop: it yields events and knows nothing of who listens.

No file, terminal or tracking server appears here. Whoever drives the loop takes the events one
by one and may stop it between any two steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from trainer.data import Dataset, Part
from trainer.engine import Engine, EngineName, Steps, make_engine
from trainer.errors import CheckpointError
from trainer.graph import Graph
from trainer.graph.initialisers import initial_parameters
from trainer.graph.ops import Array, show_shape
from trainer.randomness import stream
from trainer.result import Status
from trainer.spec.schema import Spec
from trainer.training.checkpoint import Checkpoint
from trainer.training.diagnose import diagnose
from trainer.training.metrics import score_for
from trainer.training.sgd import training_graph

GATHERED: Final = 2**21  # bytes of rows at a time


@dataclass(frozen=True)
class StepsDone:
    """Some SGD steps are done. `first` is the number of the first of them, counted from 1."""

    epoch: int
    first: int
    steps: Steps


@dataclass(frozen=True)
class EpochDone:
    """An epoch is done; epoch 0 is the state before training.

    `metrics` holds what MLflow shows by epoch: `train_*` are means over the epoch's steps,
    weighted by rows (for epoch 0: over all training rows); `val_*` are measured after it;
    `grad_norm` is the mean over its steps. `parameter_norms` holds the mean gradient norm of
    each parameter, empty for epoch 0. `time` is when, in seconds since 1970.
    """

    epoch: int
    step: int
    metrics: Mapping[str, float]
    parameter_norms: Mapping[str, float]
    time: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True)
class Ended:
    """Training is over. `summary` holds what is known only now, such as `test_loss`."""

    status: Status
    epoch: int
    step: int
    summary: Mapping[str, float]
    reason: str = ""


Event: TypeAlias = StepsDone | EpochDone | Ended


@dataclass
class Progress:
    """Where a training stands between two calls of its engine.

    `epoch` is the one at hand, of which `done` steps are done; 0 before anything was measured,
    and one more than there are when all are done. `step` counts the steps of all epochs.
    `record` holds what the steps of this epoch add up to.
    """

    record: _EpochRecord
    epoch: int = 0
    done: int = 0
    step: int = 0
    best: _Best = field(default_factory=lambda: _Best())


@dataclass
class Job:
    """Everything that one training needs. `state` changes as it trains: parameters and velocity
    by name; `progress` says how far it is. `initial` keeps the parameters as they were drawn.
    """

    spec: Spec
    dataset: Dataset
    graph: Graph
    engine: Engine
    state: dict[str, Array]
    initial: dict[str, Array] = field(init=False)
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.initial = self.parameters
        self.progress = Progress(record=_EpochRecord(self))

    @property
    def parameters(self) -> dict[str, Array]:
        """A copy of the parameters as they are now."""
        return {node.name: self.state[node.name].copy() for node in self.graph.parameters}

    def snapshot(self) -> Checkpoint:
        """Where the training stands, between two events. The arrays are not copied."""
        now = self.progress
        arrays = {f"state/{name}": value for name, value in self.state.items()}
        arrays |= {f"score/{name}": value for name, value in now.record.score.state().items()}
        position = {
            "epoch": now.epoch,
            "done": now.done,
            "best_loss": now.best.loss,
            "best_epoch": now.best.epoch,
        }
        return Checkpoint(now.step, position, arrays, now.best.parameters, str(now.best.epoch))

    def restore(self, checkpoint: Checkpoint, events: Iterable[Event]) -> None:
        """Goes on where a snapshot was taken; `events` are those that led there.

        Raises `CheckpointError` where its arrays are not those of this job.
        """
        at, now = checkpoint.position, self.progress
        for name, value in self.state.items():
            kept = checkpoint.arrays.get(f"state/{name}")
            if kept is None or (kept.shape, kept.dtype) != (value.shape, value.dtype):
                found = "nothing" if kept is None else f"{kept.dtype} of {show_shape(kept.shape)}"
                expected = f"{value.dtype} of {show_shape(value.shape)}"
                raise CheckpointError(
                    f"the checkpoint does not fit the spec: expected '{name}' to be {expected}, "
                    f"found {found}"
                )
            self.state[name] = kept.copy()
        now.epoch, now.done, now.step = at["epoch"], at["done"], checkpoint.step
        now.best.loss, now.best.epoch = at["best_loss"], at["best_epoch"]
        now.best.parameters = dict(checkpoint.best)
        score = {
            name.removeprefix("score/"): value.copy()
            for name, value in checkpoint.arrays.items()
            if name.startswith("score/")
        }
        now.record.restore(
            score,
            [e.steps for e in events if isinstance(e, StepsDone) and e.epoch == now.epoch],
        )

    @property
    def batch_size(self) -> int:
        """Rows in a full batch."""
        return full_batch(self.spec, self.dataset)

    @property
    def steps_per_epoch(self) -> int:
        """SGD steps an epoch; the last may have fewer rows."""
        return -(-len(self.dataset.train) // self.batch_size)


def full_batch(spec: Spec, dataset: Dataset) -> int:
    """Rows in a full batch: the spec's, or all training rows."""
    size = spec.sgd.batch_size
    return len(dataset.train) if size == "full" else int(size)


def make_job(
    spec: Spec,
    dataset: Dataset,
    model: Graph,
    engine: EngineName = "auto",
    threads: int | None = None,
) -> Job:
    """The job at its start: the training graph, the engine, parameters drawn from the seed."""
    graph = training_graph(model, spec.sgd)
    state = initial_parameters(graph, spec.seed)
    for node in graph.leaves("state"):
        state[node.name] = np.zeros(state[node.name.removeprefix("velocity/")].shape, node.dtype)
    batch_size = full_batch(spec, dataset)
    steps = spec.sgd.epochs * -(-len(dataset.train) // batch_size)
    rows = spec.evaluation.batch_size
    made = make_engine(graph, engine, batch_size, steps, rows, threads)
    return Job(spec, dataset, graph, made, state)


def _never() -> bool:
    return False


def run_job(job: Job, stop: Callable[[], bool] = _never) -> Iterator[Event]:
    """Trains on from `job.progress`, and yields what happens; the last event is `Ended`.

    Ends early with status KILLED when `stop()` says so (asked before every call of the engine),
    and DIVERGED at the first step whose loss or gradient norm is not finite. Such a step changes
    nothing. Whenever an event is yielded, `job.state` and `job.progress` belong together: saved,
    and restored in a new job, they lead to the same bits.
    """
    spec, data, now = job.spec, job.dataset, job.progress

    def ended(status: Status, reason: str = "") -> Ended:
        return Ended(status, max(now.epoch - 1, 0), now.step, now.best.summary() | tested, reason)

    tested: dict[str, float] = {}

    try:
        if now.epoch == 0:
            metrics = _evaluate(job, {"train": data.train, "val": data.validation}, stop)
            now.best.see(0, metrics, job)
            now.epoch = 1
            yield EpochDone(0, 0, metrics, {})
        shuffled = _Shuffled(job)
        while now.epoch <= spec.sgd.epochs:
            for x, y, first, last in shuffled.calls(now.epoch, now.done):
                if stop():
                    yield ended("KILLED")
                    return
                rate = spec.sgd.learning_rate
                steps, predictions = job.engine.train(
                    job.state, x, y, job.batch_size, first, last, rate
                )
                begin, count = first * job.batch_size, len(steps.losses)
                if count:
                    now.record.add(steps, predictions, y[begin : begin + steps.rows])
                    now.done += count
                    now.step += count
                    yield StepsDone(now.epoch, now.step - count + 1, steps)
                if steps.diverged:
                    begin += count * job.batch_size
                    rows = slice(begin, begin + job.batch_size)
                    where = f"at step {now.step + 1} (epoch {now.epoch})"
                    yield ended("DIVERGED", diagnose(job, x[rows], y[rows], where))
                    return
            after = f"after epoch {now.epoch}: "
            metrics = _evaluate(job, {"val": data.validation}, stop, after)
            metrics = _finite(now.record.metrics()) | metrics
            now.best.see(now.epoch, metrics, job)
            done = EpochDone(now.epoch, now.step, metrics, now.record.parameter_norms())
            now.epoch, now.done, now.record = now.epoch + 1, 0, _EpochRecord(job)
            yield done
        tested = _evaluate(job, {"test": data.test}, stop)
    except _StoppedError as end:
        yield ended(end.status, end.reason)
        return
    yield ended("FINISHED")


class _Shuffled:
    """The training rows in each epoch's order, gathered some megabytes at a time.

    So the rows are in memory once, and those at hand are in the cache when they train.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        train = job.dataset.train
        rows = min(len(train), _at_a_time(train, job.batch_size))
        self._x = np.empty((rows, *train.x.shape[1:]), train.x.dtype)
        self._y = np.empty((rows, *train.y.shape[1:]), train.y.dtype)

    def calls(self, epoch: int, done: int = 0) -> Iterator[tuple[Array, Array, int, int]]:
        """Rows that were gathered, and which steps of them to run: the first and the last.

        The first `done` steps of the epoch are left out; where calls end does not depend on it.
        The arrays are overwritten when the next rows are gathered.
        """
        job, train = self._job, self._job.dataset.train
        order = np.arange(len(train), dtype=np.uint32)
        stream(job.spec.seed, "order", epoch).shuffle(order)
        whole = -(-len(self._x) // job.batch_size)  # steps of a full array
        for start in range(done // whole * len(self._x), len(train), len(self._x)):
            before = start // job.batch_size
            rows = order[start : start + len(self._x)].astype(np.intp)
            x, y = self._x[: len(rows)], self._y[: len(rows)]
            np.take(train.x, rows, axis=0, out=x, mode="clip")  # the default mode would buffer
            np.take(train.y, rows, axis=0, out=y, mode="clip")
            count = -(-len(rows) // job.batch_size)
            for first in range(0, count, job.engine.steps_per_call):
                last = min(first + job.engine.steps_per_call, count)
                if before + last > done:
                    yield x, y, max(first, done - before), last


def _at_a_time(part: Part, batch_size: int) -> int:
    """Rows of whole batches that make some megabytes or a small part of the data."""
    size = part.x.nbytes + part.y.nbytes
    row = size / len(part)
    return max(1, int(max(GATHERED, size / 16) / (row * batch_size))) * batch_size


class _StoppedError(Exception):
    """An evaluation that did not come to its end."""

    def __init__(self, status: Status, reason: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def _evaluate(
    job: Job, parts: Mapping[str, Part | None], stop: Callable[[], bool], when: str = ""
) -> dict[str, float]:
    """Loss and score of each part that is there.

    Raises `_StoppedError` when `stop()` says so, or for a loss that is not finite, with the reason.
    """
    metrics: dict[str, float] = {}
    size = job.spec.evaluation.batch_size
    for name, part in parts.items():
        if part is None:
            continue
        span = min(size * job.engine.batches_per_call, _at_a_time(part, size))
        total, score = 0.0, score_for(job.spec.model.loss)
        for start in range(0, len(part), span):
            if stop():
                raise _StoppedError("KILLED")
            x, y = part.x[start : start + span], part.y[start : start + span]
            loss, prediction = job.engine.predict(job.state, x, y, size)
            total += loss
            score.add(prediction, y)
        if not np.isfinite(total):
            raise _StoppedError(
                "DIVERGED", diagnose(job, part.x, part.y, f"on the {_PART[name]} rows")
            )
        metrics[f"{name}_loss"] = total / len(part)
        value = score.value()
        if value is not None:
            metrics[f"{name}_{score.name}"] = value
    return _finite(metrics)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without the values that overflowed: nobody can chart, compare or write them as JSON."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


_PART: Final = {"train": "training", "val": "validation", "test": "test"}


class _EpochRecord:
    """What the steps of one epoch add up to."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._steps: list[Steps] = []
        self.score = score_for(job.spec.model.loss)

    def restore(self, score: Mapping[str, Array], steps: Sequence[Steps]) -> None:
        """Takes what another record of the same steps held."""
        self._steps = list(steps)
        self.score.restore(score)

    def add(self, steps: Steps, predictions: Array, y: Array) -> None:
        """Takes some steps, what they predicted and what was right."""
        self._steps.append(steps)
        self.score.add(predictions, y)

    def metrics(self) -> dict[str, float]:
        losses = np.concatenate([steps.losses for steps in self._steps])
        norms = np.concatenate([steps.grad_norms for steps in self._steps])
        rows = np.full(len(losses), self._job.batch_size)
        rows[-1] = len(self._job.dataset.train) - self._job.batch_size * (len(losses) - 1)
        metrics = {"train_loss": float((losses * rows).sum() / rows.sum())}
        score = self.score.value()
        if score is not None:
            metrics[f"train_{self.score.name}"] = score
        metrics["grad_norm"] = float(norms.mean())
        metrics["learning_rate"] = self._job.spec.sgd.learning_rate
        return metrics

    def parameter_norms(self) -> dict[str, float]:
        norms = np.concatenate([steps.parameter_norms for steps in self._steps]).mean(axis=0)
        names = [node.name for node in self._job.graph.parameters]
        return dict(zip(names, norms.tolist(), strict=True))


class _Best:
    """The epoch with the least validation loss, where validation rows are there, and the
    parameters after it.
    """

    def __init__(self) -> None:
        self.loss: float | None = None
        self.epoch = 0
        self.parameters: dict[str, Array] = {}

    def see(self, epoch: int, metrics: Mapping[str, float], job: Job) -> None:
        loss = metrics.get("val_loss")
        if loss is not None and (self.loss is None or loss < self.loss):
            self.loss, self.epoch, self.parameters = loss, epoch, job.parameters

    def summary(self) -> dict[str, float]:
        if self.loss is None:
            return {}
        return {"best_val_loss": self.loss, "best_epoch": float(self.epoch)}
