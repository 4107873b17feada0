"""Random numbers drawn by counter: the same (seed, purpose, index) gives the same stream.

There is no global state and no generator that is handed around, so nothing depends on what was
drawn before. Streams are NumPy's Philox, a counter-based generator (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np

Purpose: TypeAlias = Literal["split", "initialise", "order", "synthetic"]
PURPOSES: Final[dict[Purpose, int]] = {"split": 1, "initialise": 2, "order": 3, "synthetic": 4}


def stream(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The generator for one purpose: `index` is the epoch, or a parameter's number.

    The Philox key is (seed, number of the purpose) and its 256-bit counter starts at
    index · 2¹⁹², so streams never overlap. See docs/reproducibility.md.
    """
    bits = np.random.Philox(
        key=np.array([seed, PURPOSES[purpose]], dtype=np.uint64),
        counter=np.array([0, 0, 0, index], dtype=np.uint64),
    )
    return np.random.Generator(bits)
