"""Matrix products, and the transpose that their gradients need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from trainer.graph.loops import Term
from trainer.graph.ops.op import Array, Local, OnnxWriter, Op, Places, Read, Shape, ShapeError


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    if len(a) != 2 or len(b) != 2:
        raise ShapeError("both must be matrices")
    if a[1] != b[0]:
        raise ShapeError(f"the inner dimensions {a[1]} and {b[0]} differ")
    return (a[0], b[1])


def _transposed(a: Shape) -> Shape:
    if len(a) != 2:
        raise ShapeError("it must be a matrix")
    return (a[1], a[0])


def _left_local(_out: Array, _a: Array, b: Array) -> Array:
    return b.T


def _right_local(_out: Array, a: Array, _b: Array) -> Array:
    return a.T


def _transpose_local(_out: Array, _a: Array) -> Array:
    return np.ones(())


def _transpose_element(read: Read, _shapes: Sequence[Shape], at: Sequence[Term]) -> Term:
    return read(0, at[::-1])


def _matmul_onnx(w: OnnxWriter, a: str, b: str) -> str:
    return w.apply("MatMul", a, b)


def _transpose_onnx(w: OnnxWriter, a: str) -> str:
    return w.apply("Transpose", a)


MATRICES: Final = (
    Op(
        name="matmul",
        formula="{0} @ {1}",
        latex=r"@0 \, @1",
        shape=_matmul_shape,
        forward=np.matmul,
        vjps=(lambda g, o, a, b: g @ b.T, lambda g, o, a, b: a.T @ g),
        locals=(Local(_left_local, "{1}ᵀ"), Local(_right_local, "{0}ᵀ")),
        form="product",
        onnx=_matmul_onnx,
        program="{0} @ {1}",
    ),
    Op(
        name="transpose",
        formula="{0}ᵀ",
        shape=_transposed,
        forward=np.transpose,
        vjps=(lambda g, o, a: g.T,),
        locals=(Local(_transpose_local, "1"),),
        form=Places(_transpose_element, flips=True),
        onnx=_transpose_onnx,
        program="{0}.T",
    ),
)
