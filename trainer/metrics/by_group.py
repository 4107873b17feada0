"""Figures of each class, label or target by itself, by `<figure>/<group>`."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.graph.ops import Array
from trainer.metrics.classes import Classes, Counts
from trainer.metrics.table import scores_for


def by_class(
    classes: Classes, names: Sequence[object], logits: Array, y: Array, weight: Array | None = None
) -> dict[str, float]:
    """`precision`, `recall`, `f1` and `rows` of each class; of several labels, those of yes.

    `logits`, `y` and `weight` are as `Scores.add` takes them; rows are counted without weights.
    """
    weighted, plain = Counts(classes), Counts(classes)
    weighted.add(logits, y, weight)
    plain.add(logits, y)
    figures = {"precision": weighted.precision, "recall": weighted.recall, "f1": weighted.f1,
               "rows": plain.true}  # fmt: skip
    columns = {
        kind: (figure[:, 1] if classes.multi_label else figure[0]).tolist()
        for kind, figure in figures.items()
    }
    return {
        f"{kind}/{name}": float(column[i])
        for i, name in enumerate(names)
        for kind, column in columns.items()
    }


def by_target(
    names: Sequence[str], prediction: Array, y: Array, weight: Array | None = None
) -> dict[str, float]:
    """Every metric of numbers of each column of several; of a single one nothing."""
    found: dict[str, float] = {}
    for i, name in enumerate(names if len(names) > 1 else ()):
        scores = scores_for("squared", 1)
        scores.add(prediction[:, [i]], y[:, [i]], weight)
        found |= {f"{metric}/{name}": value for metric, value in scores.values().items()}
    return found
