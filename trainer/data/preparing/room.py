"""Whether this machine has the memory for the columns that features become; before it is taken."""

from __future__ import annotations

from typing import Final

import numpy as np

from trainer.data.columns.roles import declaration
from trainer.data.columns.table import show
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.errors import SpecError
from trainer.machine import machine_memory, show_bytes
from trainer.spec.data import DataSpec
from trainer.spec.document import Path

MANY: Final = 200
"""The most columns that the categories of one feature become without a word about it."""


def check_room(data: DataSpec, how: Preprocessing, rows: int) -> None:
    """Raises `MisfitError` where so many encoded rows do not fit into memory."""
    width, have = how.layout.width + how.outputs, machine_memory()
    need = rows * width * np.dtype(how.dtype).itemsize
    if need <= have:
        return
    needed = f"{rows:,} rows need {show_bytes(need)} of memory, and this machine has"
    widest = int(np.argmax(how.widths))
    name, count = how.features[widest], how.widths[widest]
    if count == 1:
        message = f"there are {width:,} columns: {needed} {show_bytes(have)}"
        raise MisfitError(
            SpecError, Misfit(("data",), message, "leave some columns or rows out", code="TR-D035")
        )
    path: Path = ("data", "columns", name) if name in data.columns else ("data",)
    message = f"{_becomes(name, count)}: {needed} {show_bytes(have)}"
    raise MisfitError(
        SpecError, Misfit(path, message, _narrower(name), key=len(path) > 1, code="TR-D035")
    )


def _becomes(name: str, width: int) -> str:
    return f"{show(name)} becomes {width:,} columns, one for each category"


def _narrower(name: str) -> str:
    """How a feature with many categories becomes fewer columns."""
    embedded = declaration(name, "encode: embedding")
    return f"write {embedded}, or group the rare ones, as `max_categories: 50`"


def wide_notes(how: Preprocessing) -> list[str]:
    """What is said of features whose categories become many columns."""
    return [
        f"{_becomes(name, width)}: {_narrower(name)}"
        for name, width in zip(how.features, how.widths, strict=True)
        if width > MANY
    ]
