"""The space of a sweep: which values each key may take, and how one is picked.

Every kind of dimension is one class; it maps a number u of [0, 1) to a value by the inverse of its
distribution. What is drawn is thus decided by u alone, and by arithmetic that is the same on every
CPU (`trainer.numerics`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, ValidationInfo, field_validator

from trainer.numerics.functions import exp, log
from trainer.randomness import stream
from trainer.spec.fields import wrong
from trainer.spec.messages import describe
from trainer.spec.tagged import Tagged, by_key, models_of
from trainer.sweeps.values import (
    Floats,
    Integers,
    Positives,
    Steps,
    Values,
    number,
    show_value,
)

DIGITS: Final = 6
"""The significant digits of numbers that are drawn: readable, and the same wherever drawn."""


class Dimension(Tagged):
    """The values that a key of the spec may take."""

    @property
    def is_endless(self) -> bool:
        """Whether there is a value between any two, so that a grid needs `steps`."""
        return False

    @property
    @abstractmethod
    def shown(self) -> str:
        """The values as people read them: `0.0001 to 0.3, by factors`."""

    @abstractmethod
    def at(self, u: float) -> Any:
        """The value at u of [0, 1): the inverse of its distribution; floats have 6 digits."""

    @abstractmethod
    def points(self) -> Sequence[Any]:
        """All values, for a grid, from the lowest. Raises `ValueError` where they have no end."""

    @abstractmethod
    def corners(self) -> Sequence[Any]:
        """The lowest and the highest value; of named ones all."""


class _Range(Dimension):
    """Numbers between two bounds, which are among them; evenly spread on a scale of its own."""

    if TYPE_CHECKING:
        steps: int | None

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""

    @property
    def is_endless(self) -> bool:
        """Whether there is a value between any two, so that a grid needs `steps`."""
        return self.steps is None and not self.is_whole

    @property
    def is_log(self) -> bool:
        """Whether factors count, rather than differences."""
        return False

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return False

    @property
    def shown(self) -> str:
        """The values as people read them: `0.0001 to 0.3, by factors`."""
        low, high = map(number, self.bounds)
        parts = [f"{low} to {high}"]
        parts += ["whole numbers"] * self.is_whole + ["by factors"] * self.is_log
        parts += [f"{len(self.points())} of them"] if self.steps is not None else []
        return ", ".join(parts)

    def at(self, u: float) -> float | int:
        """The value at u of [0, 1); with `steps` each of them has an equal part."""
        if self.steps is not None:
            points = self.points()
            return points[min(int(u * len(points)), len(points) - 1)]
        return self.snap(self._between(*self.bounds, u))

    def points(self) -> Sequence[float | int]:
        """The steps, from the lowest."""
        if self.steps is None:
            raise ValueError("there is a value between any two")
        return _steps_of(self)

    def corners(self) -> Sequence[float | int]:
        """The bounds."""
        return self.bounds

    def snap(self, x: float) -> float | int:
        """The value nearest to a number; of two that are equally near the lower."""
        if self.steps is None:
            return self._rounded(x)
        scaled = self._scaled(min(max(x, self.bounds[0]), self.bounds[1]))
        return min(self.points(), key=lambda point: abs(self._scaled(point) - scaled))

    def _between(self, low: float, high: float, part: float) -> float:
        """What lies a part of the way from the lowest to the highest."""
        if not self.is_log:
            return low + part * (high - low)
        start = self._scaled(low)
        return float(exp(start + part * (self._scaled(high) - start)))

    def _scaled(self, x: float) -> float:
        return float(log(x)) if self.is_log else x

    def _rounded(self, x: float) -> float | int:
        low, high = self.bounds
        return min(max(float(f"{x:.{DIGITS}g}"), low), high)


@lru_cache(256)
def _steps_of(dimension: _Range) -> Sequence[float | int]:
    """The steps of a dimension, each once, from the lowest."""
    (low, high), last = dimension.bounds, (dimension.steps or 2) - 1
    inner = (dimension._between(low, high, i / last) for i in range(1, last))
    return tuple(dict.fromkeys([low, *map(dimension._rounded, inner), high]))


class LogDimension(_Range):
    """Numbers above 0 whose logarithm is evenly spread: each factor is as likely as the next."""

    log: Positives
    """The lowest and the highest number: `[1e-4, 0.3]`."""
    steps: Steps | None = None
    """So many values alone, evenly spaced by a factor, the bounds among them; a grid needs it."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.log

    @property
    def is_log(self) -> bool:
        """Whether factors count, rather than differences."""
        return True


