"""How well a network predicts the rows of a file: every metric, and figures by class or target."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trainer.data import Preprocessing
from trainer.engine import evaluate
from trainer.graph import GraphBuilder
from trainer.graph.ops import BATCH, Array
from trainer.metrics import fitting_metrics, scores_for
from trainer.metrics.classes import Classes, Counts
from trainer.network.losses import write_loss
from trainer.spec.layers import LossSpec


def score_rows(
    model: LossSpec,
    how: Preprocessing,
    outputs: Array,
    targets: Array,
    weight: Array | None = None,
) -> dict[str, float]:
    """The metrics of some rows by name; those that are not defined or not finite are left out.

    `outputs` are the network's, of shape (rows, outputs): logits for classes, numbers that are
    still to be decoded otherwise. `targets` are as a table holds them, and `weight`, of shape
    (rows, 1), says how much each row counts.

    First `loss`, as it is trained but without class weights; where `target_scale` is set, of scaled
    numbers. Then all metrics that fit. Then, of each class or label, `precision/<class>`,
    `recall/<class>`, `f1/<class>` and `rows/<class>`; of several numeric targets `r2/<target>`,
    `rmse/<target>` and `mae/<target>`.
    """
    found = outputs.astype(np.float64)
    y = how.encode_target(targets).astype(np.float64)
    loss = _loss(model, found, y, weight)
    if model.loss == "logistic":
        scores = scores_for(model.loss, how.outputs, fitting_metrics(model.loss),
                            multi_label=model.multi_label)  # fmt: skip
        by_class = _by_class(how, Classes(how.outputs, model.multi_label), found, y, weight)
    else:
        found, y = how.decode_target(found), how.decode_target(y)
        scores = scores_for(model.loss, how.outputs, fitting_metrics(model.loss))
        by_class = _by_target(model, how, found, y, weight)
    scores.add(found, y, weight)
    return ({"loss": loss} if np.isfinite(loss) else {}) | scores.values() | by_class


def _loss(model: LossSpec, outputs: Array, y: Array, weight: Array | None) -> float:
    """The loss of all rows, in float64, by the nodes that training has."""
    builder = GraphBuilder("float64")
    shape = (BATCH, outputs.shape[1])
    prediction, target = (builder.leaf("input", name, shape) for name in ("prediction", "y"))
    feeds = {"prediction": outputs, "y": y}
    if weight is not None:
        feeds["weight"] = weight.astype(np.float64) / weight.mean(dtype=np.float64)
    weights = None if weight is None else builder.leaf("input", "weight", (BATCH, 1))
    loss = write_loss(model, prediction, target, weights).node.name
    return float(evaluate(builder.build(), feeds, [loss])[loss])


def _by_class(
    how: Preprocessing, classes: Classes, logits: Array, y: Array, weight: Array | None
) -> dict[str, float]:
    """The figures of each class; of several labels those of yes."""
    weighted, plain = Counts(classes), Counts(classes)
    weighted.add(logits, y, weight)
    plain.add(logits, y)
    counted = (weighted.precision, weighted.recall, weighted.f1, plain.true)
    if classes.multi_label:
        names: Iterable[object] = how.output_names
        columns = [figures[:, 1] for figures in counted]
    else:
        assert how.classes is not None
        names, columns = how.classes, [figures[0] for figures in counted]
    found: dict[str, float] = {}
    for name, *row in zip(names, *(column.tolist() for column in columns), strict=True):
        kinds = ("precision", "recall", "f1", "rows")
        found |= {f"{kind}/{name}": float(v) for kind, v in zip(kinds, row, strict=True)}
    return found


def _by_target(
    model: LossSpec, how: Preprocessing, found: Array, y: Array, weight: Array | None
) -> dict[str, float]:
    """The metrics of each target, where there are several."""
    by_target: dict[str, float] = {}
    for i, name in enumerate(how.output_names if how.outputs > 1 else ()):
        scores = scores_for(model.loss, 1, fitting_metrics(model.loss))
        scores.add(found[:, [i]], y[:, [i]], weight)
        by_target |= {f"{metric}/{name}": value for metric, value in scores.values().items()}
    return by_target
