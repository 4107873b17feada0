"""Reading cells of every kind: numbers, categories, truth values, dates, and gaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from trainer.export.runtime.facts import DTYPE, FEATURES, MISSING, PLACES, READERS
from trainer.graph.ops import Array

TRUTH = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
NUMBER = re.compile(r"-?(0|[1-9]\d{0,14}|(?=\.\d))(\.\d*)?([eE][-+]?\d\d?)?")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 (programs run on Python 3.10 too)


def any_numbers(name: str, values: Sequence[Any]) -> Array:
    """A column as float64, nan where it is missing; categories as their numbers."""
    if name not in READERS:
        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            pass  # some cells are texts, or missing
    kind, read = READERS.get(name, ("a number", float))
    found = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        try:
            found[i] = np.nan if missing(value) else read(value)
        except (KeyError, TypeError, ValueError):
            message = f"row {i}, column {name!r}: expected {kind}, found {value!r}"
            raise ValueError(message) from None
    return found


def missing(value: Any) -> bool:
    """Whether a cell stands for nothing."""
    if isinstance(value, str):
        return value.strip() in MISSING
    return value is None or str(value) in ("nan", "NaT", "<NA>")


def label(value: Any) -> str:
    """A cell as a category is written: 2 for 2.0, true for True."""
    text = str(value).strip()
    if NUMBER.fullmatch(text):
        read = float(text)
        return str(int(read)) if read.is_integer() else str(read)
    return text.lower() if text.lower() in TRUTH else text


def category(names: Sequence[str]) -> Callable[[Any], float]:
    """What reads the numbers of these categories, -1 for others."""
    known: dict[str, int] = {}
    for number, name in enumerate(names):
        known.setdefault(label(name), number)
    known |= {name: number for number, name in enumerate(names)}
    return lambda value: known.get(str(value).strip(), known.get(label(value), -1))


def truth(value: Any) -> float:
    """1 for true and yes, 0 for false and no."""
    text = label(value)
    return float(text) if text in ("0", "1") else TRUTH[text]


def date(value: Any) -> float:
    """Days since 1970 of a date in ISO 8601; a time without a zone is UTC."""
    moment = datetime.fromisoformat(str(value).strip())
    past = moment.replace(tzinfo=moment.tzinfo or EPOCH.tzinfo) - EPOCH
    return past.days + (past.seconds * 10**6 + past.microseconds) / 86_400_000_000


def check_any(raw: Array, x: Array) -> None:
    """Raises ValueError where a number of x is not finite, and says why."""
    for i, j in np.argwhere(~np.isfinite(x))[:1]:
        name = FEATURES[PLACES[j]]
        value = raw[i, PLACES[j]]
        message = f"expected a number that is finite in {DTYPE}, found {value}"
        if np.isnan(value):
            message = "expected a value, found an empty cell"
        elif name in READERS:
            message = f"expected {READERS[name][0]} that the model knows"
        raise ValueError(f"row {i}, column {name!r}: {message}")
