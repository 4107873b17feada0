"""How much each row counts: its weight times that of its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from trainer.data.columns.table import Table, listing, show
from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import DataError, SpecError
from trainer.graph.ops import Array
from trainer.numerics.sums import mean
from trainer.spec.messages import near


def class_weights(
    asked: Mapping[str, float] | Literal["balanced"] | None, table: Table, counts: Array
) -> Array | None:
    """The weight of each class, by its number, in float64; None where classes count alike.

    `counts` are the training rows of each class. `balanced` is n / (K · n_k) for n training rows,
    n_k of them of class k of K (G. King and L. Zeng, "Logistic regression in rare events data",
    2001). Classes without a weight have 1. Raises `MisfitError` for a weight of a class that is
    not there.
    """
    if asked is None or table.classes is None:
        return None
    if asked == "balanced":
        return np.asarray(counts.sum(dtype=np.int64) / (len(table.classes) * counts))
    labels = table.classes
    names = [str(label).lower() if isinstance(label, bool) else str(label) for label in labels]
    misfits = []
    for label in asked:
        if _same(label) not in map(_same, names):
            message = f"'{table.targets[0]}' has no class {show(label)}"
            hint = near(label, names) or f"the classes are {listing(names, 12)}"
            misfits.append(
                Misfit(("model", "class_weights", label), message, hint, key=True, code="TR-D028")
            )
    if misfits:
        raise MisfitError(SpecError, *misfits)
    weights = {_same(label): weight for label, weight in asked.items()}
    return np.array([weights.get(_same(name), 1.0) for name in names])


def _same(label: str) -> str:
    """One spelling of a label: YAML's true and 'True' are the same."""
    return label.lower() if label.lower() in ("true", "false") else label


def row_weights(table: Table, rows: Array, by_class: Array | None, part: str) -> Array | None:
    """The weights of some rows, of shape (rows, 1) in float64 with mean 1; None without weights.

    Raises `MisfitError` for a weight below 0 or without a value, and where all are 0.
    """
    if table.weights is None and by_class is None:
        return None
    weights = raw_weights(table, rows, by_class)
    with np.errstate(all="ignore"):
        return scale_weights(table, weights, mean(weights), part)


def raw_weights(table: Table, rows: Array, by_class: Array | None, first: int = 0) -> Array:
    """The weights of some rows, of shape (rows,), times those of their classes. `first` is the
    number of the table's first row. Raises `MisfitError` for a weight below 0 or without a value.
    """
    weights = np.ones(len(rows)) if table.weights is None else table.weights[rows]
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(wrong):
        found, row = weights[wrong[0]], table.numbered(rows, first)[wrong[0]]
        shown = "nothing" if np.isnan(found) else f"{found:g}"
        message = f"row {row}, counted from 0: expected a weight of at least 0, found {shown}"
        raise MisfitError(
            DataError,
            Misfit(("data", "weights"), message, "leave the row out, or mend it", code="TR-D033"),
        )
    return weights if by_class is None else weights * by_class[table.target[rows]]


def scale_weights(table: Table, weights: Array, mean: float, part: str) -> Array:
    """Weights of rows of the table, of shape (rows,), by their mean; of shape (rows, 1).

    Raises `MisfitError` where that is no number.
    """
    with np.errstate(all="ignore"):
        scaled = (weights / np.float64(mean))[:, None]
    if not np.isfinite(scaled).all():
        path = ("model", "class_weights") if table.weights is None else ("data", "weights")
        message = f"the weights of the {part} rows are all 0" if mean == 0 else (
            f"the weights of the {part} rows have no mean in float64"
        )  # fmt: skip
        raise MisfitError(
            DataError, Misfit(path, message, "give some row a weight above 0", code="TR-D033")
        )
    return np.asarray(scaled)
