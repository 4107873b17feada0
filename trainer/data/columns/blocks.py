"""Rows in blocks: what is computed from many rows takes the memory of a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CELLS: Final = 2**16
"""How many numbers a block has, about; no result depends on it."""
WIDE: Final = 2**20
"""The same where rows are wide: what is done column by column is not to be done row by row."""
LEAST: Final = 64
"""The rows that such a block has at most."""


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices that follow one another and cover all rows."""
    size = max(1, CELLS // columns, min(LEAST, WIDE // columns))
    if size > 1:  # draws come in pairs, and sums are quicker by whole segments
        size -= size % (LEAST if size > LEAST else 2)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
