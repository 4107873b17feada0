"""From rows to predictions."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from trainer.export.runtime.bodies import check_names, check_present
from trainer.export.runtime.facts import DTYPE, FEATURES, network
from trainer.export.runtime.model import answer, check, expand, numbers, scaled
from trainer.graph.ops import Array

ROWS = 4096  # how many are computed at a time


def arrays(data: bytes) -> dict[str, Array]:
    """The arrays in the bytes of a safetensors file, by name."""
    (size,) = struct.unpack("<Q", data[:8])
    header, found = json.loads(data[8 : 8 + size]), {}
    kinds = {"F32": "<f4", "F64": "<f8"}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            flat: Array = np.frombuffer(data[begin:end], dtype=kinds[entry["dtype"]])
            found[name] = flat.reshape(entry["shape"])
    return found


def matrix(rows: Any) -> Array:
    """The rows as float64 of shape (rows, features), from columns by name or from lists."""
    if hasattr(rows, "keys"):
        check_names(list(rows.keys()), FEATURES)
        check_present(rows.keys())
        columns: list[Any] = [rows[name] for name in FEATURES]
    else:
        rows = list(rows)
        for i, row in enumerate(rows):
            if not hasattr(row, "__len__") or len(row) != len(FEATURES):
                found = len(row) if hasattr(row, "__len__") else repr(row)
                raise ValueError(f"row {i}: expected {len(FEATURES)} numbers, found {found}")
        columns = list(zip(*rows, strict=True)) if rows else [[] for _ in FEATURES]
    for name, column in zip(FEATURES, columns, strict=True):
        if isinstance(column, str) or not hasattr(column, "__len__"):
            raise ValueError(f"column {name!r}: expected its cells in a list, found {column!r}")
        if len(column) != len(columns[0]):
            raise ValueError(f"column {name!r}: {len(column)} cells, not {len(columns[0])}")
    return np.stack([numbers(*pair) for pair in zip(FEATURES, columns, strict=True)], axis=1)


def encode(rows: Any, p: dict[str, Array]) -> Array:
    """What the network takes, in its dtype, for raw rows. Rows of messages count from 0."""
    raw = matrix(rows)
    with np.errstate(all="ignore"):
        x = scaled(expand(raw, p), p).astype(DTYPE)
    check(raw, x)
    return np.asarray(x)


def predict(rows: Any, p: dict[str, Array]) -> dict[str, Array]:
    """A value a row for each of COLUMNS, from raw rows: columns by name, or lists of numbers."""
    x = encode(rows, p)
    starts = range(0, max(len(x), 1), ROWS)
    with np.errstate(all="ignore"):
        out = np.concatenate([network(x[i : i + ROWS], p) for i in starts])
    return answer(out, p)
