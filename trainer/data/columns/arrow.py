"""Arrays of Arrow from NumPy's, and from texts.

`pa.array` imports pandas first where that is installed, which takes longer than most commands; for
the kinds that are frequent here, Arrow is given the bytes instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from trainer.graph.ops import Array

_MOST: Final = 2**31 - 1
"""Bytes that the texts of one array may have."""


def arrow_array(values: Array) -> Any:
    """The values, of shape (rows,), as an array of Arrow of the same type."""
    import pyarrow as pa

    if values.dtype.kind == "U":
        return arrow_texts(values.tolist())
    if values.dtype.kind not in "biuf" or not values.dtype.isnative:
        return pa.array(values)
    bits = np.packbits(values, bitorder="little") if values.dtype == bool else values
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(
        kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(bits))]
    )


def arrow_texts(texts: Sequence[str | None]) -> Any:
    """The texts as an array of Arrow; None is a missing value."""
    import pyarrow as pa

    pieces = [(text or "").encode() for text in texts]
    ends = np.cumsum([0, *map(len, pieces)])
    if ends[-1] > _MOST:
        return pa.array(texts, pa.string())
    there = np.array([text is not None for text in texts], bool)
    valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    buffers = [valid, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(pieces))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def arrow_table(columns: Mapping[str, Array]) -> Any:
    """A table of Arrow with these columns, each of shape (rows,)."""
    import pyarrow as pa

    return pa.table({name: arrow_array(values) for name, values in columns.items()})
