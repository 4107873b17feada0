"""What a single cell means as a number of the raw table, and what is said of one that means none.

These functions decide it for every kind of file. Whole columns go faster ways where their type
allows it (`encoding.py`), which give the same bits.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Container, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from trainer.data.columns.categories import is_exact, matcher, text_of
from trainer.data.columns.table import Column, Label, listing, show
from trainer.data.columns.values import CellError, Plain, plain
from trainer.spec.messages import near

Reader: TypeAlias = Callable[[Any], float]
"""From a cell to its number; NaN for a missing one. Raises `CellError`."""

NANOSECONDS: Final = 86_400 * 10**9
"""Those of a day."""

_BOOLEANS: Final[Mapping[str, float]] = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_NUMBER = re.compile(r"[ \t]*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?[ \t]*\Z", re.ASCII)
_NOT_FINITE = re.compile(r"[ \t]*[-+]?(nan|inf|infinity)[ \t]*\Z", re.IGNORECASE)
# Labels that are numbers; codes such as 007 and digits that float64 cannot hold stay texts.
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})\Z", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14}|(?=\.\d))(\.\d*)?([eE][-+]?\d{1,2})?\Z", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[-+]\d\d(?::?\d\d)?)?)?\Z",
    re.ASCII,
)
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def is_missing(value: Any, spellings: Container[str] = ()) -> bool:
    """Whether a cell stands for nothing: it is empty, NaN, or one of the spellings."""
    if isinstance(value, str):
        text = value.strip()
        return not text or text in spellings
    return plain(value) is None


# What a cell looks like --------------------------------------------------------------------------


def looks_numeric(text: str) -> bool:
    """Whether a text is a number, be it too large or infinite."""
    return bool(_NUMBER.match(text) or _NOT_FINITE.match(text))


def looks_boolean(text: str) -> bool:
    """Whether a text is true, false, yes or no, in any case."""
    return text.strip().lower() in _BOOLEANS


def looks_like_date(text: str) -> bool:
    """Whether a text is a date, or a date and time, of ISO 8601."""
    return _days(text.strip()) is not None


# Kinds -------------------------------------------------------------------------------------------


def number(value: Any, advice: str | None = None) -> float:
    """A finite number. Raises `CellError`, with `advice` for a text."""
    if isinstance(value, str):
        return _number_of_text(value, advice)
    read = float(value)
    if not math.isfinite(read):
        raise CellError(f"expected a finite number, found {read}", "leave the row or column out")
    return read


def _number_of_text(text: str, advice: str | None) -> float:
    if _NUMBER.match(text):
        read = float(text)
        if math.isfinite(read):
            return read
        raise CellError(f"the number {show(text)} is too large for float64")
    if _NOT_FINITE.match(text):
        message = f"expected a finite number, found {show(text)}"
        raise CellError(message, "leave the row or column out")
    if "\n" in text:
        advice = "a quotation mark may be missing in this row"
    raise CellError(f"expected a number, found the text {show(text)}", advice)


def boolean(value: Any) -> float:
    """1 for true, yes and 1, 0 for false, no and 0. Raises `CellError` for others."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _BOOLEANS:
            return _BOOLEANS[word]
        read = float(word) if _NUMBER.match(word) else math.nan
    else:
        read = float(value)
    if read in (0, 1):
        return read
    found = f"the text {show(value)}" if isinstance(value, str) else str(value)
    raise CellError(f"expected true or false, found {found}", "yes, no, 1 and 0 do as well")


def date(value: Any) -> float:
    """Days since 1970-01-01 in UTC, with a fraction for the time of day. Raises `CellError`."""
    days = _days(value.strip()) if isinstance(value, str) else None
    if days is None:
        found = f"the text {show(value)}" if isinstance(value, str) else str(value)
        hint = "write it as 2024-12-31 or 2024-12-31 23:59:59"
        raise CellError(f"expected a date, found {found}", hint)
    return days


@lru_cache(2**16)
def _days(text: str) -> float | None:
    """The days of a text of ISO 8601; None for others. A time without a zone is taken as UTC."""
    match = _DATE.match(text)
    if match is None:
        return None
    year, month, day, hours, minutes, seconds = (int(group or 0) for group in match.groups()[:6])
    try:
        days = datetime.date(year, month, day).toordinal() - _EPOCH
        datetime.time(hours, minutes, seconds)
    except ValueError:
        return None
    past = (hours * 60 + minutes - _offset(match[8])) * 60 + seconds
    fraction = int((match[7] or "").ljust(9, "0"))
    whole, rest = divmod(past * 10**9 + fraction, NANOSECONDS)
    return days + whole + rest / NANOSECONDS


def _offset(zone: str | None) -> int:
    """Minutes that a time is ahead of UTC."""
    if zone in (None, "Z"):
        return 0
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if zone[0] == "-" else minutes


# Categories --------------------------------------------------------------------------------------


def labels_of(texts: Iterable[str]) -> list[Label]:
    """Texts as labels: numbers where all are written as numbers, else as they are."""
    texts = list(texts)
    if all(_INTEGER.match(text) for text in texts):
        return [int(text) for text in texts]
    if all(_DECIMAL.match(text) and is_exact(float(text)) for text in texts):
        read = [float(text) for text in texts]
        return [int(value) if value.is_integer() else value for value in read]
    return list(texts)


def categories_of(texts: Iterable[str]) -> tuple[str, ...]:
    """The distinct categories among texts, sorted: numbers by size, else by text."""
    return tuple(text_of(label) for label in sorted(set(labels_of(texts))))


@lru_cache(64)
def codes_of(categories: tuple[str, ...]) -> Reader:
    """What tells the number of a cell's category; see `matcher`."""
    return matcher(categories)


def _known_code(value: Any, column: Column) -> float:
    """The number of a category. Raises `CellError` for one that is not known."""
    code = codes_of(column.categories)(value)
    if code < 0:
        text = text_of(value)
        hint = near(text, column.categories) or f"the order is {listing(column.categories, 12)}"
        raise CellError(f"expected a label of the column's order, found {show(text)}", hint)
    return code


def reader(
    column: Column,
    spellings: Container[str] = (),
    advice: str | None = None,
    *,
    strict: bool = False,
) -> Reader:
    """What reads the cells of a column. `strict` refuses ordinal labels outside the order."""
    match = codes_of(column.categories)

    def convert(value: Plain) -> float:
        if column.kind == "numeric":
            return number(value, advice)
        if column.kind == "boolean":
            return boolean(value)
        if column.kind == "date":
            return date(value)
        if strict and column.kind == "ordinal":
            return _known_code(value, column)
        return match(value)

    def read(value: Any) -> float:
        cell = plain(value)
        return math.nan if is_missing(cell, spellings) else convert(cell)

    return read
