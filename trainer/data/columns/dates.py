"""Which date a text is. Exported programs copy this file's functions: there is one grammar.

A date of ISO 8601 is read in every column; others as the column's format says, such as
`day/month/year`: its words in their order with its sign between them. A `year` has four digits and
`yy` two, of 1969 to 2068; a month is a number or an English name. A time of day may follow, of 24
hours or with AM or PM, and then Z, UTC, GMT or the hours and minutes that it is ahead of them. A
time without a zone is in UTC.
"""

from __future__ import annotations

import datetime
import re
from functools import cache, lru_cache

ISO = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[-+]\d\d(?::?\d\d)?))?)?",
    re.ASCII,
)
COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[-+]\d\d(?::?\d\d)?))?)?",
    re.ASCII,
)
WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +)?"
TIME = (
    r"(?:(?:T|,? +)(?P<hour>\d\d?):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?(?: ?(?P<half>[ap])\.?m\.?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[-+]\d\d(?::?\d\d)?))?)?"
)
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
EPOCH = datetime.date(1970, 1, 1).toordinal()
NANOSECONDS = 86_400 * 10**9  # of a day


@cache
def date_pattern(form: str) -> re.Pattern[str]:
    """What a whole text of this format is."""
    if form in ("iso", "yearmonthday"):
        return ISO if form == "iso" else COMPACT
    month = r"\d\d?" if form.startswith("yy") else r"\d\d?|[a-z]{3,9}\.?"  # 05-May-24 ends in 24
    words = {"year": r"\d{4}", "yy": r"\d\d", "month": month, "day": r"\d\d?(?:st|nd|rd|th)?"}
    pattern = WEEKDAY
    for piece in re.split("([-/. ])", form):
        if piece in words:
            pattern += f"(?P<{piece}>{words[piece]})"
        else:
            pattern += ",? +" if piece == " " else re.escape(piece)
    return re.compile(pattern + TIME, re.ASCII | re.IGNORECASE)


@lru_cache(2**16)
def days_of(text: str, form: str = "iso") -> float | None:
    """Days since 1970-01-01 in UTC, with a fraction for the time of day; None for other texts."""
    match = ISO.fullmatch(text) or date_pattern(form).fullmatch(text)
    if match is None:
        return None
    found = match.groupdict()
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if found.get("half"):
        hour = hour % 12 + 12 * (found["half"] in "pP") if 1 <= hour <= 12 else 24
    ahead = minutes_ahead(found["zone"])
    try:
        date = datetime.date(year_of(found), month_of(found["month"]), day_of(found["day"]))
        datetime.time(hour, minute, second)
    except ValueError:
        return None
    if ahead is None:
        return None
    past = (hour * 60 + minute - ahead) * 60 + second
    fraction = int((found["fraction"] or "").ljust(9, "0"))
    whole, rest = divmod(past * 10**9 + fraction, NANOSECONDS)
    return date.toordinal() - EPOCH + whole + rest / NANOSECONDS


def year_of(found: dict[str, str]) -> int:
    """The year of a match; two digits are those of 1969 to 2068."""
    if "year" in found:
        return int(found["year"])
    year = int(found["yy"])
    return year + (1900 if year >= 69 else 2000)


def month_of(text: str) -> int:
    """The month by its number or English name; 0 for other names."""
    if text.isdigit():
        return int(text)
    name = text.lower().rstrip(".")
    return next((i for i, month in enumerate(MONTHS, 1) if name in (month, month[:3])
                 or name == month[:4] == "sept"), 0)  # fmt: skip


def day_of(text: str) -> int:
    """The day of a month, be it written 5th."""
    return int(text.rstrip("stndrhSTNDRH"))


def minutes_ahead(zone: str | None) -> int | None:
    """Minutes that a time is ahead of UTC; None where there is no such time."""
    if zone is None or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)
