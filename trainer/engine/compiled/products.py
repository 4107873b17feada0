"""Matrix products for generated kernels: loading them, and for which sizes to call which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


def load_products(dtype: str, target: Target, told: Callable[[], None] | None = None) -> Products:
    """The products of float32 or float64; `told` is called before they are made, once a machine."""
    found = _loaded.get((dtype, target))
    if found is None:
        code = load_code(products_text(dtype, target), target, told=told)
        found = Products(code, {name: code.address(name) for name in NAMES})
        _loaded[dtype, target] = found
    return found


def use_tiles(m: int, n: int, k: int) -> bool:
    """Whether tiles on two threads beat one call, for a result of m × n and inner size k."""
    return m * n * (k + 16) >= 500_000


def tile_shape(form: str, m: int, n: int, k: int) -> tuple[int, int]:
    """Rows and columns of a tile of an m × n result, with inner size k: a job for one thread.

    Whoever packs or turns B does it once for all rows of a tile, so that tiles of `nt` are as tall
    as they can be, and those of large products; others are as wide.
    """
    jobs = 2 if m * n * k < 1_000_000 else 4 if m * n * k < 4_000_000 else 8
    if m * n * k >= 100_000_000:
        height, width = min(m, 512), n
        while width > 320:
            width //= 2
        while -(-m // height) * -(-n // width) < jobs and max(height, width) > 64:
            height, width = (height // 2, width) if height > width else (height, width // 2)
        return height, _rounded(width, 16)
    tall = form == "nt" and k >= 32 and n >= 16 * jobs
    if tall or m < 8 * jobs:
        return min(m, 512), min(_rounded(-(-n // jobs), 16), n)
    step = 8 if form != "tn" or n >= 16 else 48  # narrow ones are computed along their rows
    return min(_rounded(-(-m // jobs), step), m), n


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step


def use_loops(m: int, n: int, k: int) -> bool:
    """Whether plain loops in the generated code beat one call."""
    return k == 1 or m * n * k <= 256
