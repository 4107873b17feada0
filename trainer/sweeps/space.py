"""The space of a sweep: which values each key may take, and how one is picked.

Every kind of dimension is one class; it maps a number u of [0, 1) to a value by the inverse of its
distribution. What is drawn is thus decided by u alone, and by arithmetic that is the same on every
CPU (`trainer.numerics`).
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from trainer.numerics.functions import exp, log
from trainer.randomness import stream
from trainer.spec.document import show_text
from trainer.spec.fields import wrong
from trainer.spec.messages import describe
from trainer.spec.tagged import Tagged, by_key, models_of

DIGITS: Final = 6
"""The significant digits of numbers that are drawn: readable, and the same wherever drawn."""
LARGEST: Final = 1e30
LARGEST_INTEGER: Final = 10**12
MOST_STEPS: Final = 10**6


# Bounds -----------------------------------------------------------------------------------------


def _two(value: Any, *, whole: bool = False, above: float | None = None) -> tuple[Any, Any]:
    """The bounds [lowest, highest] of a dimension: whole numbers, or floats; `above` a number."""
    numbers = "two whole numbers" if whole else "two numbers"
    if not isinstance(value, list | tuple) or len(value) != 2:
        found = f"a list of {len(value)}" if isinstance(value, list) and value else describe(value)
        raise wrong(f"expected {numbers}, [lowest, highest], found {found}")
    low, high = (_bound(each, i, whole, above) for i, each in enumerate(value))
    if not low < high:
        shown = number(low), number(high)
        hint = (
            f"write [{shown[1]}, {shown[0]}]" if low > high else f"write {{values: [{shown[0]}]}}"
        )
        raise wrong(f"the lowest, {shown[0]}, is not below the highest, {shown[1]}", hint)
    return low, high


def number(x: float) -> str:
    """A number as people write it."""
    return str(x) if isinstance(x, int) or float(f"{x:g}") != x else f"{x:g}"


def _bound(value: Any, place: int, whole: bool, above: float | None) -> float | int:
    kind, size = ("whole number", LARGEST_INTEGER) if whole else ("number", LARGEST)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        wrote = isinstance(value, float) and value.is_integer() and abs(value) < size
        raise wrong(f"expected a {kind}, found {describe(value)}",
                    f"write {value:.0f}" if wrote else None, (place,))  # fmt: skip
    if not abs(value) <= size:
        raise wrong(f"expected a {kind} of at most {size:g}, found {describe(value)}", at=(place,))
    if above is not None and not value > above:
        hint = "a logarithm is of numbers above 0; write {uniform: …} for a range with 0"
        raise wrong(f"expected a {kind} above {above:g}, found {describe(value)}",
                    hint, (place,))  # fmt: skip
    return value if whole else float(value)


def _schema(kind: str, **bounds: float) -> WithJsonSchema:
    item = {"type": kind, **bounds}
    return WithJsonSchema({"type": "array", "items": item, "minItems": 2, "maxItems": 2})


Floats: TypeAlias = Annotated[
    tuple[float, float], BeforeValidator(lambda value: _two(value)), _schema("number")
]
Positives: TypeAlias = Annotated[
    tuple[float, float],
    BeforeValidator(lambda value: _two(value, above=0)),
    _schema("number", exclusiveMinimum=0),
]
Integers: TypeAlias = Annotated[
    tuple[int, int],
    BeforeValidator(lambda value: _two(value, whole=True)),
    _schema("integer", minimum=-LARGEST_INTEGER, maximum=LARGEST_INTEGER),
]
Steps: TypeAlias = Annotated[int, Field(ge=2, le=MOST_STEPS)]


def _values(value: Any) -> tuple[Any, ...]:
    """One value or more, which differ."""
    if not isinstance(value, list | tuple):
        hint = None if isinstance(value, dict) else f"write [{value}]"
        raise wrong(f"expected a list of values, found {describe(value)}", hint)
    if not value:
        raise wrong("expected a list of at least 1 value, found an empty list")
    for i, each in enumerate(value):
        if any(same(each, other) for other in value[:i]):
            raise wrong(f"{_shown(each)} stands here a second time", "leave it out", (i,))
    return tuple(value)


def show_value(value: Any) -> str:
    """A value of a spec in a line, as people write it."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(value)
    return show_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def same(a: Any, b: Any) -> bool:
    """Whether two values of a spec are one: 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(isinstance(a, bool) == isinstance(b, bool) and a == b)


def _shown(value: Any) -> str:
    return describe(value) if isinstance(value, list | dict) else f"'{value}'"


# The kinds --------------------------------------------------------------------------------------


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
                        "begin at 1, or leave log out")  # fmt: skip
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

    values: Annotated[
        tuple[Any, ...],
        BeforeValidator(_values),
        WithJsonSchema({"type": "array", "minItems": 1}),
    ]
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
    raise wrong(f"expected one of {kinds}, found {describe(value)}", hint)


DimensionSpec: TypeAlias = Annotated[
    IntegersDimension | LogDimension | UniformDimension | ValuesDimension,  # `log` is also a key
    by_key(),
    BeforeValidator(_no_mapping),
]

Space: TypeAlias = Mapping[str, Dimension]


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every point, in the order of the file: the last key changes quickest."""
    for values in product(*(dimension.points() for dimension in space.values())):
        yield dict(zip(space, values, strict=True))


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


def draw(space: Space, seed: int, number: int) -> dict[str, Any]:
    """The values of a trial that is drawn at random: by its number alone, a dimension after the
    other in the order of the file.
    """
    parts = stream(seed, "sweep", number).random(len(space)).tolist()
    return {key: each.at(u) for (key, each), u in zip(space.items(), parts, strict=True)}
