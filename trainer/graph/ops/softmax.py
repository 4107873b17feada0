"""Functions of rows, the last axis: softmax and its logarithm, each right without the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph.loops import Add, Element, Lanes, Let, Name, Statement, Store, Total, apply
from trainer.graph.ops.op import (
    Array,
    Every,
    Local,
    OnnxWriter,
    Op,
    Rows,
    Shape,
    ShapeError,
)

if TYPE_CHECKING:
    from trainer.graph.graph import Expr


def softmax(x: Array) -> Array:
    """exp(x) divided by its sum over each row; the largest of a row is taken off first."""
    e = np.exp(x - np.real(x).max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def log_softmax(x: Array) -> Array:
    """The logarithm of softmax, from x itself: no row underflows."""
    shifted = x - np.real(x).max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _rows(shape: Shape, **_: Any) -> Shape:
    if not shape:
        raise ShapeError("it needs at least one axis")
    return shape


def _softmax_vjp(g: Expr, o: Expr, _x: Expr) -> Expr:
    return o * (g - _row_sum(g * o))


def _log_softmax_vjp(g: Expr, _o: Expr, x: Expr) -> Expr:
    return g - x.apply("softmax") * _row_sum(g)


def _row_sum(x: Expr) -> Expr:
    return x.apply("sum", axes=(len(x.shape) - 1,), keepdims=True)


def _softmax_local(out: Array, _x: Array) -> Array:
    return np.asarray(np.diag(out.ravel()) - np.outer(out, out))


def _log_softmax_local(out: Array, x: Array) -> Array:
    return np.asarray(np.eye(x.size) - np.exp(out).reshape(1, -1))


def _softmax_row(x: Element, y: Element, every: Every) -> list[Statement]:
    return [
        *_exponentials(x, y, every),
        every(lambda j: [Store(y.array, y.at, y / Name("mass"))]),
    ]


def _log_softmax_row(x: Element, y: Element, every: Every) -> list[Statement]:
    return [
        *_exponentials(x, y, every),
        Let("shift", apply("log", Name("mass"))),
        every(lambda j: [Store(y.array, y.at, x - Name("top") - Name("shift"))]),
    ]


def _exponentials(x: Element, y: Element, every: Every) -> list[Statement]:
    """The largest of the row, `top`, the exponentials in `y`, and their sum, `mass`."""
    tops, masses = Lanes("tops", greatest=True), Lanes("masses")
    return [
        tops,
        every(lambda j: [Add(tops, j, x)]),
        Total("top", tops),
        masses,
        every(
            lambda j: [
                Let("e", apply("exp", x - Name("top"))),
                Store(y.array, y.at, Name("e")),
                Add(masses, j, Name("e")),
            ]
        ),
        Total("mass", masses),
    ]


def _softmax_onnx(w: OnnxWriter, x: str) -> str:
    return w.apply("Softmax", x, axis=-1)


def _log_softmax_onnx(w: OnnxWriter, x: str) -> str:
    return w.apply("LogSoftmax", x, axis=-1)


ROWS: Final = (
    Op(
        name="softmax",
        formula="softmax({0})",
        shape=_rows,
        forward=softmax,
        vjps=(_softmax_vjp,),
        init="glorot_uniform",
        locals=(Local(_softmax_local, "∂softmax", jacobian=True),),
        form=Rows(_softmax_row),
        onnx=_softmax_onnx,
    ),
    Op(
        name="log_softmax",
        formula="log_softmax({0})",
        latex=r"\log\operatorname{softmax}(@0)",
        shape=_rows,
        forward=log_softmax,
        vjps=(_log_softmax_vjp,),
        locals=(Local(_log_softmax_local, "∂log_softmax", jacobian=True),),
        form=Rows(_log_softmax_row),
        onnx=_log_softmax_onnx,
    ),
)
