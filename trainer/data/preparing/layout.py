"""Which columns of x are which feature: what the graph must know of the data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """The columns `start` to `stop` of x, which one feature became.

    A feature that is embedded is one column with the number of its category; it has `categories`
    of them, and vectors of the length `dimensions`. Both are None for all others.
    """

    feature: str
    start: int
    stop: int
    categories: int | None = None
    dimensions: int | None = None


@dataclass(frozen=True)
class Layout:
    """The columns of x and y. `weighted` tells whether rows have weights."""

    fields: tuple[Field, ...]
    outputs: int
    weighted: bool = False

    @classmethod
    def plain(cls, features: int, outputs: int) -> Layout:
        """So many numeric features, x1, x2, …, and columns of y."""
        fields = (Field(f"x{i + 1}", i, i + 1) for i in range(features))
        return cls(tuple(fields), outputs)

    @property
    def width(self) -> int:
        """The number of columns of x."""
        return self.fields[-1].stop

    @property
    def seen(self) -> int:
        """The number of columns of x as a model sees it: vectors in the place of codes."""
        return sum(field.dimensions or field.stop - field.start for field in self.fields)
