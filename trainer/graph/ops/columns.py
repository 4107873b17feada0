"""Taking and putting back columns, which are places of the last axis.

`pad_columns` puts its first input back among zeros, in the shape of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from trainer.graph.loops import Term, choose
from trainer.graph.ops.op import (
    Array,
    OnnxWriter,
    Op,
    Places,
    Read,
    Shape,
    ShapeError,
    show_shape,
)

if TYPE_CHECKING:
    from trainer.graph.graph import Expr

MAX_INDEX: Final = 2**63 - 1  # as the end of a slice in ONNX: what is behind its start


def concat(a: Array, b: Array) -> Array:
    """The columns of a, then those of b."""
    return np.concatenate((a, b), axis=-1)


def columns(x: Array, *, start: int, stop: int) -> Array:
    """The columns from start on and before stop."""
    return x[..., start:stop]


def pad_columns(g: Array, x: Array, *, start: int, stop: int) -> Array:
    """Zeros of the shape of x, with g as their columns from start to stop."""
    out = np.zeros(x.shape, g.dtype)
    out[..., start:stop] = g
    return out


# Shapes and gradients ---------------------------------------------------------------------------


def _width(shape: Shape) -> int:
    """The length of the last axis."""
    if not shape or not isinstance(shape[-1], int):
        raise ShapeError(f"{show_shape(shape)} has no columns")
    return shape[-1]


def _concatenated(a: Shape, b: Shape) -> Shape:
    width = _width(a) + _width(b)
    if a[:-1] != b[:-1]:
        raise ShapeError(f"{show_shape(a)} and {show_shape(b)} differ in more than their columns")
    return (*a[:-1], width)


def _cut(x: Shape, *, start: int, stop: int) -> Shape:
    if not 0 <= start < stop <= _width(x):
        raise ShapeError(f"{show_shape(x)} has no columns {start}:{stop}")
    return (*x[:-1], stop - start)


def _padded(g: Shape, x: Shape, *, start: int, stop: int) -> Shape:
    if _cut(x, start=start, stop=stop) != g:
        raise ShapeError(f"{show_shape(g)} is not columns {start}:{stop} of {show_shape(x)}")
    return x


def _left_vjp(g: Expr, _out: Expr, a: Expr, _b: Expr) -> Expr:
    return g.apply("columns", start=0, stop=a.shape[-1])


def _right_vjp(g: Expr, out: Expr, a: Expr, _b: Expr) -> Expr:
    return g.apply("columns", start=a.shape[-1], stop=out.shape[-1])


def _columns_vjp(g: Expr, out: Expr, x: Expr) -> Expr:
    return g.apply("pad_columns", x, **out.node.attributes)


def _pad_vjp(g: Expr, out: Expr, _g: Expr, _x: Expr) -> Expr:
    return g.apply("columns", **out.node.attributes)


# In loops ---------------------------------------------------------------------------------------


def _concat_element(read: Read, shapes: Sequence[Shape], at: Sequence[Term]) -> Term:
    *before, column = at
    width = int(shapes[0][-1])
    return choose(column < width, read(0, at), read(1, [*before, column - width]))


def _columns_element(
    read: Read, _shapes: Sequence[Shape], at: Sequence[Term], *, start: int, stop: int
) -> Term:
    *before, column = at
    return read(0, [*before, column + start])


def _pad_element(
    read: Read, _shapes: Sequence[Shape], at: Sequence[Term], *, start: int, stop: int
) -> Term:
    *before, column = at
    inner = read(0, [*before, column - start])
    return choose(column < start, 0.0, choose(column < stop, inner, 0.0))


# As ONNX ----------------------------------------------------------------------------------------


def _concat_onnx(w: OnnxWriter, a: str, b: str) -> str:
    return w.apply("Concat", a, b, axis=-1)


def _columns_onnx(w: OnnxWriter, x: str, start: int, stop: int) -> str:
    return w.apply("Slice", x, *(w.constant([place], np.int64) for place in (start, stop, -1)))


def _pad_onnx(w: OnnxWriter, g: str, x: str, start: int, stop: int) -> str:
    """The columns of x before and behind, as zeros, with g between them."""

    def zeros(first: int, last: int) -> str:
        return w.apply("Expand", w.constant(0), w.apply("Shape", _columns_onnx(w, x, first, last)))

    return w.apply("Concat", zeros(0, start), g, zeros(stop, MAX_INDEX), axis=-1)


COLUMNS: Final = (
    Op(
        name="concat",
        formula="concat({0}, {1})",
        latex=r"\left[@0, @1\right]",
        shape=_concatenated,
        forward=concat,
        vjps=(_left_vjp, _right_vjp),
        form=Places(_concat_element),
        onnx=_concat_onnx,
    ),
    Op(
        name="columns",
        formula="columns({0}, {start}, {stop})",
        shape=_cut,
        forward=columns,
        vjps=(_columns_vjp,),
        undoes="concat",
        form=Places(_columns_element),
        onnx=_columns_onnx,
        program="{0}[..., {start}:{stop}]",
    ),
    Op(
        name="pad_columns",
        formula="pad_columns({0}, {start}, {stop})",
        shape=_padded,
        forward=pad_columns,
        vjps=(_pad_vjp, None),
        undoes="columns",
        form=Places(_pad_element),
        reads=1,
        onnx=_pad_onnx,
    ),
)
