"""Sums and means over axes, and what undoes them: `expand_like` repeats along axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from trainer.graph.ops.op import Array, Axes, OnnxWriter, Op, Shape, ShapeError, show_shape

if TYPE_CHECKING:
    from trainer.graph.graph import Expr


def sum_over(x: Array, *, axes: Axes, keepdims: bool = False) -> Array:
    """The sum of x over axes, which stay with length 1 if they are kept."""
    return np.asarray(np.sum(x, axis=axes, keepdims=keepdims))


def mean(x: Array, *, axes: Axes) -> Array:
    """The sum of x over axes, divided by the number of places."""
    return np.asarray(np.sum(x, axis=axes) / count(x, axes=axes))


def count(x: Array, *, axes: Axes) -> Array:
    """The number of places of axes, in the dtype of x."""
    return np.asarray(np.prod([x.shape[axis] for axis in axes], dtype=x.real.dtype))


def expand_like(g: Array, x: Array, *, axes: Axes, keepdims: bool = False) -> Array:
    """The shape of x, filled by repeating g along axes."""
    return np.broadcast_to(g if keepdims else np.expand_dims(g, axes), x.shape)


# Shapes and gradients ---------------------------------------------------------------------------


def _reduced(shape: Shape, *, axes: Axes, keepdims: bool = False) -> Shape:
    if any(not 0 <= axis < len(shape) for axis in axes):
        raise ShapeError(f"there are no axes {axes}")
    kept = [1 if i in axes else dim for i, dim in enumerate(shape)]
    return tuple(dim for i, dim in enumerate(kept) if keepdims or i not in axes)


def _counted(_shape: Shape, *, axes: Axes) -> Shape:
    return ()


def _expanded(g: Shape, x: Shape, *, axes: Axes, keepdims: bool = False) -> Shape:
    if _reduced(x, axes=axes, keepdims=keepdims) != g:
        raise ShapeError(f"{show_shape(g)} is not {show_shape(x)} without axes {axes}")
    return x


def _sum_vjp(g: Expr, out: Expr, x: Expr) -> Expr:
    return g.apply("expand_like", x, **out.node.attributes)


def _mean_vjp(g: Expr, out: Expr, x: Expr) -> Expr:
    axes = out.node.attributes["axes"]
    return (g / x.apply("count", axes=axes)).apply("expand_like", x, axes=axes)


def _expand_vjp(g: Expr, out: Expr, _g: Expr, _x: Expr) -> Expr:
    return g.apply("sum", **out.node.attributes)


# As ONNX ----------------------------------------------------------------------------------------


def _sum_onnx(w: OnnxWriter, x: str, axes: Sequence[int], keepdims: bool = False) -> str:
    return w.apply("ReduceSum", x, w.constant(axes, np.int64), keepdims=int(keepdims))


def _mean_onnx(w: OnnxWriter, x: str, axes: Sequence[int]) -> str:
    return w.apply("Div", _sum_onnx(w, x, axes), _count_onnx(w, x, axes))


def _count_onnx(w: OnnxWriter, x: str, axes: Sequence[int]) -> str:
    sizes = w.apply("Gather", w.apply("Shape", x), w.constant(axes, np.int64))
    return w.cast(w.apply("ReduceProd", sizes, keepdims=0), w.dtype)


def _expand_onnx(w: OnnxWriter, g: str, x: str, axes: Axes, keepdims: bool = False) -> str:
    aligned = g if keepdims else w.apply("Unsqueeze", g, w.constant(axes, np.int64))
    return w.apply("Expand", aligned, w.apply("Shape", x))


REDUCTIONS: Final = (
    Op(
        name="sum",
        formula="sum({0})",
        shape=_reduced,
        forward=sum_over,
        vjps=(_sum_vjp,),
        form="sum",
        onnx=_sum_onnx,
    ),
    Op(
        name="mean",
        formula="mean({0})",
        shape=_reduced,
        forward=mean,
        vjps=(_mean_vjp,),
        form="mean",
        onnx=_mean_onnx,
    ),
    Op(
        name="count",
        formula="count({0})",
        shape=_counted,
        forward=count,
        vjps=(None,),
        analytic=False,
        form="count",
        reads=0,
        onnx=_count_onnx,
    ),
    Op(
        name="expand_like",
        formula="expand({0})",
        shape=_expanded,
        forward=expand_like,
        vjps=(_expand_vjp, None),
        form="repeat",
        reads=1,
        onnx=_expand_onnx,
    ),
)
