"""Data drawn from the seed: small problems with a known shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from trainer.data.columns.blocks import blocks
from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import SpecError
from trainer.graph.ops import Array
from trainer.numerics.draws import normal
from trainer.numerics.functions import cos_turns, sin_turns
from trainer.randomness import stream
from trainer.spec.sources import SyntheticSource

Points: TypeAlias = tuple[Array, Array]


@dataclass(frozen=True)
class Shape:
    """What points lie on: `points` are the x and y of the rows with these numbers, without noise.

    The noise is added to the inputs where y is a class, else to y.
    """

    points: Callable[[np.random.Generator, Array], Points]
    features: int
    is_class: bool


def _xor(rng: np.random.Generator, row: Array) -> Points:
    """The corners of a square in turn; the class is whether the two signs differ."""
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    x = corners[row % 4]
    return x, x[:, 0] != x[:, 1]


def _two_moons(rng: np.random.Generator, row: Array) -> Points:
    """Two half circles of radius 1, one upside down and shifted by (1, 0.5)."""
    y = row % 2
    x = _on_circle(rng.random(len(row)) / 2)
    return np.where(y[:, None] == 1, [1.0, 0.5] - x, x), y


def _spirals(rng: np.random.Generator, row: Array) -> Points:
    """Two arms of an Archimedean spiral, 1.5 turns each, that end at radius 1."""
    y = row % 2
    radius = np.sqrt(rng.random(len(row)))
    return radius[:, None] * _on_circle((3 * radius + y) / 2), y


def _on_circle(turns: Array) -> Array:
    """The points of the unit circle so many turns from (1, 0)."""
    return np.stack([cos_turns(turns), sin_turns(turns)], axis=1)


def _linear(rng: np.random.Generator, row: Array) -> Points:
    """Standard normal x, and y = 2 x1 - 3 x2 + 0.5 x3 + 1 + noise."""
    x = normal(rng, (len(row), 3))
    return x, 2 * x[:, 0] - 3 * x[:, 1] + 0.5 * x[:, 2] + 1


SHAPES: Final[Mapping[str, Shape]] = {
    "xor": Shape(_xor, features=2, is_class=True),
    "two_moons": Shape(_two_moons, features=2, is_class=True),
    "spirals": Shape(_spirals, features=2, is_class=True),
    "linear": Shape(_linear, features=3, is_class=False),
}


def draw_synthetic(source: SyntheticSource, seed: int) -> Points:
    """The features and the target. All points are drawn, then the noise.

    Raises `MisfitError` for noise that leaves the range of float64.
    """
    shape, rng = SHAPES[source.synthetic], stream(seed, "synthetic")
    x: Array = np.empty((source.rows, shape.features))
    y: Array = np.empty(source.rows, np.int64 if shape.is_class else np.float64)
    for block in blocks(*x.shape):
        x[block], y[block] = shape.points(rng, np.arange(block.start, block.stop))
    noisy = x if shape.is_class else y
    for block in blocks(*x.shape):
        with np.errstate(over="ignore"):
            noisy[block] += source.noise * normal(rng, noisy[block].shape)
        if not np.isfinite(noisy[block]).all():
            message = f"noise of {source.noise:g} gives numbers too large for float64"
            raise MisfitError(
                SpecError,
                Misfit(("data", "source", "noise"), message, "write less noise", code="TR-D020"),
            )
    return x, y
