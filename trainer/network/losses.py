"""The losses as nodes: one function an example, and the mean over the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from trainer.graph import Expr
from trainer.spec.layers import LossSpec

Each: TypeAlias = Callable[[LossSpec, Expr, Expr, str], Expr]


def write_loss(
    model: LossSpec, prediction: Expr, y: Expr, weight: Expr | None = None, name: str = "loss"
) -> Expr:
    """The scalar `name`: the mean over the rows of each row's loss, times its weight if there are.

    `prediction` (logits, where the loss is logistic) and `y` have the shape (B, outputs), `weight`
    (B, 1). A row's loss is the mean over its outputs, but of a softmax the sum over the classes.
    """
    if model.loss == "logistic" and model.label_smoothing:
        y = _smoothed(model, y, name)
    if model.loss == "logistic" and not model.multi_label and prediction.shape[1] != 1:
        each = _softmax(prediction, y, name, keepdims=weight is not None)
    else:
        each = LOSSES[model.loss](model, prediction, y, name)
    if weight is not None:
        each = each.apply("mul", weight, name=f"{name}/weighted")
    return each.apply("mean", name=name, axes=tuple(range(len(each.shape))))


def _squared(_model: LossSpec, prediction: Expr, y: Expr, name: str) -> Expr:
    """(ŷ - y)²"""
    return prediction.apply("sub", y, name=f"{name}/error").apply("square", name=f"{name}/each")


def _logistic(_model: LossSpec, logits: Expr, y: Expr, name: str) -> Expr:
    """The cross-entropy of sigmoid of the logits: log(1 + exp(z)) - z y"""
    return logits.apply("logistic_loss", y, name=f"{name}/each")


def _huber(model: LossSpec, prediction: Expr, y: Expr, name: str) -> Expr:
    """With e = ŷ - y: e² / 2 where |e| ≤ δ, else δ (|e| - δ / 2) (Huber, 1964).

    Both are c (e - c / 2) with c = e, held between -δ and δ. This is PyTorch's HuberLoss.
    """
    delta = model.huber_delta
    error = prediction.apply("sub", y, name=f"{name}/error")
    below = error.apply("minimum", delta, name=f"{name}/below")
    held = -(-below).apply("minimum", delta, name=f"{name}/held")
    return held.apply("mul", error - held * 0.5, name=f"{name}/each")


LOSSES: Final[Mapping[str, Each]] = {
    "squared": _squared,
    "logistic": _logistic,
    "huber": _huber,
}


def _softmax(logits: Expr, y: Expr, name: str, *, keepdims: bool) -> Expr:
    """The cross-entropy of softmax of the logits: -Σ y log softmax(z), over the classes"""
    chosen = y.apply("mul", logits.apply("log_softmax", name=f"{name}/log_softmax"))
    how = {"keepdims": True} if keepdims else {}
    return -chosen.apply("sum", name=f"{name}/likelihood", axes=(1,), **how)


def _smoothed(model: LossSpec, y: Expr, name: str) -> Expr:
    """The targets y (1 - s) + s / K: a part s of each goes evenly to the K classes, which are two
    for a single output or a label (Szegedy et al., 2016).
    """
    s = model.label_smoothing
    classes = 2 if model.multi_label else max(2, int(y.shape[1]))
    return (y * (1 - s)).apply("add", s / classes, name=f"{name}/smoothed")
