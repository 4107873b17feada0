"""Amounts with a unit, as `2h` and `500MB`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator

from trainer.spec.fields import wrong
from trainer.spec.messages import describe

_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_BYTES: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)")


def seconds_of(text: str) -> float:
    """The seconds of a duration."""
    return _amount(text, _SECONDS, "2h")


def bytes_of(text: str) -> int:
    """The bytes of an amount of them."""
    return int(_amount(text, _BYTES, "2GB"))


def _amount(value: Any, units: dict[str, int], example: str) -> float:
    """How many of the smallest unit a text such as `2h` says."""
    what = f"an amount such as {example}"
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f"with a unit: {value}{example.lstrip('0123456789')}"
        raise wrong(
            f"expected {what}, found {describe(value)}", hint if number else None, code="TR-S016"
        )
    found = _AMOUNT.fullmatch(value)
    if found is None or found[2] not in units:
        by_case = {unit.lower(): unit for unit in units}
        unit = by_case.get(found[2].lower()) if found else None
        hint = f"write {found[1]}{unit}" if found and unit else f"units are {', '.join(units)}"
        raise wrong(f"expected {what}, found {describe(value)}", hint, code="TR-S016")
    if not float(found[1]):
        raise wrong("expected more than nothing", "leave it out for no limit", code="TR-S016")
    return float(found[1]) * units[found[2]]


def _time(value: Any) -> Any:
    seconds_of(value)
    return value


def _disk(value: Any) -> Any:
    bytes_of(value)
    return value


Duration: TypeAlias = Annotated[str, BeforeValidator(_time)]
"""`90s`, `30min`, `2h`, `1d`."""
Amount: TypeAlias = Annotated[str, BeforeValidator(_disk)]
"""`500MB`, `2GB`."""
