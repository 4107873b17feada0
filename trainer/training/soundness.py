"""Whether a training can tell good from bad: known from a spec and its rows, before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.data import AnyPart, Dataset, listing, rows_at_a_time
from trainer.errors import Problem, SpecError
from trainer.graph.ops import Array
from trainer.metrics import METRICS, default_metric, fitting_metrics
from trainer.numerics.statistics import median
from trainer.numerics.sums import mean
from trainer.spec.evaluation import EVEN
from trainer.spec.layers import BatchNormLayer, LayersSpec
from trainer.spec.schema import Spec
from trainer.training.job import full_batch
from trainer.training.schedule import rates_at

GATHERED: Final = 2**21  # bytes of rows at a time
ROWS: Final = 100_000  # whose targets are looked at
FEW: Final = 20  # rows, of which no such thing can be told
SKEWED: Final = 2.0  # an exponential distribution's skewness
SMALL: Final = 10  # a count; half of them or more are at most that
NO_RATE: Final = 1e-9  # of the largest one: steps with less do nothing
OF_CLASSES: Final = ("accuracy", "balanced_accuracy", "f1", "auc")
PARTS: Final = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Targets:
    """What the targets of some rows span: the number of `rows` that count, and of each column of y
    the least and the largest value among them.
    """

    rows: int
    low: Array
    high: Array

    @classmethod
    def of(cls, part: AnyPart, weighted: bool) -> Targets:
        """Those of the rows, without those that weigh nothing where they are `weighted`."""
        rows, low, high = 0, np.array([np.inf]), np.array([-np.inf])
        size = rows_at_a_time(part, 1, GATHERED)
        for start in range(0, len(part), size):
            some = part.span(start, start + size)
            y, weight = some["y"], some.get("weight") if weighted else None
            y = y if weight is None else y[weight[:, 0] > 0]
            if len(y):
                rows += len(y)
                low, high = np.minimum(low, y.min(axis=0)), np.maximum(high, y.max(axis=0))
        return cls(rows, low, high)

    @property
    def same(self) -> list[int]:
        """The columns in which all are alike."""
        return np.flatnonzero(self.low >= self.high).tolist()


def check_soundness(spec: Spec, dataset: Dataset) -> list[str]:
    """What to know of the training before it begins. Raises `SpecError` where it could not tell
    whether it gets better, or not train at all.
    """
    weighted = spec.data.weights is not None and spec.model.class_weights is None
    parts = {
        name: Targets.of(part, weighted)
        for name in PARTS
        if (part := getattr(dataset, name)) is not None
    }
    judge = _Judge(spec, dataset)
    problems = [*_one_row_batches(spec, dataset), *_many_classes(spec, dataset)]
    notes = []
    for name, targets in parts.items():
        silent: dict[str, list[str]] = {}  # why, and which metrics say nothing
        for metric in judge.measured(name):
            if (why := judge.undefined(metric, targets)) is None:
                continue
            silent.setdefault(why, []).append(METRICS[metric].title)
            if name == "validation" and metric == judge.watched:
                problems.append(judge.unwatched(metric, why))
        for why, titles in silent.items():
            what = f"{', '.join(titles)} say{'s' * (len(titles) == 1)} nothing there"
            notes.append(f"the {PARTS[name]} rows {why}: {what}")
        if name == "validation" and spec.evaluation.chooses and targets.same:
            notes.append("the validation rows hold one class: the threshold stays 0.5")
        if name == "train" and targets.same:
            names = listing([dataset.preprocessing.output_names[i] for i in targets.same], 8)
            notes.append(f"all training rows have the same {names}: there is nothing to learn")
    if problems:
        raise SpecError(problems)
    return [*dict.fromkeys(notes), *_no_rate(spec, dataset), *_long_tails(spec, dataset)]


@dataclass(frozen=True)
class _Judge:
    """Which metrics are measured where, and whether rows define them."""

    spec: Spec
    dataset: Dataset

    @property
    def watched(self) -> str | None:
        """The metric that early stopping watches; None where it is the loss, or nothing."""
        stopping = self.spec.sgd.early_stopping
        return None if stopping is None or stopping.monitor == "loss" else stopping.monitor

    def measured(self, part: str) -> list[str]:
        """The metrics by which rows of the part are judged."""
        loss = self.spec.model.loss
        if part == "test":
            return list(fitting_metrics(loss))
        return [default_metric(loss), *self.spec.evaluation.metrics] if part != "train" else []

    def undefined(self, metric: str, targets: Targets) -> str | None:
        """Why rows with these targets do not define the metric, or cannot tell better from worse by
        it; None where they do.
        """
        how, model = self.dataset.preprocessing, self.spec.model
        if metric == "r2":
            if targets.rows < 2:
                return "are one row" if targets.rows else "weigh nothing"
            if len(targets.same) == how.outputs:
                return f"have the same {listing(how.output_names, 8)} throughout"
        if not targets.same or metric not in OF_CLASSES:
            return None
        if model.multi_label:
            names = listing([how.output_names[i] for i in targets.same], 8)
            alike = metric == "auc" or len(targets.same) == how.outputs
            return f"have the same {names} throughout" if alike else None
        assert how.classes is not None
        held = [how.classes[i] for i in range(how.outputs) if targets.high[i] > 0.5]
        if how.outputs == 1:
            held = [how.classes[int(targets.high[0] > 0.5)]]
        if len(held) == 1:
            return f"hold one class ({held[0]})"
        missing = [str(how.classes[i]) for i in targets.same]
        return f"hold no row of {listing(missing, 8)}" if metric == "auc" else None

    def unwatched(self, metric: str, why: str) -> Problem:
        """What is wrong with watching it."""
        short = {"auc": "AUC", "r2": "R²"}.get(metric, metric)
        message = f"the validation rows {why}, so there is no {short} to watch"
        hint = "use a larger split, or `monitor: loss`"
        return self.spec.problem(
            ("sgd", "early_stopping", "monitor"), message, hint, code="TR-D040"
        )


def normalises_batches(spec: Spec) -> bool:
    """Whether some layer takes means and deviations over the rows of a batch."""
    return isinstance(spec.model, LayersSpec) and any(
        isinstance(layer, BatchNormLayer) and not layer.freeze for layer in spec.model.layers
    )


def _one_row_batches(spec: Spec, dataset: Dataset) -> Iterator[Problem]:
    """What is wrong where each batch that is to be normalised has one row."""
    rows = len(dataset.train)
    if min(full_batch(spec, dataset), rows) > 1 or not normalises_batches(spec):
        return
    what = "there is one training row" if rows == 1 else "each batch has one row"
    message = f"{what}, and batch_norm normalises over the rows of a batch: all would become 0"
    hint = "use more rows a batch, such as 32, or layer_norm"
    yield spec.problem(("sgd", "batch_size"), message, hint, code="TR-D041")


def _many_classes(spec: Spec, dataset: Dataset) -> Iterator[Problem]:
    """What is wrong where a threshold is to stand between other than two classes."""
    classes = dataset.classes
    if spec.evaluation.threshold == EVEN or classes is None or len(classes) == 2:
        return
    message = f"a threshold is between two classes, found {len(classes)}"
    hint = "leave it out: the most probable class is said"
    yield spec.problem(("evaluation", "threshold"), message, hint, code="TR-S031")


def _no_rate(spec: Spec, dataset: Dataset) -> Iterator[str]:
    """That a schedule leaves most steps without a learning rate."""
    per_epoch = -(-len(dataset.train) // full_batch(spec, dataset))
    steps = spec.sgd.epochs * per_epoch
    shown = np.unique(np.linspace(1, steps, min(steps, 1000)).astype(np.int64))
    rates = rates_at(spec.sgd, per_epoch, shown.astype(np.float64))
    idle = rates < NO_RATE * spec.sgd.learning_rate
    if 2 * np.count_nonzero(idle) > len(shown):
        epoch = -(-int(shown[idle.argmax()]) // per_epoch)
        yield (
            f"the schedule has taken the learning rate to 0 by epoch {epoch} of "
            f"{spec.sgd.epochs}: what comes after does nothing"
        )


def _long_tails(spec: Spec, dataset: Dataset) -> Iterator[str]:
    """That some targets have a long tail, by which R² and RMSE go; a line for all of them."""
    model, how, train = spec.model, dataset.preprocessing, dataset.train
    if model.loss == "logistic" or len(train) < FEW:
        return
    count = min(len(train), ROWS)
    some = train.take(np.arange(count) * len(train) // count)["y"].astype(np.float64)
    with np.errstate(all="ignore"):
        columns = how.decode_target(some).T
    found = [(name, word, values) for name, values in zip(how.output_names, columns, strict=True)
             if (word := tail_of(values)) is not None]  # fmt: skip
    if not found:
        return
    which = ", ".join(f"{name} {word}" for name, word, _ in found[:3]) + ", …" * (len(found) > 3)
    bent = {"log1p", "quantile"} & set(spec.data.target_scale or ())
    advice = []
    if not bent:
        advice += ["`target_scale: log1p`"] if all(v.min() >= 0 for *_, v in found) else []
        advice += ["`loss: huber`"] if model.loss != "huber" else []
    text = f"{which}: R² and RMSE are in its own units, where the largest values decide"
    yield text + (f"; {' or '.join(advice)} may fit better" if advice else "")


def tail_of(values: Array) -> str | None:
    """How numbers of shape (rows,) are spread: that they are skewed or counts; None else.

    Skewness is the third moment about the mean by the cube of the standard deviation.
    """
    with np.errstate(all="ignore"):
        apart = values - mean(values)
        spread = math.sqrt(mean(apart * apart))
    if not (np.isfinite(spread) and spread > 0):
        return None
    if (values == np.round(values)).all() and values.min() >= 0 and len(np.unique(values)) > 2:
        half = median(values)
        if half <= SMALL and values.max() > 2 * max(half, 1):
            return f"counts (half of them at most {half:g}, the largest {values.max():g})"
    each = apart / spread
    skewness = mean(each * each * each)
    return f"is skewed (skewness {skewness:.1f})" if abs(skewness) > SKEWED else None
