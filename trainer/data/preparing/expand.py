"""From one raw column to columns of x: categories, dates, missing values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, assert_never

import numpy as np

from trainer.data.columns.table import Column
from trainer.data.preparing.layout import Field
from trainer.graph.ops import Array
from trainer.spec.columns import DatePart

DAY: Final = 86_400_000
"""Milliseconds of a day: times are rounded to them, since a day's fraction is no exact number."""
FARTHEST: Final = 1e8
"""Days from 1970 within which a date lies."""


@dataclass(frozen=True)
class Rule:
    """What a raw column becomes.

    `fill` stands for a missing value (for categories the number of one, or -1 for none); where it
    is None a missing value is an error. With `indicator` a further column is 1 where a value was
    missing. `dimensions` is the length of the vectors of a column that is embedded. `parts` are
    what is taken of a date. With `strict` an unknown category is an error; where the last category
    is a group (`grouped`), it is in that.
    """

    fill: float | None = None
    indicator: bool = False
    dimensions: int | None = None
    parts: tuple[DatePart, ...] = ()
    strict: bool = False
    grouped: bool = False

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return {
            "fill": self.fill, "indicator": self.indicator, "dimensions": self.dimensions,
            "parts": list(self.parts), "strict": self.strict, "grouped": self.grouped,
        }  # fmt: skip


def is_plain(column: Column, rule: Rule) -> bool:
    """Whether the column stays one column as it is, but for missing values."""
    return column.kind in ("numeric", "boolean") and not rule.indicator


def names_of(column: Column, rule: Rule) -> list[str]:
    """The names of the columns of x, without the indicator's."""
    if column.kind == "date":
        return [f"{column.name} {part}" for part in rule.parts]
    if column.kind == "categorical" and rule.dimensions is None:
        return [f"{column.name}={category}" for category in column.categories]
    return [column.name]


def fields_of(column: Column, rule: Rule, start: int) -> Iterator[Field]:
    """The columns of x from `start` on; the indicator of an embedded column stands apart."""
    stop = start + len(names_of(column, rule))
    if rule.dimensions is not None:
        yield Field(column.name, start, stop, len(column.categories), rule.dimensions)
        if rule.indicator:
            yield Field(column.name, stop, stop + 1)
    else:
        yield Field(column.name, start, stop + rule.indicator)


def expand(values: Array, column: Column, rule: Rule) -> Array:
    """The columns of x, of shape (rows, columns), for raw values of shape (rows,).

    What cannot be encoded becomes NaN: a missing value without a fill, an unknown category of a
    strict or ordinal column, a date out of range.
    """
    missing = np.isnan(values)
    if rule.fill is not None:
        values = np.where(missing, rule.fill, values)
    if column.kind == "date":
        columns = np.stack([date_part(values, part) for part in rule.parts], axis=1)
    elif column.kind in ("categorical", "ordinal"):
        columns = _of_categories(values, column, rule, missing)
    else:
        columns = values[:, None]
    if not rule.indicator:
        return columns
    return np.concatenate([columns, missing[:, None].astype(np.float64)], axis=1)


def _of_categories(values: Array, column: Column, rule: Rule, missing: Array) -> Array:
    count = len(column.categories)
    known, wrong = (values >= 0) & (values < count), np.isnan(values)
    if rule.grouped:
        values = np.where(known | wrong, values, count - 1)
        known = ~wrong
    if rule.strict or (column.kind == "ordinal" and rule.dimensions is None):
        wrong = wrong | ~(known | missing)
    if column.kind == "ordinal" or rule.dimensions is not None:
        return np.asarray(np.where(wrong, np.nan, np.where(known, values, -1))[:, None])
    columns: Array = (values[:, None] == np.arange(count)).astype(np.float64)
    columns[wrong] = np.nan
    return columns


def new_codes(before: Sequence[str], after: Sequence[str], grouped: bool) -> Array:
    """The number that each category has among others; of one that is not there that of the group,
    or -1 where there is none.
    """
    places: Mapping[str, int] = {name: i for i, name in enumerate(after)}
    none = len(after) - 1 if grouped else -1
    return np.array([places.get(name, none) for name in before] or [-1], np.float64)


def date_part(days: Array, part: DatePart) -> Array:
    """A part of dates that are given as days since 1970-01-01; Monday is 0, 1 January is 1."""
    if part == "days":
        return days
    known = np.abs(days) <= FARTHEST
    milliseconds = np.rint(np.where(known, days, 0) * DAY).astype(np.int64)
    return np.asarray(np.where(known, _part_of(milliseconds, part), np.nan))


_Counted: TypeAlias = Literal["year", "month", "day", "weekday", "yearday", "hour", "minute"]


def _part_of(milliseconds: Array, part: _Counted) -> Array:
    number = milliseconds // DAY
    date = number.astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    match part:
        case "year":
            return np.asarray(month.astype("datetime64[Y]").astype(np.int64) + 1970)
        case "month":
            return np.asarray(month.astype(np.int64) % 12 + 1)
        case "day":
            return np.asarray((date - month).astype(np.int64) + 1)
        case "weekday":
            return np.asarray((number + 3) % 7)  # 1970-01-01 was a Thursday
        case "yearday":
            return np.asarray((date - date.astype("datetime64[Y]")).astype(np.int64) + 1)
        case "hour":
            return np.asarray(milliseconds // 3_600_000 % 24)
        case "minute":
            return np.asarray(milliseconds // 60_000 % 60)
    assert_never(part)
