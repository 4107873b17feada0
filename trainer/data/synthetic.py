"""Data drawn from the seed: small problems with a known shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np

from trainer.data.table import Table, from_arrays
from trainer.errors import SpecError
from trainer.graph.ops import Array
from trainer.randomness import stream
from trainer.spec.schema import Spec, SyntheticSource

Drawn: TypeAlias = tuple[Array, Array]


def _xor(rng: np.random.Generator, rows: int, noise: float) -> Drawn:
    """The corners of a square in turn; the class is whether the two signs differ."""
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    x = corners[np.arange(rows) % 4]
    return x + noise * rng.standard_normal(x.shape), (x[:, 0] != x[:, 1]).astype(np.int64)


def _two_moons(rng: np.random.Generator, rows: int, noise: float) -> Drawn:
    """Two half circles of radius 1, one upside down and shifted by (1, 0.5)."""
    y = np.arange(rows) % 2
    angle = np.pi * rng.random(rows)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 1, [1.0, 0.5] - x, x)
    return x + noise * rng.standard_normal(x.shape), y


def _spirals(rng: np.random.Generator, rows: int, noise: float) -> Drawn:
    """Two arms of an Archimedean spiral, 1.5 turns each, that end at radius 1."""
    y = np.arange(rows) % 2
    radius = np.sqrt(rng.random(rows))
    angle = 3 * np.pi * radius + np.pi * y
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + noise * rng.standard_normal(x.shape), y


def _linear(rng: np.random.Generator, rows: int, noise: float) -> Drawn:
    """Standard normal x, and y = 2 x1 - 3 x2 + 0.5 x3 + 1 + noise."""
    x = rng.standard_normal((rows, 3))
    y = 2 * x[:, 0] - 3 * x[:, 1] + 0.5 * x[:, 2] + 1
    return x, y + noise * rng.standard_normal(rows)


PROBLEMS: Final[Mapping[str, Callable[[np.random.Generator, int, float], Drawn]]] = {
    "xor": _xor,
    "two_moons": _two_moons,
    "spirals": _spirals,
    "linear": _linear,
}


def draw_synthetic(source: SyntheticSource, spec: Spec) -> Table:
    """The table of features x1, x2, … and the target y."""
    rng = stream(spec.seed, "synthetic")
    with np.errstate(over="ignore"):
        x, y = PROBLEMS[source.synthetic](rng, source.rows, source.noise)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        message = f"noise of {source.noise:g} gives numbers too large for float64"
        raise SpecError(spec.problem(("data", "source", "noise"), message))
    return from_arrays(x, y, spec, f"synthetic/{source.synthetic}")
