"""Rows that are ready for an engine: in memory, whole or in the order of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from trainer.graph.ops import Array


class AnyPart(Protocol):
    """Some rows of the data, in memory (`Part`) or on disk (`StreamedPart`)."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """The bytes of all rows."""

    @property
    def held(self) -> int:
        """The bytes of them that are in memory."""

    def span(self, start: int, stop: int) -> dict[str, Array]:
        """The rows from `start` to `stop`, by the names of the graph's inputs."""

    def take(self, rows: Array) -> dict[str, Array]:
        """The rows with these numbers, by the names of the graph's inputs."""

    def order(self, rng: np.random.Generator, first: int, count: int) -> Array:
        """The numbers of the rows that `shuffled` puts at the places from `first` on."""

    def shuffled(
        self, rng: np.random.Generator, size: int, skip: int = 0
    ) -> Iterator[tuple[int, dict[str, Array]]]:
        """The rows in an order that `rng` draws, `size` at a time, each piece with the place of
        its first row. Pieces that end before the place `skip` are left out. The arrays are
        overwritten by the next piece.
        """


@dataclass(frozen=True)
class Part:
    """Some rows of the data, ready for an engine.

    `x` has shape (rows, columns) and `y` (rows, outputs); `weight`, where rows count differently,
    (rows, 1), with mean 1. All are C-contiguous in the model's dtype. `split_rows` tells which
    rows of the source they are.
    """

    x: Array
    y: Array
    weight: Array | None = None

    @classmethod
    def of(cls, x: Array, y: Array, weight: Array | None) -> Part:
        """The rows; weights of any dtype become that of x."""
        return cls(x, y, None if weight is None else weight.astype(x.dtype))

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """All rows, by the names of the graph's inputs."""
        found = {"x": self.x, "y": self.y}
        return found if self.weight is None else found | {"weight": self.weight}

    @cached_property
    def nbytes(self) -> int:
        """The bytes of all rows."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def held(self) -> int:
        """The bytes of them that are in memory."""
        return self.nbytes

    def span(self, start: int, stop: int) -> dict[str, Array]:
        """The rows from `start` to `stop`, by the names of the graph's inputs."""
        return {name: array[start:stop] for name, array in self.arrays.items()}

    def take(self, rows: Array) -> dict[str, Array]:
        """The rows with these numbers, by the names of the graph's inputs."""
        return {name: array[rows] for name, array in self.arrays.items()}

    def order(self, rng: np.random.Generator, first: int, count: int) -> Array:
        """The numbers of the rows that `shuffled` puts at the places from `first` on."""
        order = np.arange(len(self), dtype=np.uint32)
        rng.shuffle(order)
        return order[first : first + count].astype(np.intp)

    def shuffled(
        self, rng: np.random.Generator, size: int, skip: int = 0
    ) -> Iterator[tuple[int, dict[str, Array]]]:
        """The rows in an order that `rng` draws, `size` at a time, each piece with the place of
        its first row. Pieces that end before the place `skip` are left out. The arrays are
        overwritten by the next piece.
        """
        order = np.arange(len(self), dtype=np.uint32)
        rng.shuffle(order)
        arrays = self.arrays
        room = {
            name: np.empty((min(size, len(self)), *array.shape[1:]), array.dtype)
            for name, array in arrays.items()
        }
        for start in range(skip // size * size, len(self), size):
            rows = order[start : start + size].astype(np.intp)
            for name, array in arrays.items():
                # the default mode would buffer
                np.take(array, rows, axis=0, out=room[name][: len(rows)], mode="clip")
            yield start, {name: array[: len(rows)] for name, array in room.items()}


def rows_at_a_time(part: AnyPart, size: int, least: int, extra: int = 0) -> int:
    """A multiple of `size` rows that make `least` bytes, or a small part of those in memory if
    that is more; `extra` are the bytes that each row needs besides.
    """
    row = part.nbytes / len(part)
    return max(1, int(max(least, part.held / 16) / ((row + extra) * size))) * size
