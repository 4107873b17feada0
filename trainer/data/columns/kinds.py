"""What the columns of a table are: declared in the spec, or found in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from trainer.data.columns.cells import (
    categories_of,
    is_missing,
    looks_boolean,
    looks_like_date,
    looks_numeric,
    text_of,
)
from trainer.data.columns.encoding import are_all, distinct, is_cell, is_date, is_number
from trainer.data.columns.table import Column, Label, show
from trainer.data.reading.tablefile import TableFile
from trainer.errors import DataError, Problem
from trainer.spec.data import Kind
from trainer.spec.schema import Spec

EXPECTED: Final[Mapping[Kind | None, str]] = {
    None: "a number",
    "numeric": "a number",
    "categorical": "a category",
    "ordinal": "a category",
    "boolean": "true or false",
    "date": "a date",
}
"""What a cell is called, by the kind of its column."""

MANY: Final = 100
"""So many distinct texts may be categories, whatever the number of rows."""


@dataclass(frozen=True)
class Wanted:
    """A column to read. `kind` is None where it is to be found.

    `expected` is what a cell of it is called, `advice` what to do about one that does not fit,
    and `empty` about one that is missing. `optional` tells whether cells may be missing, and
    `identifiers` whether there may be as many categories as rows. `order` are the labels of an
    ordinal column.
    """

    name: str
    kind: Kind | None
    expected: str
    advice: str | None = None
    empty: str = "fill it in, or leave the row out"
    optional: bool = False
    identifiers: bool = True
    order: tuple[Label, ...] = ()


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
    counts = _counts(places, len(values))
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


def _counts(places: Any, size: int) -> list[int]:
    import numpy as np

    counts: list[int] = np.bincount(places, minlength=size + 1)[:size].tolist()
    return counts


def _check_identifiers(want: Wanted, categories: Sequence[str], rows: int, file: TableFile) -> None:
    """Raises `DataError` for a column that was found to hold texts nearly all of which differ."""
    if want.kind is not None or want.identifiers or not looks_like_identifiers(categories, rows):
        return
    message = (
        f"{len(categories)} different texts in {rows} rows, such as {show(categories[0])}, "
        "look like identifiers, not categories"
    )
    hint = f"leave the column out, or write {declaration(want.name, 'type: categorical')}"
    raise DataError(Problem(f"column {show(want.name)}", message, hint, file.label))


def looks_like_identifiers(categories: Sequence[str], rows: int) -> bool:
    """Whether so many rows differ that their texts are hardly categories."""
    return len(categories) > MANY and 2 * len(categories) > rows


def declaration(name: str, what: str) -> str:
    """How the spec says something of a column."""
    plain = name.replace(" ", "_").isidentifier()
    return f"`data.columns: {{{name if plain else show(name)}: {{{what}}}}}`"


def wanted_features(names: Sequence[str], spec: Spec) -> list[Wanted]:
    """What the spec says of features."""
    return [_wanted_feature(name, spec) for name in names]


def _wanted_feature(name: str, spec: Spec) -> Wanted:
    declared = spec.data.columns.get(name)
    kind = declared.kind if declared else None
    if declared and kind is None and declared.encode == "embedding":
        kind = "categorical"  # whose numbers name something
    missing = (declared.missing if declared else None) or spec.data.missing
    advice = "correct it, or leave the column out"
    if kind is None:
        advice = f"correct it, or write {declaration(name, 'type: categorical')}"
    order = (declared.order if declared else None) or ()
    return Wanted(
        name, kind, EXPECTED[kind], advice, _fill(name, kind), missing != "error", False, order
    )


def _fill(name: str, kind: Kind | None) -> str:
    """What to do about missing cells of a feature."""
    fill = "median" if kind in (None, "numeric", "date") else "most_frequent"
    own = declaration(name, f"missing: {fill}")
    return f"write `data.missing: {fill}` or {own}, or leave the column out"


def as_found(want: Wanted, column: Column) -> Wanted:
    """What is told of a feature whose kind was found."""
    if want.kind is not None or want.identifiers:
        return want
    kind = column.kind
    return replace(want, expected=EXPECTED[kind], empty=_fill(want.name, kind))
