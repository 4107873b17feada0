"""The ops: the elementwise ones a row each, the others a file each for a family.

`OPS` has them by name. All that is known of an op stands in its row or file: who runs, compiles,
exports or explains a graph asks there, and to add an op nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainer.graph.ops.columns import COLUMNS
from trainer.graph.ops.elementwise import ELEMENTWISE
from trainer.graph.ops.matrices import MATRICES
from trainer.graph.ops.op import (
    BATCH,
    LEAKY_SLOPE,
    LEAVES,
    Array,
    Axes,
    Dim,
    InOrder,
    Local,
    OnnxWriter,
    Op,
    Places,
    Read,
    Rows,
    Shape,
    ShapeError,
    show_shape,
)
from trainer.graph.ops.reductions import REDUCTIONS
from trainer.graph.ops.softmax import ROWS
from trainer.graph.ops.tables import TABLES

__all__ = [
    "ACTIVATIONS",
    "BATCH",
    "LEAKY_SLOPE",
    "LEAVES",
    "OPS",
    "Array",
    "Axes",
    "Dim",
    "InOrder",
    "Local",
    "OnnxWriter",
    "Op",
    "Places",
    "Read",
    "Rows",
    "Shape",
    "ShapeError",
    "show_shape",
]

_TABLE: Final = (*ELEMENTWISE, *ROWS, *MATRICES, *REDUCTIONS, *COLUMNS, *TABLES)

OPS: Final[Mapping[str, Op]] = {op.name: op for op in _TABLE}
ACTIVATIONS: Final[Mapping[str, str]] = {
    "identity": "glorot_uniform",
    **{op.name: op.init for op in _TABLE if op.init},
}
"""The activations that a layer can name, and the default initialiser of its weights."""
