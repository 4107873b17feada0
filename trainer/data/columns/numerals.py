"""Which number a text is. Exported programs copy this file's functions: there is one grammar.

A numeral has a sign, digits with at most one decimal sign, and an exponent, as in `-1.5e3`. Where
the column is said to have them, separators stand between its thousands and a unit before or
behind it. All of it is ASCII but for the separators and the unit.
"""

from __future__ import annotations

import re
from functools import cache

GAPS = {"": "", " ": " \u00a0\u2009\u202f", "'": "'\u2019"}
"""The characters that stand for a separator; others stand for themselves alone."""


@cache
def numeral_pattern(decimal: str, thousands: str, unit: str) -> str:
    """A regular expression for a whole text, as Python's and RE2 understand it: its groups are
    the sign before a unit, that behind it, and the digits.
    """
    gaps, point = GAPS.get(thousands, thousands), re.escape(decimal)
    digits = r"\d+"
    if gaps:
        digits += rf"|\d{{1,3}}(?:[{gaps}]\d{{2,3}})*[{gaps}]\d{{3}}"  # 1,234,567 and 12,34,567
    blanks = "[ \t\u00a0\u202f]*" if unit else "[ \t]*"
    before = f"(?:{re.escape(unit)}{blanks})?([-+]?)" if unit else "()"
    behind = f"(?:{blanks}{re.escape(unit)})?" if unit else ""
    number = rf"(?:(?:{digits})(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?"
    return f"{blanks}([-+]?){before}({number}){behind}{blanks}"


@cache
def numeral(decimal: str, thousands: str, unit: str) -> re.Pattern[str]:
    """The same for Python."""
    return re.compile(numeral_pattern(decimal, thousands, unit), re.ASCII)


def number_of(text: str, decimal: str = ".", thousands: str = "", unit: str = "") -> float | None:
    """The number of a text, which is infinite where float64 cannot hold it; None for others."""
    match = numeral(decimal, thousands, unit).fullmatch(text)
    if match is None or (match[1] and match[2]):
        return None
    digits = match[3]
    for gap in GAPS.get(thousands, thousands):
        digits = digits.replace(gap, "")
    return float(match[1] + match[2] + digits.replace(decimal, "."))
