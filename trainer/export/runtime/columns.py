"""What one raw column becomes in x."""

from __future__ import annotations

import numpy as np

from trainer.graph.ops import Array


def unchanged(raw: Array, p: dict[str, Array]) -> Array:
    """The columns of x, where all stay as they are."""
    return raw


def part(days: Array, name: str) -> Array:
    """A part of dates; Monday is 0."""
    if name == "days":
        return days
    known = np.abs(days) <= 1e8
    moment = np.rint(np.where(known, days, 0) * 86_400_000).astype("datetime64[ms]")
    day, number = moment.astype("datetime64[D]"), moment.astype(np.int64)
    month, year = day.astype("datetime64[M]"), day.astype("datetime64[Y]")
    found = {
        "year": year.astype(np.int64) + 1970,
        "month": month.astype(np.int64) % 12 + 1,
        "day": (day - month).astype(np.int64) + 1,
        "weekday": (day.astype(np.int64) + 3) % 7,
        "yearday": (day - year).astype(np.int64) + 1,
        "hour": number // 3_600_000 % 24,
        "minute": number // 60_000 % 60,
    }[name]
    return np.where(known, found, np.nan)


def one_hot(numbers: Array, count: int) -> Array:
    """A 0/1 column for each category; nan where there is no number."""
    found: Array = (numbers[:, None] == np.arange(count)).astype(np.float64)
    found[np.isnan(numbers)] = np.nan
    return found


def grouped(numbers: Array, count: int) -> Array:
    """The numbers of categories, of which the last stands for all others; nan stays."""
    inside = (numbers >= 0) & (numbers < count)
    return np.where(inside | np.isnan(numbers), numbers, count - 1)


def known(numbers: Array, count: int, exempt: Array) -> Array:
    """The numbers of categories; nan for others, unless they are exempt."""
    inside = (numbers >= 0) & (numbers < count)
    return np.where(inside | exempt, numbers, np.nan)
