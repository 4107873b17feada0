"""What the columns of files are: declared in the spec, or found in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trainer.data.columns.categories import text_of
from trainer.data.columns.cells import (
    categories_of,
    is_missing,
    looks_boolean,
    looks_like_date,
    looks_numeric,
)
from trainer.data.columns.encoding import are_all, distinct, is_cell, is_date, is_number
from trainer.data.columns.roles import Wanted, declaration
from trainer.data.columns.table import Column, show
from trainer.data.reading.tablefile import TableFile
from trainer.errors import DataError, Problem
from trainer.spec.data import Kind

MANY: Final = 100
"""So many distinct texts may be categories, whatever the number of rows."""


@dataclass
class _Found:
    """What the cells of a column look like. `texts` are its distinct ones, if it is `whole`."""

    rows: int = 0
    present: int = 0
    numbers: int = 0
    booleans: int = 0
    dates: int = 0
    texts: set[str] = field(default_factory=set)
    whole: bool = True

    @property
    def kind(self) -> Kind:
        """The kind that fits every cell; numeric where at least half of them are numbers."""
        counts: dict[Kind, int] = {"boolean": self.booleans, "date": self.dates}
        alike = [kind for kind, count in counts.items() if count == self.present > 0]
        if alike:
            return alike[0]
        return "numeric" if 2 * self.numbers >= self.present else "categorical"


def find_columns(files: Sequence[TableFile], wanted: Sequence[Wanted]) -> tuple[Column, ...]:
    """The columns with their kinds and categories, which are found in the files where needed.

    Raises `DataError` for texts that look like identifiers, and what `TableFile.batches` raises.
    """
    for file in files:
        check_types(file, [want.name for want in wanted])
    kinds = [want.kind or _kind_of_types(files, want.name) for want in wanted]
    names = [want.name for want in wanted]
    pairs = list(zip(names, kinds, strict=True))
    found = _look(
        files, {(name, kind is not None) for name, kind in pairs if kind in (None, "categorical")}
    )
    kinds = [kind or found[name, False].kind for name, kind in pairs]
    pairs = list(zip(names, kinds, strict=True))
    # where some blocks held numbers alone, their texts are not yet known
    partly = {name for (name, alone), each in found.items() if not alone and not each.whole}
    found |= _look(
        files, {(name, True) for name, kind in pairs if kind == "categorical" and name in partly}
    )
    return tuple(
        _column(want, kind, found, files[0]) for want, kind in zip(wanted, kinds, strict=True)
    )


def _column(
    want: Wanted, kind: Kind | None, found: Mapping[tuple[str, bool], _Found], file: TableFile
) -> Column:
    assert kind is not None
    if kind == "ordinal":
        return Column(want.name, kind, tuple(map(text_of, want.order)))
    if kind != "categorical":
        return Column(want.name, kind)
    seen = found.get((want.name, True)) or found[want.name, False]
    categories = categories_of(seen.texts)
    _check_identifiers(want, categories, seen.rows, file)
    return Column(want.name, kind, categories)


def check_types(file: TableFile, names: Iterable[str]) -> None:
    """Raises `DataError` for a column of lists or the like."""
    wrong = [name for name in names if not is_cell(file.types[name])]
    if wrong:
        message = f"expected numbers or texts, found the type {file.types[wrong[0]]}"
        hint = "leave the column out"
        raise DataError(Problem(f"column {show(wrong[0])}", message, hint, file.label))


def _kind_of_types(files: Sequence[TableFile], name: str) -> Kind | None:
    """The kind that the types of a column tell, without a look at its cells."""
    import pyarrow as pa

    types = [file.types[name] for file in files]
    tests: dict[Kind, Any] = {
        "numeric": is_number, "boolean": pa.types.is_boolean, "date": is_date
    }  # fmt: skip
    fitting = (kind for kind, test in tests.items() if all(map(test, types)))
    return next(fitting, None)


def _look(
    files: Iterable[TableFile], wanted: Iterable[tuple[str, bool]]
) -> dict[tuple[str, bool], _Found]:
    """What columns look like, by their names and whether their texts alone matter."""
    found = {want: _Found() for want in sorted(wanted)}
    if not found:
        return found
    columns = [Column(name, "categorical") for name in dict.fromkeys(name for name, _ in found)]
    for file in files:
        for batch in file.batches(columns):
            for (name, alone), each in found.items():
                _look_at(each, batch.column(name), file.missing, alone)
    return found


def _look_at(found: _Found, cells: Any, missing: Sequence[str], alone: bool) -> None:
    import pyarrow as pa

    found.rows += len(cells)
    if pa.types.is_null(cells.type):
        return
    if not alone and (is_number(cells.type) or are_all(cells, pa.float64())):
        found.numbers += len(cells) - cells.null_count
    elif not alone and are_all(cells, pa.date32()):
        found.dates += len(cells) - cells.null_count
    else:
        _look_at_texts(found, cells, missing, alone)
        return
    found.present += len(cells) - cells.null_count
    found.whole = False


def _look_at_texts(found: _Found, cells: Any, missing: Sequence[str], alone: bool) -> None:
    values, places = distinct(cells)
    counts: list[int] = np.bincount(places, minlength=len(values) + 1)[: len(values)].tolist()
    for value, count in zip(values, counts, strict=True):
        if is_missing(value, missing):
            continue
        text = text_of(value)
        found.texts.add(text)
        found.present += count
        if alone:
            continue
        if looks_numeric(text):
            found.numbers += count
        elif looks_boolean(text):
            found.booleans += count
        elif looks_like_date(text):
            found.dates += count


def _check_identifiers(want: Wanted, categories: Sequence[str], rows: int, file: TableFile) -> None:
    """Raises `DataError` for a column that was found to hold texts nearly all of which differ."""
    if want.kind is not None or want.identifiers:
        return
    if len(categories) <= MANY or 2 * len(categories) <= rows:
        return
    message = (
        f"{len(categories)} different texts in {rows} rows, such as {show(categories[0])}, "
        "look like identifiers, not categories"
    )
    hint = f"leave the column out, or write {declaration(want.name, 'type: categorical')}"
    raise DataError(Problem(f"column {show(want.name)}", message, hint, file.label))
