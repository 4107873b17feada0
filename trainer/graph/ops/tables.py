"""Rows of a table (V, D) by their numbers, and the sum of rows by number.

Numbers are whole ones of the graph's dtype, of shape (B, 1); one outside of 0 … V - 1 gives zeros.
`scatter` adds rows up by number, in their order, so that the sum has the same bits everywhere; of
its third input, the table, it needs the shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from trainer.graph.loops import (
    Element,
    For,
    If,
    Name,
    Number,
    Statement,
    Store,
    Term,
    Whole,
    apply,
    choose,
    compare,
)
from trainer.graph.ops.op import (
    Array,
    InOrder,
    OnnxWriter,
    Op,
    Places,
    Read,
    Shape,
    ShapeError,
    show_shape,
)


def row_numbers(index: Array, rows: int) -> tuple[Array, Array]:
    """Of an index of shape (B, 1): which numbers name one of so many rows, and these numbers.

    A fraction is cut off; nan names no row. Where a number names none, row 0 stands.
    """
    number = np.real(index)[:, 0]
    inside = (number >= 0) & (number < rows)
    return inside, np.where(inside, number, 0).astype(np.int64)


def lookup(table: Array, index: Array) -> Array:
    """The rows of the table with these numbers, zeros where there is none."""
    inside, numbers = row_numbers(index, len(table))
    return np.where(inside[:, None], table[numbers], table.dtype.type(0))


def scatter(g: Array, index: Array, table: Array) -> Array:
    """The rows of g added up by number, in the shape of the table."""
    inside, numbers = row_numbers(index, len(table))
    out = np.zeros(table.shape, g.dtype)
    np.add.at(out, numbers[inside], g[inside])  # one row after the other, in their order
    return out


def _looked_up(table: Shape, index: Shape) -> Shape:
    if len(table) != 2 or not all(isinstance(dim, int) for dim in table):
        raise ShapeError(f"{show_shape(table)} is no table of rows")
    if len(index) != 2 or index[1] != 1:
        raise ShapeError(f"{show_shape(index)} is no column of row numbers")
    return (index[0], table[1])


def _scattered(g: Shape, index: Shape, table: Shape) -> Shape:
    if _looked_up(table, index) != g:
        raise ShapeError(f"{show_shape(g)} is not what a lookup in {show_shape(table)} gives")
    return table


# In loops ---------------------------------------------------------------------------------------


def _names_a_row(number: Term, rows: int) -> Term:
    """Whether a number names one of so many rows; nan does not."""
    return apply("and", compare("at_least", number, 0.0), number < float(rows))


def _lookup_element(read: Read, shapes: Sequence[Shape], at: Sequence[Term]) -> Term:
    number = read(1, [at[0], Whole(0)])
    found = read(0, [apply("int", number), at[1]])
    return choose(_names_a_row(number, int(shapes[0][0])), found, 0.0)


def _scatter_statements(
    read: Read, out: str, sizes: Sequence[Sequence[Term]]
) -> list[Statement]:  # fmt: skip
    (count, _), _, (rows, columns) = sizes
    i, j = Name("i", "int"), Name("j", "int")
    number = read(1, [i, Whole(0)])
    cell = (apply("int", number), j)
    add = Store(out, cell, Element(out, cell) + read(0, [i, j]))
    assert isinstance(rows, Whole)
    return [
        _over(i, rows, _over(j, columns, Store(out, (i, j), Number(0.0)))),
        _over(i, count, If(_names_a_row(number, rows.value), (_over(j, columns, add),))),
    ]


def _over(index: Name, length: Term, *body: Statement) -> For:
    return For(index.text, Whole(0), length, body)


# As ONNX ----------------------------------------------------------------------------------------


def _row_numbers_onnx(w: OnnxWriter, index: str, table: str) -> tuple[str, str]:
    """Which numbers name a row of the table, and these numbers, both of shape (B, 1)."""
    rows = w.apply("Gather", w.apply("Shape", table), w.constant([0], np.int64))
    rows = w.cast(rows, w.dtype)
    zero = w.constant(0)
    inside = w.apply("And", w.apply("GreaterOrEqual", index, zero), w.apply("Less", index, rows))
    return inside, w.cast(w.apply("Where", inside, index, zero), np.int64)


def _lookup_onnx(w: OnnxWriter, table: str, index: str) -> str:
    inside, numbers = _row_numbers_onnx(w, index, table)
    flat = w.apply("Squeeze", numbers, w.constant([1], np.int64))
    return w.apply("Where", inside, w.apply("Gather", table, flat, axis=0), w.constant(0))


def _scatter_onnx(w: OnnxWriter, g: str, index: str, table: str) -> str:
    inside, numbers = _row_numbers_onnx(w, index, table)
    zeros = w.apply("Expand", w.constant(0), w.apply("Shape", table))
    rows = w.apply("Where", inside, g, w.constant(0))
    places = w.apply("Expand", numbers, w.apply("Shape", g))
    return w.apply("ScatterElements", zeros, places, rows, axis=0, reduction="add")


TABLES: Final = (
    Op(
        name="lookup",
        formula="lookup({0}, {1})",
        shape=_looked_up,
        forward=lookup,
        vjps=(lambda g, o, table, i: g.apply("scatter", i, table), None),
        form=Places(_lookup_element),
        onnx=_lookup_onnx,
    ),
    Op(
        name="scatter",
        formula="scatter({0}, {1})",
        shape=_scattered,
        forward=scatter,
        vjps=(lambda g, o, _g, i, table: g.apply("lookup", i), None, None),
        undoes="lookup",
        form=InOrder(_scatter_statements),
        reads=2,
        onnx=_scatter_onnx,
    ),
)
