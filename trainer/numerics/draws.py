"""Normal draws, from uniform ones by arithmetic of our own.

NumPy's normal draws call the C library for the tails, and its rejections make a draw depend on all
before it. Here a pair takes two numbers of the generator, whatever they are.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from trainer.numerics.functions import cos_turns, log, sin_turns

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

PAIRS: Final = 2**14  # in work at a time; no result depends on it


def normal(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Array:
    """Independent standard normal numbers in float64, of this shape, in C order.

    Number 2 i is r cos(2 π v) and number 2 i + 1 is r sin(2 π v), with r = √(-2 log(1 - u)), for
    the uniform u and v that are drawn in turn; of an odd number the last sine is left out (G. E. P.
    Box and M. E. Muller, "A note on the generation of random normal deviates", 1958).
    """
    found: Array = np.empty(shape)
    flat = found.reshape(-1)
    for start in range(0, len(flat), 2 * PAIRS):
        some = flat[start : start + 2 * PAIRS]
        u, v = rng.random((-(-len(some) // 2), 2)).T
        radius = np.sqrt(-2.0 * log(1.0 - u))
        pairs = np.stack([radius * cos_turns(v), radius * sin_turns(v)], axis=1)
        some[:] = pairs.reshape(-1)[: len(some)]
    return found
