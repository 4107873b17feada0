"""Notes on columns of numbers that probably mean something else: codes, long ids, dates of eight
digits, thousands with points.

Only the first rows of each file are looked at, as texts where they are texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from trainer.data.columns.encoding import is_text
from trainer.data.columns.roles import Wanted, declaration
from trainer.data.columns.table import Column, listing, show
from trainer.data.reading.tablefile import TableFile

MOST: Final = 8
"""So many notes are told whole, and so many further columns by name."""
_BLANKS: Final = r"[ \t]*"
_CODE: Final = rf"^{_BLANKS}0\d+{_BLANKS}$"
_LONG: Final = rf"^{_BLANKS}-?[1-9]\d{{15,}}{_BLANKS}$"
_DATE: Final = rf"^{_BLANKS}(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01]){_BLANKS}$"
_GROUPS: Final = rf"^{_BLANKS}-?[1-9]\d{{0,2}}\.\d{{3}}{_BLANKS}$"
_SMALL: Final = rf"^{_BLANKS}-?(0|[1-9]\d{{0,2}}){_BLANKS}$"
_ODD: Final = f"{_CODE}|{_LONG}|{_DATE}|{_GROUPS}"


def notes_on(
    files: Sequence[TableFile], wanted: Sequence[Wanted], columns: Sequence[Column]
) -> tuple[str, ...]:
    """What is said of the features that were found to be numbers."""
    names = [
        want.name for want, column in zip(wanted, columns, strict=True)
        if column.kind == "numeric" and want.kind is None and not want.identifiers
    ]  # fmt: skip
    notes: dict[str, str] = {}
    for file in files if names else ():
        # as categories, so that a CSV file keeps its texts
        for batch in islice(file.batches([Column(name, "categorical") for name in names]), 1):
            for name in names:
                note = _note(name, batch.column(name))
                if note is not None:
                    notes.setdefault(name, note)
    few = [*notes.values()][:MOST]
    more = len(notes) - len(few)
    if more:
        others = listing([*notes][MOST:], MOST)
        few.append(f"{more} more columns of numbers look like something else: {others}")
    return tuple(few)


def _note(name: str, cells: Any) -> str | None:
    """What is said of a column; None where there is nothing to say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(cells.type):
        cells = cells.cast(pa.string())
    if not is_text(cells.type):
        return None
    cells = cells.cast(pa.large_string()).drop_null()
    if not pc.any(pc.match_substring_regex(cells, _ODD)).as_py():
        return None
    keeps = f"{declaration(name, 'type: categorical')} keeps them"
    code, number = _first(cells, _CODE), _first(cells, _LONG)
    if code is not None:
        return (
            f"the numbers of {show(name)} have leading zeros, as {code} has, so they are probably "
            f"codes: {keeps}"
        )
    if number is not None and abs(int(number)) > 2**53:
        return (
            f"{show(name)} has whole numbers beyond 2**53, such as {number}, which are rounded; "
            f"are they ids? {keeps}"
        )
    if len(cells) and pc.all(pc.match_substring_regex(cells, _DATE)).as_py():
        date, what = cells[0].as_py().strip(), declaration(name, "format: yearmonthday")
        return f"the numbers of {show(name)}, such as {date}, look like dates: {what} reads them"
    return _grouped(name, cells)


def _grouped(name: str, cells: Any) -> str | None:
    """What is said of 1.234 beside 850: with three decimals there would be 850.000."""
    import pyarrow.compute as pc

    groups, small = (pc.match_substring_regex(cells, each) for each in (_GROUPS, _SMALL))
    if not (pc.all(pc.or_(groups, small)).as_py() and pc.any(small).as_py()):
        return None
    what = declaration(name, 'decimal: ",", thousands: "."')
    first = _first(cells, _GROUPS)
    return (
        f"{show(name)} has three digits behind every point, as in {first}, or no point: if they "
        f"are thousands, write {what}"
    )


def _first(cells: Any, pattern: str) -> str | None:
    """The first text that a pattern matches."""
    import pyarrow.compute as pc

    found = cells.filter(pc.match_substring_regex(cells, pattern))
    return str(found[0].as_py()).strip() if len(found) else None
