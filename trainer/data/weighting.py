"""How much each row counts: its weight times that of its class."""

from __future__ import annotations

import numpy as np

from trainer.data.table import Table, listing, show
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
    asked, classes = spec.model.class_weights, table.classes
    if asked is None or classes is None:
        return None
    if asked == "balanced":
        counts = np.bincount(table.target[train], minlength=len(classes))
        return np.asarray(len(train) / (len(classes) * counts))
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
    weights = np.ones(len(rows)) if table.weights is None else table.weights[rows]
    path = ("data", "weights") if table.weights is not None else ("model", "class_weights")
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(wrong):
        found, row = weights[wrong[0]], rows[wrong[0]]
        shown = "nothing" if np.isnan(found) else f"{found:g}"
        message = f"row {row}, counted from 0: expected a weight of at least 0, found {shown}"
        raise DataError(spec.problem(path, message))
    if by_class is not None:
        weights = weights * by_class[table.target[rows]]
    with np.errstate(all="ignore"):
        mean = weights.mean()
        scaled = (weights / mean)[:, None]
    if not np.isfinite(scaled).all():
        message = f"the weights of the {part} rows are all 0" if mean == 0 else (
            f"the weights of the {part} rows have no mean in float64"
        )  # fmt: skip
        raise DataError(spec.problem(path, message, "give some row a weight above 0"))
    return np.asarray(scaled)
