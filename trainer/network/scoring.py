"""How well a network's outputs fit the targets of a table: its loss, and every metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from trainer.data import Preprocessing
from trainer.graph import Graph, GraphBuilder
from trainer.graph.ops import BATCH, OPS, Array
from trainer.graph.ops.op import Axes
from trainer.metrics import Classes, scores_for
from trainer.metrics.by_group import by_class, by_target
from trainer.network.losses import write_loss
from trainer.numerics.functions import log_softmax, logistic_loss
from trainer.numerics.sums import mean, row_sums
from trainer.spec.layers import LossSpec


def score_rows(
    model: LossSpec,
    how: Preprocessing,
    outputs: Array,
    targets: Array,
    weight: Array | None = None,
    cut: float = 0.0,
) -> dict[str, float]:
    """The metrics of some rows by name; those that are not defined or not finite are left out.

    `outputs` are the network's, of shape (rows, outputs): logits for classes, numbers that are
    still to be decoded otherwise. `targets` are as a table holds them, and `weight`, of shape
    (rows, 1), says how much each row counts; `cut` is that of two classes (see `Classes`).

    First `loss`, as it is trained but without class weights; where `target_scale` is set, of scaled
    numbers. Then all metrics that fit. Then, of each class or label, `precision/<class>`,
    `recall/<class>`, `f1/<class>` and `rows/<class>`; of several numeric targets `r2/<target>`,
    `rmse/<target>` and `mae/<target>`.
    """
    whole = measure_rows(model, how, outputs, targets, weight, cut=cut)
    found, y = outputs.astype(np.float64), how.encode_target(targets).astype(np.float64)
    if model.loss == "logistic":
        classes = Classes(how.outputs, model.multi_label, cut)
        names = how.output_names if how.classes is None else how.classes
        return whole | by_class(classes, names, found, y, weight)
    found, y = how.decode_target(found), how.decode_target(y)
    return whole | by_target(how.output_names, found, y, weight)


def measure_rows(
    model: LossSpec,
    how: Preprocessing,
    outputs: Array,
    targets: Array,
    weight: Array | None = None,
    names: Sequence[str] | None = None,
    cut: float = 0.0,
) -> dict[str, float]:
    """The `loss` and the metrics `names` of all rows together, by default all that fit; the same
    numbers as those of `score_rows`.
    """
    found, y = outputs.astype(np.float64), how.encode_target(targets).astype(np.float64)
    loss = loss_of(model, found, y, weight)
    if model.loss != "logistic":
        found, y = how.decode_target(found), how.decode_target(y)
    scores = scores_for(model.loss, how.outputs, names, multi_label=model.multi_label, cut=cut)
    scores.add(found, y, weight)
    return ({"loss": loss} if np.isfinite(loss) else {}) | scores.values()


def loss_of(model: LossSpec, outputs: Array, y: Array, weight: Array | None) -> float:
    """The loss of all rows, in float64, by the nodes that training has; `y` as it takes them."""
    if weight is not None:
        weight = weight.astype(np.float64)
        weight = weight / mean(weight)
    return mean(losses_of(model, outputs, y, weight))


def losses_of(model: LossSpec, outputs: Array, y: Array, weight: Array | None) -> Array:
    """What the loss is the mean of, likewise: for each row a loss, or one for each output."""
    builder = GraphBuilder("float64")
    shape = (BATCH, outputs.shape[1])
    prediction, target = (builder.leaf("input", name, shape) for name in ("prediction", "y"))
    feeds = {"prediction": outputs, "y": y}
    if weight is not None:
        feeds["weight"] = weight.astype(np.float64)
    weights = None if weight is None else builder.leaf("input", "weight", (BATCH, 1))
    (each,) = write_loss(model, prediction, target, weights).node.inputs
    return _value(builder.build(), each, feeds)


def _of_each_row(x: Array, *, axes: Axes, keepdims: bool = False) -> Array:
    assert axes == (1,)
    return row_sums(x)[:, None] if keepdims else row_sums(x)


_IN_ORDER: Final[Mapping[str, Callable[..., Array]]] = {
    "logistic_loss": logistic_loss,
    "log_softmax": log_softmax,
    "sum": _of_each_row,
}
"""The ops of losses that the reference engine leaves to NumPy, which has no order of its own."""


def _value(graph: Graph, name: str, feeds: Mapping[str, Array]) -> Array:
    """The value of a node of a loss, to the same bits on every CPU."""
    values, needed = dict(feeds), graph.ancestors([name])
    with np.errstate(all="ignore"):
        for node in graph:
            if node.op == "constant":
                values[node.name] = np.asarray(node.attributes["value"], node.dtype)
            elif node.name in needed and node.name not in values:
                forward = _IN_ORDER.get(node.op) or OPS[node.op].forward
                inputs = [values[source] for source in node.inputs]
                values[node.name] = forward(*inputs, **node.attributes)
    return values[name]
