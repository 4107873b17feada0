"""What to write about cells that do not fit their column: their sort, and their way out.

Cells of one sort are one mistake: it is told once, with how many there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from trainer.data.columns.cells import looks_numeric
from trainer.data.columns.dates import days_of
from trainer.data.columns.looks import (
    Numeral,
    date_formats,
    is_empty_date,
    is_marker,
    looks_like_date,
    numeral_of,
)
from trainer.data.columns.roles import Wanted, declaration
from trainer.data.columns.table import Column, show
from trainer.data.columns.values import CellError
from trainer.data.reading.tablefile import TableFile
from trainer.spec.document import means_text
from trainer.spec.messages import either, words

Sort: TypeAlias = Literal["other", "marker", "numeral", "point", "date"]

_SHOWN: Final = 5
"""So many different texts are shown of a mistake."""


def sort_of(error: CellError, cell: object, column: Column) -> tuple[str, Sort]:
    """Which mistakes are alike: those with the same start of a message, of one sort."""
    start = re.split(r"['\d\"]", error.message, maxsplit=1)[0]
    if not isinstance(cell, str) or column.kind not in ("numeric", "boolean", "date"):
        return start, "other"
    if start.startswith("expected a finite"):
        return start, "other"
    if is_marker(cell) or (column.kind == "date" and is_empty_date(cell)):
        return start, "marker"
    if column.kind == "numeric" and "\n" not in cell and not error.message.startswith("the number"):
        if looks_numeric(cell):
            return start, "point" if not column.notation.has_plain_numbers else "other"
        return start, "numeral" if numeral_of(cell) else "other"
    return start, "date" if column.kind == "date" and looks_like_date(cell) else "other"


def told(
    sort: Sort,
    error: CellError,
    cells: Mapping[str, int],
    want: Wanted,
    column: Column,
    file: TableFile,
    markers: Collection[str] = (),
) -> tuple[str, str | None]:
    """The message of a mistake, and what to do; `cells` counts its different texts, `error`
    is what was said of the first, and `markers` are what in all columns may stand for nothing.
    """
    if not want.declarable:  # rows to predict, which the training has decided
        return error.message, error.hint
    if sort == "marker":
        message = error.message.rpartition(", found ")[0] + f", found {_listed(cells)}"
        return message, _marker_hint(want, cells, markers, file)
    if sort == "numeral":
        numerals = [numeral for cell in cells if (numeral := numeral_of(cell))]
        return _but_for(error.message, numerals), _numeral_hint(want, numerals, file)
    if sort == "point":
        hint = f"numbers are declared to be written as {column.notation.sample} here"
        return error.message, hint
    if sort == "date" or column.kind == "date":
        return error.message, _date_hint(want, column, cells)
    if column.kind == "boolean" and want.kind is None:
        hint = _marker_hint(want, cells, markers, file)
        return error.message, f"{error.hint}; {hint}"
    return error.message, error.hint


def _listed(cells: Mapping[str, int]) -> str:
    more = len(cells) - _SHOWN if len(cells) > _SHOWN + 1 else 0
    shown = [
        show(cell) + (f" ({count} times)" if count > 1 else "")
        for cell, count in [*cells.items()][: len(cells) - more]
    ]
    return words([*shown, f"{more} others"] if more > 0 else shown)


def _or_categorical(want: Wanted) -> str:
    """The other way out of a column whose kind was found."""
    if want.kind is not None or want.identifiers:
        return ""
    return f", or {declaration(want.name, 'type: categorical')}"


# Markers -----------------------------------------------------------------------------------------


def _marker_hint(
    want: Wanted, cells: Collection[str], markers: Collection[str], file: TableFile
) -> str:
    """How cells are said to stand for nothing."""
    if file.counts != "line":
        return f"if {_they(cells)} for nothing, leave the cells empty{_or_categorical(want)}"
    every = ", ".join(
        map(_yaml, dict.fromkeys((*file.missing, *(cell.strip() for cell in (*cells, *markers)))))
    )
    write = f"write `source: {{csv: …, missing_values: [{every}]}}`"
    return f"if {_they(cells)} for nothing, {write}{_or_categorical(want)}"


def _they(cells: Collection[str]) -> str:
    return "they stand" if len(cells) > 1 else "it stands"


def _yaml(text: str) -> str:
    """A text in a list of YAML."""
    plain = re.fullmatch(r"[A-Za-z][\w/. -]*\w", text) and means_text(text)
    return text if plain else json.dumps(text, ensure_ascii=False)


# Numbers -----------------------------------------------------------------------------------------


def _but_for(message: str, numerals: Sequence[Numeral]) -> str:
    """The message, and what keeps its text from being a number."""
    first = numerals[0]
    odd = [*filter(None, [
        first.unit and f"the unit {show(first.unit)}",
        first.decimal == "," and "the decimal comma",
        first.either and "the comma",
        first.thousands and f"{show(first.thousands)} between thousands",
        first.odd,
    ])]  # fmt: skip
    if first.odd.startswith("times"):
        return f"{message}, a time of day or duration"
    return f"{message}, a number but for {words([str(each) for each in odd])}"


def _numeral_hint(want: Wanted, numerals: Sequence[Numeral], file: TableFile) -> str:
    """How the spec says that numbers are written so; or how they should be."""
    decimals, thousands, either, units, odd = (
        list(dict.fromkeys(value for each in numerals if (value := getattr(each, name))))
        for name in ("decimal", "thousands", "either", "unit", "odd")
    )
    if any(each.startswith("times") for each in odd):
        return f"write a number, of minutes for example{_or_categorical(want)}"
    if either and decimals != [","]:
        thousands = list(dict.fromkeys((*thousands, *either)))
    commas = not decimals and thousands == [","] and either == [","] and not any(
        each.thousands for each in numerals
    )  # fmt: skip
    if odd or max(map(len, (units, thousands))) > 1 or _clash(decimals, thousands):
        plain = "write it plainly, as -1234.5"
        return plain + (", in one unit" if units else "") + _or_categorical(want)
    keys = [("unit", units), ("decimal", [*decimals] if "," in decimals else []),
            ("thousands", thousands)]  # fmt: skip
    said = ", ".join(f"{key}: {json.dumps(values[0], ensure_ascii=False)}"
                     for key, values in keys if values)  # fmt: skip
    hint = f"write {declaration(want.name, said)}"
    if file.counts == "line" and not units:
        hint = f"write `source: {{csv: …, {said}}}`, or of this column alone "
        hint += declaration(want.name, said)
    if commas:
        hint += '; if the comma is a decimal sign, `decimal: ","`'
    return hint + (_or_categorical(want) if any(each.quantity for each in numerals) else "")


def _clash(decimals: Sequence[str], thousands: Sequence[str]) -> bool:
    """Whether no notation has these signs."""
    return len(decimals) > 1 or (bool(thousands) and thousands[0] in decimals) or (
        "." in decimals and thousands == ["."]
    )  # fmt: skip


# Dates -------------------------------------------------------------------------------------------


def _date_hint(want: Wanted, column: Column, cells: Collection[str]) -> str:
    """What to do about texts that are no dates of the column's format."""
    if all(days_of(cell.strip(), "yearmonthday") is not None for cell in cells):
        return f"write {declaration(want.name, 'format: yearmonthday')}"
    fitting = [set(forms) for cell in cells if (forms := date_formats(cell))]
    common = sorted(set.intersection(*fitting)) if fitting else []
    others = [form for form in common if form != column.notation.format]
    form = column.notation.format
    hint = "write it as 2024-12-31 or 2024-12-31 23:59:59"
    if others:
        what = declaration(want.name, f"format: {others[0]}")
        more = f" (or {either(others[1:])})" if others[1:] else ""
        hint = f"write {what}{more}, or all dates in one way"
    elif form != "iso":
        hint = f"most dates of the column are written {form}; {hint}"
    return hint + _or_categorical(want)
