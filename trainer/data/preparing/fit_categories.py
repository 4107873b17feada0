"""What the training rows say of categories: which there are, which are so rare that they are one.

The rare ones become a group, the last category of their column, and so does every category that
no training row has: those that are in the group need not be known by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.data.columns.categories import text_of
from trainer.data.columns.cells import codes_of
from trainer.data.columns.table import Column, listing, show
from trainer.data.columns.texts import other_than
from trainer.data.columns.values import CellError
from trainer.data.preparing.expand import new_codes
from trainer.graph.ops import Array
from trainer.spec.columns import ColumnSpec
from trainer.spec.data import DataSpec


@dataclass(frozen=True)
class Limits:
    """How many categories a column has at most, a group of rare ones among them, and how many
    training rows one has at least that stays alone.
    """

    most: int | None = None
    least: int = 1

    @classmethod
    def of(cls, data: DataSpec, asked: ColumnSpec) -> Limits:
        """What the spec asks for: of the column, else of all whose unknown categories are no
        errors.
        """
        if asked.unknown == "error":
            return cls()
        most = asked.max_categories or data.max_categories
        return cls(most, asked.min_count or data.min_count or 1)

    def rare(self, counts: Array) -> Array:
        """Which of categories with so many rows each are rare. Of those that are equally frequent
        the first stay.
        """
        rare = counts < self.least
        if self.most is None or np.count_nonzero(~rare) + rare.any() <= self.most:
            return np.asarray(rare)
        frequent = np.argsort(-counts, kind="stable")[: self.most - 1]
        rare = np.ones(len(counts), bool)
        rare[frequent] = counts[frequent] < self.least
        return rare


def fit_categories(
    column: Column, counts: Array, missing: int, fill: Any, limits: Limits, notes: list[str]
) -> tuple[Column, bool]:
    """The column with the categories of the training rows, and whether the last is a group.

    `counts` are the training rows of each, and `missing` those without a value; where these are
    filled with a constant, it becomes one of the categories.
    """
    names = [name for name, count in zip(column.categories, counts, strict=True) if count]
    lost = [name for name, count in zip(column.categories, counts, strict=True) if not count]
    if lost:
        one = len(lost) == 1
        notes.append(
            f"{len(lost)} {'category' if one else 'categories'} of {show(column.name)} "
            f"{'is' if one else 'are'} in no training row: {listing(lost, 3)}"
        )
    kept = counts[counts > 0]
    if isinstance(fill, dict) and missing:
        names, kept = _with_constant(names, kept, text_of(fill["constant"]), missing)
    rare = limits.rare(kept)
    if rare.any():
        group = other_than([*column.categories, *names])
        notes.append(_note(column, names, kept, rare, group))
        names = [*(name for name, gone in zip(names, rare, strict=True) if not gone), group]
    return replace(column, categories=tuple(names)), bool(rare.any())


def _with_constant(
    names: list[str], counts: Array, constant: str, missing: int
) -> tuple[list[str], Array]:
    """The same with the constant that stands for missing values."""
    with suppress(CellError):  # which is told where it is read
        code = int(codes_of(tuple(names))(constant))
        if code < 0:
            return [*names, constant], np.append(counts, missing)
        counts = counts.copy()
        counts[code] += missing
    return names, counts


def _note(column: Column, names: Sequence[str], counts: Array, rare: Array, group: str) -> str:
    gone = [name for name, one in zip(names, rare, strict=True) if one]
    rows = int(counts[rare].sum(dtype=np.int64))
    return (
        f"{len(gone):,} rare {'category' if len(gone) == 1 else 'categories'} of "
        f"{show(column.name)}, in {rows:,} training row{'s' * (rows > 1)}, became "
        f"{show(group)}: {listing(gone, 3)}"
    )


def recoded(codes: Array, before: Column, after: Column, grouped: bool) -> Array:
    """The values by the numbers that their categories have after."""
    if before.categories == after.categories:
        return codes
    found = new_codes(before.categories, after.categories, grouped)
    return np.asarray(found[codes.astype(np.int64)])
