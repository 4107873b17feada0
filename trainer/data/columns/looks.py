"""What texts look like that are no plain numbers, dates or truth values, but nearly.

Nothing here decides what a cell is worth: it decides what people are told of it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from trainer.data.columns.dates import days_of
from trainer.data.columns.numerals import GAPS
from trainer.spec.writing import DATE_FORMATS

_MARKER: Final = re.compile(
    r"[.?*/–—-]{1,3}|…|\\n|n[./]?[ad]\.?|\W?(nan|none|null?|nil|na|missing|unknown|undefined)\W?"
    r"|#(n/a|n/v|null!|div/0!|value!|ref!|name\?|num!)|-?1\.#(ind|qnan|inf)|tb[ad]|empty|blank"
    r"|(not|un) ?_?(available|applicable|known)|no (data|value)",
    re.IGNORECASE,
)
_MINUS: Final = "\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d"
_MONEY: Final = "$£€¥¢₣₤₦₩₪₫₱₴₹₺₽₿"
_CODES: Final = (
    "USD|EUR|GBP|JPY|CHF|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|RUB|TRY|KRW"
)
_NUMERAL: Final = re.compile(
    rf"(?P<sign>[-+]?)\s?(?P<before>[^\W\d_]{{0,3}}[{_MONEY}]|{_CODES}|Rs\.?|kr\.?)?\s?"
    r"(?P<second>[-+]?)(?P<digits>\d[\d.,'’ ]*|[.,]\d+)([eE][-+]?\d+)?\s?"
    rf"(?P<behind>(?:[^\W\d_]|[%‰°{_MONEY}])[^\s\d,;:()]{{0,9}}[23]?)?(?P<minus>-?)"
)
_MAGNITUDE: Final = re.compile("[kK]|M|B|bn|[mM]io|[mM]ln|[mM]rd|[tT]sd")
_TIME: Final = re.compile(r"-?\d{1,4}:[0-5]?\d(:[0-5]?\d([.,]\d+)?)?( ?[ap]\.?m\.?)?", re.I)
_CLOCK: Final = re.compile(r"\d{1,2} ?[ap]\.?m\.?", re.I)
_DURATION: Final = re.compile(
    r"P(?=.)(\d+[YMWD])*(T(\d+([.,]\d+)?[HMS])+)?"
    r"|(\d+([.,]\d+)? ?(d|h|m|s|ms|mins?|secs?|hrs?|days?|hours?|minutes?|seconds?)[ ,]*){2,}"
    r"|-?\d+ days?,? -?\+?\d\d?:\d\d(:\d\d(\.\d+)?)?", re.I
)  # fmt: skip
_LIKE_DATE: Final = re.compile(
    r"(\d{4}([-/. ])\d{1,2}\2\d{1,2}|\d{1,2}([-/. ])\d{1,2}\3(\d{4}|\d\d)"
    r"|(\w+,? +)?\d{1,2}(st|nd|rd|th)?[-/. ]*[^\W\d_]{3,9}\.?[-/., ]+(\d{4}|\d\d)"
    r"|(\w+,? +)?[^\W\d_]{3,9}\.?[-/. ]*\d{1,2}(st|nd|rd|th)?[-/., ]+(\d{4}|\d\d))"
    r"([^\d./-].*)?", re.ASCII
)  # fmt: skip
_NO_DATE: Final = re.compile(r"\D*0{1,4}\D0{1,2}\D0{1,4}(\D.*)?", re.ASCII)


def is_marker(text: str) -> bool:
    """Whether a text often stands for a value that is not there: `n/a`, `-`, `#DIV/0!`."""
    return bool(_MARKER.fullmatch(text.strip()))


def is_empty_date(text: str) -> bool:
    """Whether a text is a date of zeros, as databases write one that is not there."""
    return bool(_NO_DATE.fullmatch(text.strip()))


# Numbers -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Numeral:
    """What is needed to read a text as a number: `decimal` and `thousands`, each a set of what is
    possible; a `unit`; and what no notation reads, in words (`odd`). `quantity` tells whether the
    text may as well name something, as 500 ml and 14:30 do.
    """

    decimal: str = ""
    thousands: str = ""
    either: str = ""
    unit: str = ""
    odd: str = ""
    quantity: bool = False


@lru_cache(2**14)
def numeral_of(text: str) -> Numeral | None:
    """A text as a number that is written for people; None for others, also for plain numbers."""
    odd = []
    plain = " ".join(text.split())
    if not any(c.isdecimal() for c in plain) or len(plain) > 40:
        return None
    if _TIME.fullmatch(plain) or _CLOCK.fullmatch(plain) or _DURATION.fullmatch(plain):
        return Numeral(odd="times or durations", quantity=True)
    western = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in plain)
    if any(c.isdecimal() and not c.isascii() for c in text):
        odd.append("digits that are not 0 to 9")
    signed = western.translate(dict.fromkeys(map(ord, _MINUS), "-"))
    if signed != western:
        odd.append("a minus other than '-'")
    inner = re.fullmatch(r"(\D{0,4})\((.*\d.*)\)(\D{0,4})", signed)
    if inner:
        odd.append("parentheses for negative numbers")
        signed = inner[1] + inner[2] + inner[3]
    match = _NUMERAL.fullmatch(signed)
    if match is None or (match["sign"] and match["second"]):
        return None
    if match["minus"]:
        odd.append("a minus behind the digits")
    signs = _signs(match["digits"].rstrip())
    if signs is None:
        return None
    before, behind = (match["before"] or "").strip(), (match["behind"] or "").strip()
    known = bool(before) or bool(re.fullmatch(_CODES, behind.upper()))
    word = behind.isalpha() and unicodedata.category(behind[0]) != "Sc"
    if _MAGNITUDE.fullmatch(behind):
        odd.append(f"the suffix '{behind}' of thousands or millions")
        behind = ""
    if before and behind:
        return None
    if not (before or behind or odd or any(signs)):
        if text.strip(" \t") == plain and not (match["sign"] and " " in plain):
            return None
        odd.append("other blanks")
    return Numeral(*signs, unit=before or behind, odd=", ".join(odd), quantity=word and not known)


def _signs(digits: str) -> tuple[str, str, str] | None:
    """The decimal sign and the separator of thousands that digits need, and the one sign that may
    be either; None for what is no number.
    """
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", digits):
        return "", "", ""
    if re.fullmatch(r"[1-9]\d{0,2},\d{3}", digits):
        return "", "", ","
    for decimal, thousands in (".,", ",.", ". ", ", ", ".'", ",'"):
        gap, point = f"[{GAPS.get(thousands, thousands)}]", re.escape(decimal)
        if re.fullmatch(rf"[1-9]\d{{0,2}}({gap}\d{{2,3}})*{gap}\d{{3}}({point}\d*)?", digits):
            return (decimal if decimal in digits else ""), thousands, ""
    return (",", "", "") if re.fullmatch(r"\d*,\d+|\d+,", digits) else None


# Dates -------------------------------------------------------------------------------------------


def date_formats(text: str) -> tuple[str, ...]:
    """The formats of which a text is a date; one of ISO 8601 is of all formats."""
    return _formats(text.strip())


_FOUND: Final = tuple(form for form in DATE_FORMATS if form != "yearmonthday")
"""Formats that are found: eight digits are a number until they are said to be a date."""


@lru_cache(2**14)
def _formats(text: str) -> tuple[str, ...]:
    if days_of(text) is not None:
        return _FOUND
    if len(text) > 60 or not _LIKE_DATE.fullmatch(text):
        return ()
    return tuple(form for form in _FOUND if days_of(text, form) is not None)


def looks_like_date(text: str) -> bool:
    """Whether a text is a date of any format, or nearly one."""
    text = text.strip()
    return bool(date_formats(text)) or (len(text) <= 60 and bool(_LIKE_DATE.fullmatch(text)))
