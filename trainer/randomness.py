"""Random numbers drawn by counter: the same (seed, purpose, index) gives the same stream.

There is no global state and no generator that is handed around, so nothing depends on what was
drawn before. Streams are NumPy's Philox, a counter-based generator (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np

Purpose: TypeAlias = Literal[
    "split", "initialise", "order", "synthetic", "dropout", "importance", "sweep"
]
PURPOSES: Final[dict[Purpose, int]] = {
    "split": 1,
    "initialise": 2,
    "order": 3,
    "synthetic": 4,
    "dropout": 5,
    "importance": 6,
    "sweep": 7,
}


def stream(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The generator for one purpose: `index` is the epoch, or a parameter's number.

    The Philox key is (seed, number of the purpose) and its 256-bit counter starts at
    index · 2¹⁹², so streams never overlap. See docs/reproducibility.md.
    """
    return np.random.Generator(_bits(seed, purpose, 0, index))


def random_rows(
    seed: int, purpose: Purpose, index: int, number: int, first: int, rows: int, columns: int
) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Rows of 32 random bits a cell, of shape (rows, columns), from the row `first` on.

    Each row is drawn by its own counters, so it does not depend on where the call begins: with
    b = ⌈columns / 8⌉, row r takes the b counters from r · b on, each of which gives 8 cells. The
    counter starts at index · 2¹⁹² + number · 2¹²⁸.
    """
    blocks = -(-columns // 8)
    bits = _bits(seed, purpose, number, index).advance(first * blocks)
    cells = bits.random_raw(rows * blocks * 4).astype("<u8").view("<u4")
    return np.asarray(cells.reshape(rows, blocks * 8)[:, :columns])


def _bits(seed: int, purpose: Purpose, number: int, index: int) -> np.random.Philox:
    return np.random.Philox(
        key=np.array([seed, PURPOSES[purpose]], dtype=np.uint64),
        counter=np.array([0, 0, number, index], dtype=np.uint64),
    )