class UniformDimension(_Range):
    """Numbers that are evenly spread."""

    uniform: Floats
    """The lowest and the highest number: `[0, 0.99]`."""
    steps: Steps | None = None
    """So many values alone, evenly spaced, the bounds among them; a grid needs it."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.uniform


class IntegersDimension(_Range):
    """Whole numbers, each as likely as the others, or with `log: true` each factor.

    Number k stands for the real numbers from k - ½ to k + ½: of a to b it is the one nearest to a
    number from a - ½ to b + ½ that is evenly spread, or whose logarithm is. So each can come, with
    `log` k by log((k + ½) / (k - ½)) of log((b + ½) / (a - ½)).
    """

    integers: Integers
    """The lowest and the highest number: `[4, 64]`."""
    log: bool = False
    """Whether their logarithm is evenly spread."""
    steps: Steps | None = None
    """So many of them alone, evenly spaced, the bounds among them."""

    @field_validator("log")
    @classmethod
    def _above_zero(cls, log: bool, info: ValidationInfo) -> bool:
        low = info.data.get("integers", (1, 1))[0]
        if log and low < 1:
            raise wrong(f"a logarithm is of numbers above 0, and the lowest is {low}",
                        "begin at 1, or leave log out", code="TR-W002")  # fmt: skip
        return log

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest value."""
        return self.integers

    @property
    def is_log(self) -> bool:
        """Whether factors count, rather than differences."""
        return self.log

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return True

    def at(self, u: float) -> int:
        """The value at u of [0, 1); with `steps` each of them has an equal part."""
        if self.steps is not None:
            return int(super().at(u))
        low, high = self.integers
        return self._rounded(self._between(low - 0.5, high + 0.5, u))

    def points(self) -> Sequence[int]:
        """The steps, each once, or all numbers; from the lowest."""
        if self.steps is None:
            return range(self.integers[0], self.integers[1] + 1)
        return [int(point) for point in super().points()]

    def _rounded(self, x: float) -> int:
        low, high = self.integers
        return min(max(math.floor(x + 0.5), low), high)


class ValuesDimension(Dimension):
    """Values by name, each as likely as the others."""

    values: Values
    """Whatever can stand at this key of the spec: `[8, 16, 32]`, `[constant, {type: cosine}]`."""

    @property
    def shown(self) -> str:
        """The values as people read them, one after the other."""
        return ", ".join(map(show_value, self.values))

    def at(self, u: float) -> Any:
        """The value at u of [0, 1): each has an equal part, in their order."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def points(self) -> Sequence[Any]:
        """All of them, in their order."""
        return self.values

    def corners(self) -> Sequence[Any]:
        """All of them."""
        return self.values


def _no_mapping(value: Any) -> Any:
    """Who writes values alone is told the kinds."""
    if isinstance(value, dict | Dimension):
        return value
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    short = value is not None and shown and len(shown) <= 60
    hint = f"write {{values: [{shown}]}}" if short else None
    kinds = ", ".join(f"{{{tag}: …}}" for tag in models_of(DimensionSpec))
    raise wrong(f"expected one of {kinds}, found {describe(value)}", hint, code="TR-W002")


DimensionSpec: TypeAlias = Annotated[
    IntegersDimension | LogDimension | UniformDimension | ValuesDimension,  # `log` is also a key
    by_key(),
    BeforeValidator(_no_mapping),
]

Space: TypeAlias = Mapping[str, Dimension]


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every point, in the order of the file: the last key changes quickest."""
    points = [each.points() for each in space.values()]  # of whole numbers there may be very many
    for rest in range(math.prod(map(len, points))):
        values = []
        for of_key in reversed(points):
            rest, place = divmod(rest, len(of_key))
            values.append(of_key[place])
        yield dict(zip(space, reversed(values), strict=True))


def count_points(space: Space) -> int:
    """How many points a grid has."""
    return math.prod(len(dimension.points()) for dimension in space.values())


def edges(space: Space) -> list[dict[str, Any]]:
    """Points that a mistake in the space shows at: each corner of each dimension with the others in
    their middle, and all at their lowest and highest.
    """
    middle = {key: dimension.at(0.5) for key, dimension in space.items()}
    lowest = {key: dimension.corners()[0] for key, dimension in space.items()}
    highest = {key: dimension.corners()[-1] for key, dimension in space.items()}
    one = [
        middle | {key: corner} for key, each in space.items() for corner in each.corners()
    ]  # fmt: skip
    return [*one, lowest, highest, middle]


def draw(space: Space, seed: int, trial: int) -> dict[str, Any]:
    """The values of a trial that is drawn at random: by its number alone, a dimension after the
    other in the order of the file.
    """
    parts = stream(seed, "sweep", trial).random(len(space)).tolist()
    return {key: each.at(u) for (key, each), u in zip(space.items(), parts, strict=True)}
