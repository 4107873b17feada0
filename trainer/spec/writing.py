"""How the cells of text files may be written: decimal signs, thousands separators, dates."""

from __future__ import annotations

import re
from itertools import product
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from trainer.spec.fields import OneOf, wrong
from trainer.spec.messages import describe

Decimal: TypeAlias = Literal[".", ","]
Thousands: TypeAlias = Literal[",", ".", " ", "'"]

_ORDERS: Final = (("day", "month", "year"), ("month", "day", "year"), ("year", "month", "day"))

DATE_FORMATS: Final[tuple[str, ...]] = (
    "iso",
    *(
        sign.join(year if word == "year" else word for word in order)
        for sign, order, year in product("/.- ", _ORDERS, ("year", "yy"))
    ),
    "yearmonthday",
)
"""What a date may be written as: `day/month/year` and the like. A `year` has four digits, `yy`
two; a month is a number or an English name."""


def apart(thousands: str | None, decimal: str | None) -> str | None:
    """The separator of thousands, where it is not the decimal sign, which is `.` by default."""
    if thousands is not None and thousands == (decimal or "."):
        other = "." if thousands == "," else ","
        raise wrong(
            f"{thousands!r} is the decimal sign already",
            f'write decimal: "{other}" too',
            code="TR-S019",
        )
    return thousands


_CODES: Final = {
    "year": "%Y|[yY]{4}",
    "yy": "%y|(?<![yY])[yY]{2}(?![yY])",
    "month": "%-?m|%b|%B|M{1,4}|mm",
    "day": "%-?d|d{1,2}|D{1,2}",
}
"""The codes of other languages for the words of a format."""


def in_words(codes: str) -> str | None:
    """The format that is written in codes such as `%d/%m/%Y` or `DD/MM/YYYY`; None for others."""
    date = re.split(r"[T ,]*(%[HI]|HH|hh)", codes)[0].replace(", ", " ").strip()
    words = "|".join(f"(?P<{word}>{code})" for word, code in _CODES.items())
    found = re.sub(words, lambda match: str(match.lastgroup), date)
    return found if found in DATE_FORMATS else None


def _date_format(value: object) -> object:
    """People who know the codes of other languages are told the words."""
    found = in_words(value) if isinstance(value, str) and value not in DATE_FORMATS else None
    if found is not None:
        raise wrong(
            f"expected a date format, found {describe(value)}", f"write {found}", code="TR-S015"
        )
    return value


DateFormat: TypeAlias = Annotated[
    str, OneOf("a date format", DATE_FORMATS), BeforeValidator(_date_format)
]


def _unit(value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"expected a text, found {describe(value)}", "put it in quotes", code="TR-S013")
    unit = value.strip()
    if not unit or len(unit) > 20 or unit[0] in "+-.,'" or any(c.isdigit() for c in unit[:1]):
        message = f"expected a sign or unit such as $ or kg, found {describe(value)}"
        raise wrong(
            message, "a unit begins with no digit, sign or separator of numbers", code="TR-S016"
        )
    return unit


Unit: TypeAlias = Annotated[
    str, BeforeValidator(_unit), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 20})
]
"""What stands before or behind a number in a cell."""
