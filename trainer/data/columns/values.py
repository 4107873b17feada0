"""One cell of any library as a value of Python's own. Programs copy what stands here."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

Plain: TypeAlias = str | bool | int | float | Decimal | np.floating[Any] | None
"""What a cell is: nothing, or a text, a truth value, a number. NumPy's shorter reals stay what they
are, since they hold fewer digits.
"""


class CellError(ValueError):
    """A cell that means nothing in its column: what was expected and found, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def plain(value: Any) -> Plain:
    """A cell as a text, a truth value or a number; None for NaN and what else stands for nothing.

    Dates and times are texts in ISO 8601. Raises `CellError` for a list and whatever else is no
    single value.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.bool_ | np.integer):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else value
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which may not be here
        return None
    if isinstance(value, Decimal):
        return None if value.is_nan() else value
    if isinstance(value, np.datetime64):
        unit = {"Y": "D", "M": "D", "W": "D", "h": "s", "m": "s"}.get(np.datetime_data(value)[0])
        value = value.astype(f"datetime64[{unit}]") if unit else value
        return None if np.isnat(value) else moment_text(str(value))
    if isinstance(value, datetime.date):
        return moment_text(str(value))
    what = "a list" if isinstance(value, list | tuple | set | np.ndarray) else (
        "a mapping" if isinstance(value, dict) else f"a value of the type {type(value).__name__}"
    )  # fmt: skip
    hint = "a cell holds one text, number, truth value or date"
    raise CellError(f"expected a single value, found {what}", hint)


def decimal_text(value: Decimal) -> str:
    """All digits, and no zeros behind the point: 2 for 2.00."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment_text(text: str) -> str:
    """A date, with the time of day where that is not midnight: as short as ISO 8601 has it."""
    text = re.sub(r"^(\S+)T(?=\d)", r"\1 ", text)
    text = re.sub(r"(:\d\d\.\d*?)0+(?=$|[-+Z])", r"\1", text)
    text = re.sub(r"(:\d\d)\.(?=$|[-+Z])", r"\1", text)
    return re.sub(r" 00:00(:00)?$", "", text)
