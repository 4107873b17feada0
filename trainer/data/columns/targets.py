"""What the columns to predict are: numbers, a class, or labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from trainer.data.columns.cells import labels_of
from trainer.data.columns.table import Column, Label, show
from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import DataError
from trainer.graph.ops import Array
from trainer.spec.schema import ModelSpec

Goal: TypeAlias = Literal["numbers", "class", "labels"]
"""What a model predicts of a row: numbers, one class of several, or labels, each a yes or no."""

TARGET: Final = ("data", "target")
"""Where the spec names the columns."""


def goal_of(model: ModelSpec) -> Goal:
    """What the model predicts."""
    if model.multi_label:
        return "labels"
    return "class" if model.loss == "logistic" else "numbers"


@dataclass(frozen=True)
class Targets:
    """From the raw columns of the targets to what a table has.

    `numbers` holds the number of each class by the code of its label; None, as `classes`, where
    the target is no class.
    """

    count: int
    classes: tuple[Label, ...] | None = None
    numbers: Array | None = None

    @classmethod
    def of(cls, columns: Sequence[Column], goal: Goal) -> Targets:
        """For columns that were found to be these. Raises what `encode_classes` raises."""
        if goal != "class":
            return cls(len(columns))
        numbers, classes = encode_classes(labels_of(columns[0].categories))
        return cls(1, classes, numbers)

    def read(self, raw: Array) -> Array:
        """The targets, which are the first of the raw columns, of shape (rows, columns)."""
        if self.numbers is None:
            return np.ascontiguousarray(raw[:, : self.count])
        return self.numbers[raw[:, 0].astype(np.int64)]


def encode_classes(values: Sequence[Label] | Array) -> tuple[Array, tuple[Label, ...]]:
    """Each value's class number, and the classes in sorted order: numbers by size, else by text.

    Raises `MisfitError` for real numbers, which are no classes, and for a single class.
    """
    if isinstance(values, np.ndarray):
        return _encode_array(values)
    real = next((v for v in values if isinstance(v, float) and not v.is_integer()), None)
    if real is not None:
        message = f"the loss 'logistic' needs classes, but the target holds numbers such as {real}"
        raise MisfitError(DataError, Misfit(TARGET, message, "use `loss: squared`", code="TR-D027"))
    classes: tuple[Label, ...] = tuple(
        sorted({int(v) if isinstance(v, float) else v for v in values})
    )
    if len(classes) < 2:
        message = f"all rows have the same class, {show(classes[0])}"
        hint = "a classifier needs at least two classes"
        raise MisfitError(DataError, Misfit(TARGET, message, hint, code="TR-D027"))
    number = {label: i for i, label in enumerate(classes)}
    return np.array([number[value] for value in values], dtype=np.int64), classes


def _encode_array(values: Array) -> tuple[Array, tuple[Label, ...]]:
    """As `encode_classes`; integers become no Python objects, which would need much memory."""
    if values.dtype.kind != "i":
        return encode_classes(values.tolist())
    distinct = np.unique(values)
    _, classes = encode_classes(distinct.tolist())
    return np.searchsorted(distinct, values), classes


def check_labels(values: Array) -> None:
    """Raises `MisfitError` for a number, of shape (rows, targets), that is neither 0 nor 1."""
    wrong = np.argwhere((values != 0) & (values != 1))
    if len(wrong):
        row, column = wrong[0]
        message = (
            f"expected 0 or 1 in each target, found {values[row, column]:g} "
            f"(row {row}, counted from 0)"
        )
        raise MisfitError(
            DataError,
            Misfit(
                TARGET,
                message,
                "of one target with several classes leave `multi_label` out",
                code="TR-D027",
            ),
        )
