"""What a single cell means as a number of the raw table, and what is said of one that means none.

These functions decide it for every kind of file. Whole columns go faster ways where their type
allows it (`encoding.py`), which give the same bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from trainer.data.columns.categories import is_exact, matcher, text_of
from trainer.data.columns.dates import days_of
from trainer.data.columns.numerals import number_of
from trainer.data.columns.table import Column, Label, listing, show
from trainer.data.columns.values import CellError, Plain, plain
from trainer.spec.messages import near

Reader: TypeAlias = Callable[[Any], float]
"""From a cell to its number; NaN for a missing one. Raises `CellError`."""

_BOOLEANS: Final[Mapping[str, float]] = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_NOT_FINITE = re.compile(r"[ \t]*[-+]?(nan|inf|infinity)[ \t]*\Z", re.IGNORECASE)
# Labels that are numbers; codes such as 007 and digits that float64 cannot hold stay texts.
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})\Z", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14}|(?=\.\d))(\.\d*)?([eE][-+]?\d{1,2})?\Z", re.ASCII)


def is_missing(value: Any, spellings: Container[str] = ()) -> bool:
    """Whether a cell stands for nothing: it is empty, NaN, or one of the spellings."""
    if isinstance(value, str):
        text = value.strip()
        return not text or text in spellings
    return plain(value) is None


# What a cell looks like --------------------------------------------------------------------------


def looks_numeric(text: str) -> bool:
    """Whether a text is a number as programs write it, be it too large or infinite."""
    return number_of(text) is not None or bool(_NOT_FINITE.match(text))


def looks_boolean(text: str) -> bool:
    """Whether a text is true, false, yes or no, in any case."""
    return text.strip().lower() in _BOOLEANS


# Kinds -------------------------------------------------------------------------------------------


def number(
    value: Any, advice: str | None = None, decimal: str = ".", thousands: str = "", unit: str = ""
) -> float:
    """A finite number, in a text with these signs. Raises `CellError`, with `advice` for a text."""
    if isinstance(value, str):
        return _number_of_text(value, advice, number_of(value, decimal, thousands, unit))
    read = float(value)
    if not math.isfinite(read):
        raise CellError(f"expected a finite number, found {read}", "leave the row or column out")
    return read


def _number_of_text(text: str, advice: str | None, read: float | None) -> float:
    if read is not None:
        if math.isfinite(read):
            return read
        raise CellError(f"the number {show(text)} is too large for float64")
    if _NOT_FINITE.match(text):
        message = f"expected a finite number, found {show(text)}"
        raise CellError(message, "leave the row or column out")
    if "\n" in text:
        advice = "a quotation mark may be missing in this row"
    raise CellError(f"expected a number, found the text {show(text)}", advice)


def numbers_as(
    decimal: str, thousands: str, unit: str, advice: str | None = None
) -> Callable[[Any], float]:
    """What reads numbers that are written with these signs."""
    return lambda value: number(value, advice, decimal, thousands, unit)


def boolean(value: Any) -> float:
    """1 for true, yes and 1, 0 for false, no and 0. Raises `CellError` for others."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _BOOLEANS:
            return _BOOLEANS[word]
        found = number_of(word)
        read = math.nan if found is None else found
    else:
        read = float(value)
    if read in (0, 1):
        return read
    what = f"the text {show(value)}" if isinstance(value, str) else str(value)
    raise CellError(f"expected true or false, found {what}", "yes, no, 1 and 0 do as well")


def date(value: Any, form: str = "iso") -> float:
    """Days since 1970-01-01 in UTC, with a fraction for the time of day. Raises `CellError`."""
    text = text_of(value) if form == "yearmonthday" else value  # 20240506 is a number
    days = days_of(text.strip(), form) if isinstance(text, str) else None
    if days is None:
        found = f"the text {show(value)}" if isinstance(value, str) else str(value)
        expected = "a date" if form == "iso" else f"a date as {form}"
        hint = "write it as 2024-12-31 or 2024-12-31 23:59:59"
        raise CellError(f"expected {expected}, found {found}", hint)
    return days


def dates_as(form: str) -> Callable[[Any], float]:
    """What reads dates of this format."""
    return lambda value: date(value, form)


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
    match, written = codes_of(column.categories), column.notation
    numeric = numbers_as(written.decimal, written.thousands, written.unit, advice)

    def convert(value: Plain) -> float:
        if column.kind == "numeric":
            return numeric(value)
        if column.kind == "boolean":
            return boolean(value)
        if column.kind == "date":
            return date(value, written.format)
        if strict and column.kind == "ordinal":
            return _known_code(value, column)
        return match(value)

    def read(value: Any) -> float:
        cell = plain(value)
        return math.nan if is_missing(cell, spellings) else convert(cell)

    return read
