"""What a model says of some rows, and whether a file says the same.

A file is right where its numbers are as near to the model's as rounding explains, on any CPU:
`rounding.py` derives from the model how far two right computations may be apart. Nothing is allowed
beyond that, and nothing is taken from experience with one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.data import Preprocessing, load_table, split_rows
from trainer.errors import DataError, SpecError, TrainerError
from trainer.export.rounding import rounding
from trainer.graph.ops import Array
from trainer.network.model import Model

MOST_ROWS: Final = 1000
DRAWN: Final = 256
GAPS: Final = 0.1
"""How many of the random values are missing, where they may be."""


@dataclass(frozen=True)
class Answer:
    """What is said of some rows.

    `labels`, of shape (rows,), are there for classes alone, and of shape (rows, labels) for several
    labels, where they are 0 or 1; `numbers` are the probabilities of shape (rows, classes), or
    what is predicted, of shape (rows, outputs).
    """

    labels: Array | None
    numbers: Array


@dataclass(frozen=True)
class Sample:
    """Raw rows of shape (rows, features), and what they are in words."""

    x: Array
    what: str


# Rows -------------------------------------------------------------------------------------------


def choose_rows(model: Model, data_sha256: str) -> Sample:
    """The first test rows of the model's data; validation rows where there are none, or training
    rows. Random rows where the data cannot be read or no longer have this hash.
    """
    try:
        table = load_table(model.spec, MOST_ROWS)
    except (DataError, SpecError):
        return _random_rows(model, "the run's data cannot be read")
    if model.spec.data.stream:  # which of these is in what part matters little
        raw = model.preprocessing.adopt(table, slice(None))
        return Sample(raw, f"the first {len(raw)} rows")
    if table.sha256 != data_sha256:
        return _random_rows(model, "the run's data have changed")
    words = {"test": "test", "validation": "validation", "train": "training"}
    parts = split_rows(model.spec, table)
    part = next(name for name in words if len(parts[name]))
    rows = parts[part][:MOST_ROWS]
    rest = f" of {len(parts[part])}" if len(rows) < len(parts[part]) else ""
    return Sample(model.preprocessing.adopt(table, rows), f"{len(rows)}{rest} {words[part]} rows")


def _random_rows(model: Model, why: str) -> Sample:
    """Rows of the kinds that the columns have: normal numbers with the mean and deviation of the
    training rows, where these are known; categories that they have, and dates of some decades.
    Each has some gaps where they may be.
    """
    how, random = model.preprocessing, np.random.Generator(np.random.Philox(0))
    rows = random.standard_normal((DRAWN, len(how.features)))
    around = "around 0"
    for number, (column, rule) in enumerate(zip(how.columns, how.rules, strict=True)):
        if column.kind == "boolean":
            rows[:, number] = random.integers(0, 2, DRAWN)
        elif column.kind == "date":
            rows[:, number] = np.round(random.uniform(0, 20_000, DRAWN) * 1440) / 1440
        elif column.kind != "numeric":
            rows[:, number] = random.integers(0, max(1, len(column.categories)), DRAWN)
        else:
            rows[:, number] = _unscaled(how, number, rows[:, number])
            around = (
                "around 0" if how.scaling.shift is None else "around the mean of the training rows"
            )
        if rule.fill is not None:
            rows[random.random(DRAWN) < GAPS, number] = np.nan
    return Sample(rows, f"{DRAWN} random rows {around}, since {why}")


def _unscaled(how: Preprocessing, number: int, normal: Array) -> Array:
    """Numbers whose scaled values are these, so that they are like those of the training rows."""
    scaling = how.scaling.of(how.starts[number])
    found = scaling.undo(normal[:, None])[:, 0]
    if scaling.curves.get(0, found) is None:
        found = np.maximum(found, -0.9)  # log1p has no value at -1
    return np.asarray(found)


# Answers ----------------------------------------------------------------------------------------


def answer_model(model: Model, x: Array) -> Answer:
    """What the model itself says of raw rows."""
    return answer_columns(model.preprocessing, list(model.predict(x).values()))


def answer_columns(how: Preprocessing, columns: Sequence[Array]) -> Answer:
    """What is said of rows, in the columns that `Model.predict` gives."""
    if how.multi_label:
        labels, numbers = columns[: how.outputs], columns[how.outputs :]
        return Answer(np.stack(labels, axis=1), np.stack(numbers, axis=1))
    if how.classes is None:
        return Answer(None, np.stack(columns, axis=1))
    return Answer(columns[0], np.stack(columns[1:], axis=1))


def compare(found: Answer, model: Model, x: Array) -> float:
    """How far what a file says of these rows is at most from what the model says: probabilities,
    or outputs relative to the largest of their column.

    Raises `TrainerError` where that is more than rounding can explain, or where a label differs
    without a tie.
    """
    expected = answer_model(model, x)
    largest = np.abs(expected.numbers).max(axis=0)
    scale = np.where((largest > 0) & (expected.labels is None), largest, 1)
    apart = np.abs(np.subtract(found.numbers, expected.numbers, dtype=np.float64)) / scale
    allowed = rounding(model, x) / scale if apart.any() else np.zeros_like(apart)
    if not (apart <= allowed).all():
        worst = np.unravel_index((apart - allowed).argmax(), apart.shape)
        raise TrainerError(
            "the file is not kept, since it predicts other numbers than the model: "
            f"{apart[worst]:.1e} apart, where rounding explains {allowed[worst]:.1e}",
            code="TR-R014",
        )
    if expected.labels is not None:
        _check_labels(found, expected, model, allowed)
    return float(apart.max())


def _check_labels(found: Answer, expected: Answer, model: Model, allowed: Array) -> None:
    """Raises `TrainerError` for another label than the model's, unless it is as probable.

    `allowed` is how far each probability may be off.
    """
    assert found.labels is not None
    assert expected.labels is not None
    if model.preprocessing.multi_label:
        unsure = np.abs(expected.numbers - 0.5) <= allowed
        if not ((found.labels == expected.labels) | unsure).all():
            raise TrainerError(
                "the file is not kept, since it predicts other labels than the model",
                code="TR-R014",
            )
        return
    classes, cut = list(model.preprocessing.classes or ()), model.decision.cut
    if cut:  # of two classes
        unsure = np.abs(expected.numbers[:, 1] - model.decision.threshold) <= allowed.max(axis=1)
        if not ((found.labels == expected.labels) | unsure).all():
            raise TrainerError(
                "the file is not kept, since it predicts other labels than the model",
                code="TR-R014",
            )
        return
    for row in np.flatnonzero(found.labels != expected.labels):
        label, probable = found.labels[row], expected.numbers[row]
        if probable.max() - probable[classes.index(label)] > 2 * allowed[row].max():
            raise TrainerError(
                "the file is not kept, since it predicts other labels than the model: "
                f"{label!r} where {expected.labels[row]!r} is more probable",
                code="TR-R014",
            )
