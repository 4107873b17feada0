"""Matrix products for generated kernels: loading them, and for which sizes to call which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from trainer.engine.compiled.multiply import NAMES, products_text
from trainer.engine.compiled.objects import load_code
from trainer.engine.compiled.target import Code, Target


@dataclass(frozen=True)
class Products:
    """The products of a dtype, ready to be called: `addresses` by name. They stay in memory."""

    code: Code
    addresses: dict[str, int]


_loaded: Final[dict[tuple[str, Target], Products]] = {}


def load_products(dtype: str, target: Target) -> Products:
    """The products of float32 or float64, made once a machine in some tenths of a second."""
    found = _loaded.get((dtype, target))
    if found is None:
        recipe = f"products of {dtype}"
        code = load_code(partial(products_text, dtype, target), target, recipe=recipe)
        found = Products(code, {name: code.address(name) for name in NAMES})
        _loaded[dtype, target] = found
    return found


def use_tiles(m: int, n: int, k: int) -> bool:
    """Whether tiles on two threads beat one call, for a result of m × n and inner size k.

    A job takes the team some tenths of a µs to hand out, and one or two to begin with. µs in
    float32 with 512-bit vectors, tiles as `tile_shape` cuts them, one after the other on one
    thread, so that what cutting costs is seen:

    | form | m × n × k       | one call |  tiles | of them |
    |------|-----------------|----------|--------|---------|
    | nn   | 64, 10, 64      |      1.0 |    1.0 |       2 |
    | nt   | 128, 128, 10    |      2.3 |    2.5 |       2 |
    | nn   | 128, 10, 128    |      3.5 |    4.0 |       2 |
    | nn   | 64, 128, 64     |      5.2 |    5.4 |       2 |
    | tn   | 64, 128, 64     |      5.4 |    5.5 |       2 |
    | nt   | 64, 128, 64     |      6.6 |    6.0 |       2 |
    | nn   | 128, 256, 784   |      263 |    259 |       8 |
    | tn   | 784, 256, 128   |      268 |    276 |       8 |
    | nt   | 128, 256, 128   |       45 |     45 |       8 |
    | nt   | 512, 2048, 10   |      247 |    224 |       8 |
    | tn   | 2048, 10, 512   |      291 |    297 |       8 |
    | nn   | 512, 2048, 1024 |   13 413 | 14 142 |      22 |
    | tn   | 1024, 2048, 512 |   14 293 | 15 294 |      22 |

    With two cores a step of digits (see `benchmarks/`), whose products take 5 µs, took 73 µs in
    tiles and 43 without: another core must hear of a job, and its part of the rows must get there.
    """
    return m * n * k >= 1_000_000


def tile_shape(form: str, m: int, n: int, k: int) -> tuple[int, int]:
    """Rows and columns of a tile of an m × n result, with inner size k: a job for one thread.

    B is packed or turned once for all rows of a tile, so that tiles of `nt` and of large products
    are tall; others are as wide as they can be. Large products are cut into so many that threads
    end at about the same time.
    """
    if m * n * k >= 100_000_000:
        across = -(-n // 192)  # columns that are packed at once in float32
        height = min(m, 512)
        while height > 256 and -(-m // height) * across < 12:
            height = _rounded(height // 2, 8)
        return height, min(_rounded(-(-n // across), 16), n)
    jobs = 4 if m * n * k < 32_000_000 else 8
    tall = form == "nt" and k >= 32 and n >= 16 * jobs
    if tall or m < 8 * jobs:
        return min(m, 512), min(_rounded(-(-n // jobs), 16), n)
    step = 8 if form != "tn" or n >= 16 else 48  # narrow ones are computed along their rows
    return min(_rounded(-(-m // jobs), step), m), n


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step


def use_loops(m: int, n: int, k: int) -> bool:
    """Whether plain loops in the generated code beat one call.

    ns of a call in float64 with 512-bit vectors, for a layer of n units on m rows with k inputs:
    forward, the gradient of its weights (k × n) and that of its input (m × k). Loops make about one
    vector's fma in 0.5 ns.

    | m, n, k    |  nn |  tn |  nt |
    |------------|-----|-----|-----|
    | 1, 1, 1    |  25 |  28 |  32 |
    | 1, 2, 3    |  26 |  32 |  32 |
    | 1, 8, 8    |  20 |  23 |  35 |
    | 8, 4, 4    |  37 |  46 |  42 |
    | 8, 8, 8    |  32 |  32 |  49 |
    | 32, 16, 4  |  86 |  62 | 163 |
    | 16, 16, 16 | 107 | 105 | 142 |
    """
    return k == 1 or m * n * k <= 256
