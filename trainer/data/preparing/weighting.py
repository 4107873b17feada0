"""How much each row counts: its weight times that of its class."""

from __future__ import annotations

import numpy as np

from trainer.data.columns.table import Label, Table, listing, show
from trainer.errors import DataError, SpecError
from trainer.graph.ops import Array
from trainer.spec.messages import near
from trainer.spec.schema import Spec


def class_weights(spec: Spec, table: Table, train: Array) -> Array | None:
    """The weight of each class, by its number, in float64; None where classes count alike.

    `balanced` is n / (K · n_k) for n training rows, n_k of them of class k of K (G. King and
    L. Zeng, "Logistic regression in rare events data", 2001). Classes without a weight in the
    spec have 1. Raises `SpecError` for a weight of a class that is not there.
    """
    if spec.model.class_weights is None or table.classes is None:
        return None
    counts = np.bincount(table.target[train], minlength=len(table.classes))
    return weights_of_classes(spec, table.classes, counts)


def weights_of_classes(
    spec: Spec, classes: tuple[Label, ...] | None, counts: Array
) -> Array | None:
    """As `class_weights`, from the number of training rows of each class."""
    asked = spec.model.class_weights
    if asked is None or classes is None:
        return None
    if asked == "balanced":
        return np.asarray(counts.sum() / (len(classes) * counts))
    names = [str(label).lower() if isinstance(label, bool) else str(label) for label in classes]
    problems = []
    for label in asked:
        if _same(label) not in map(_same, names):
            message = f"'{spec.data.targets[0]}' has no class {show(label)}"
            hint = near(label, names) or f"the classes are {listing(names, 12)}"
            problems.append(
                spec.problem(("model", "class_weights", label), message, hint, key=True)
            )
    if problems:
        raise SpecError(problems)
    weights = {_same(label): weight for label, weight in asked.items()}
    return np.array([weights.get(_same(name), 1.0) for name in names])


def _same(label: str) -> str:
    """One spelling of a label: YAML's true and 'True' are the same."""
    return label.lower() if label.lower() in ("true", "false") else label


def row_weights(
    spec: Spec, table: Table, rows: Array, by_class: Array | None, part: str
) -> Array | None:
    """The weights of some rows, of shape (rows, 1) in float64 with mean 1; None without weights.

    Raises `DataError` for a weight below 0 or without a value, and where all are 0.
    """
    if table.weights is None and by_class is None:
        return None
    weights = raw_weights(spec, table, rows, by_class)
    with np.errstate(all="ignore"):
        return scale_weights(spec, weights, float(weights.mean()), part)


def raw_weights(
    spec: Spec, table: Table, rows: Array, by_class: Array | None, first: int = 0
) -> Array:
    """The weights of some rows, of shape (rows,), times those of their classes. `first` is the
    number of the table's first row. Raises `DataError` for a weight below 0 or without a value.
    """
    weights = np.ones(len(rows)) if table.weights is None else table.weights[rows]
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(wrong):
        found, row = weights[wrong[0]], first + rows[wrong[0]]
        shown = "nothing" if np.isnan(found) else f"{found:g}"
        message = f"row {row}, counted from 0: expected a weight of at least 0, found {shown}"
        raise DataError(spec.problem(("data", "weights"), message))
    return weights if by_class is None else weights * by_class[table.target[rows]]


def scale_weights(spec: Spec, weights: Array, mean: float, part: str) -> Array:
    """Weights by their mean, of shape (rows, 1). Raises `DataError` where that is no number."""
    with np.errstate(all="ignore"):
        scaled = (weights / np.float64(mean))[:, None]
    if not np.isfinite(scaled).all():
        path = ("data", "weights") if spec.data.weights else ("model", "class_weights")
        message = f"the weights of the {part} rows are all 0" if mean == 0 else (
            f"the weights of the {part} rows have no mean in float64"
        )  # fmt: skip
        raise DataError(spec.problem(path, message, "give some row a weight above 0"))
    return np.asarray(scaled)
