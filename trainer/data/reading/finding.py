"""What the columns of files are: declared in the spec, or found in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from trainer.data.columns.categories import text_of
from trainer.data.columns.cells import categories_of, is_missing
from trainer.data.columns.encoding import (
    are_all,
    are_numbers,
    distinct,
    is_cell,
    is_date,
    is_number,
)
from trainer.data.columns.notation import PLAIN
from trainer.data.columns.roles import Wanted, declaration
from trainer.data.columns.seen import Seen
from trainer.data.columns.table import Column, show
from trainer.data.reading.tablefile import TableFile
from trainer.errors import DataError, Problem
from trainer.spec.columns import Kind
from trainer.spec.messages import either, words

MANY: Final = 100
"""So many distinct texts may be categories, whatever the number of rows."""


@dataclass
class Findings:
    """What the columns are; what is wrong with some of them, by their places; and notes on what a
    reader should know.
    """

    columns: list[Column] = field(default_factory=list)
    problems: dict[int, Problem] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_columns(files: Sequence[TableFile], wanted: Sequence[Wanted]) -> Findings:
    """The columns with their kinds, categories and formats, found in the files where needed.

    Raises what `TableFile.batches` raises, and `DataError` for columns that hold no cells.
    """
    for file in files:
        check_types(file, [want.name for want in wanted])
    kinds = [want.kind or _kind_of_types(files, want.name) for want in wanted]
    seen = _look(files, wanted, kinds)
    for place, (want, kind) in enumerate(zip(wanted, kinds, strict=True)):
        kinds[place] = kind or seen[want.name, False].kind
    # where some blocks held numbers alone, their texts are not yet known
    partly = [
        want for want, kind in zip(wanted, kinds, strict=True)
        if kind == "categorical" and (each := seen.get((want.name, False))) and not each.whole
    ]  # fmt: skip
    seen |= _look(files, partly, ["categorical"] * len(partly))
    found = Findings()
    for want, kind in zip(wanted, kinds, strict=True):
        assert kind is not None
        _decide(found, want, kind, seen, files[0])
    return found


def _decide(
    found: Findings, want: Wanted, kind: Kind, seen: Mapping[tuple[str, bool], Seen],
    file: TableFile,
) -> None:  # fmt: skip
    """Adds what one column is, and what is said of it."""
    looked = seen.get((want.name, True)) or seen.get((want.name, False)) or Seen()
    categories: tuple[str, ...] = ()
    notation, problem = want.notation.of(kind), None
    if kind == "ordinal":
        categories = tuple(map(text_of, want.order))
    elif kind == "categorical":
        categories = categories_of(looked.texts)
        problem = _identifiers(want, categories, looked.rows, file)
        found.notes += _notes(want, looked) if problem is None else []
    elif kind == "date" and not want.formatted:
        first, *others = looked.possible_formats
        notation = replace(notation, format=first)
        problem = _ambiguous(want, looked, file) if others else None
    if problem is not None:
        found.problems[len(found.columns)] = problem
    found.columns.append(Column(want.name, kind, categories, notation))


def check_types(file: TableFile, names: Iterable[str]) -> None:
    """Raises `DataError` for a column of lists or the like."""
    wrong = [name for name in names if not is_cell(file.types[name])]
    if wrong:
        message = f"expected numbers or texts, found the type {file.types[wrong[0]]}"
        hint = "leave the column out"
        raise DataError(
            Problem(f"column {show(wrong[0])}", message, hint, file.label, code="TR-D039")
        )


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
    files: Iterable[TableFile], wanted: Sequence[Wanted], kinds: Sequence[Kind | None]
) -> dict[tuple[str, bool], Seen]:
    """What columns look like whose kind, categories or format are to be found, by their names and
    whether their texts alone matter.
    """
    seen: dict[tuple[str, bool], Seen] = {}
    for want, kind in zip(wanted, kinds, strict=True):
        if kind in (None, "categorical") or (kind == "date" and not want.formatted):
            seen.setdefault((want.name, kind == "categorical"), Seen(want.notation))
    if not seen:
        return seen
    columns = [
        Column(name, "categorical", notation=PLAIN if alone else each.notation)
        for (name, alone), each in seen.items()
    ]
    for file in files:
        for batch in file.batches(columns):
            for (name, alone), each in seen.items():
                _look_at(each, batch.column(name), file.missing, alone)
    return seen


def _look_at(seen: Seen, cells: Any, missing: Sequence[str], alone: bool) -> None:
    import pyarrow as pa

    seen.rows += len(cells)
    if pa.types.is_null(cells.type):
        return
    if not alone and (is_number(cells.type) or are_numbers(cells, seen.notation)):
        seen.numbers += len(cells) - cells.null_count
    elif not alone and (is_date(cells.type) or are_all(cells, pa.date32())):
        seen.dates += len(cells) - cells.null_count
    else:
        _look_at_texts(seen, cells, missing, alone)
        return
    seen.present += len(cells) - cells.null_count
    seen.whole = False


def _look_at_texts(seen: Seen, cells: Any, missing: Sequence[str], alone: bool) -> None:
    values, places = distinct(cells)
    counts: list[int] = np.bincount(places, minlength=len(values) + 1)[: len(values)].tolist()
    for value, count in zip(values, counts, strict=True):
        if is_missing(value, missing):
            continue
        text = text_of(value)
        seen.texts.add(text)
        seen.present += count
        if not alone:
            seen.add(value if isinstance(value, str) else text, count)


# What is said ------------------------------------------------------------------------------------


def _identifiers(
    want: Wanted, categories: Sequence[str], rows: int, file: TableFile
) -> Problem | None:
    """The problem of a column that was found to hold texts nearly all of which differ."""
    if want.kind is not None or want.identifiers:
        return None
    if len(categories) <= MANY or 2 * len(categories) <= rows:
        return None
    message = (
        f"{len(categories)} different texts in {rows} rows, such as {show(categories[0])}, "
        "look like identifiers, not categories"
    )
    hint = f"leave the column out, or write {declaration(want.name, 'type: categorical')}"
    return Problem(f"column {show(want.name)}", message, hint, file.label, code="TR-D022")


def _ambiguous(want: Wanted, seen: Seen, file: TableFile) -> Problem:
    """The problem of dates whose format no cell tells."""
    forms = seen.possible_formats
    own = {form: text for fits, text in seen.samples.items() for form in fits if len(fits) == 1}
    if set(forms) <= set(own):
        ways = words([f"{show(own[form])} is {form}" for form in forms])
        message, hint = f"dates are written in several ways: {ways}", "write them in one way"
    else:
        every = [text for fits, text in seen.samples.items() if set(forms) <= set(fits)]
        date = [*every, *seen.samples.values()][0]
        message = f"dates such as {show(date)} may be {either(forms)}"
        hint = f"write {declaration(want.name, f'format: {forms[0]}')}, or whichever it is"
    return Problem(f"column {show(want.name)}", message, hint, file.label, code="TR-D021")


def _notes(want: Wanted, seen: Seen) -> list[str]:
    """What a reader should know of a column that was found to be categorical."""
    if want.kind is not None or want.identifiers:
        return []
    what = declaration(want.name, "type: categorical")
    count = f"the {len(seen.texts)} different texts of {show(want.name)}"
    if 2 * seen.quantities >= seen.present > 0:
        return [f"{count}, such as {show(seen.quantity)}, are taken for categories, not for "
                f"numbers with a unit or times; {what} says so"]  # fmt: skip
    if seen.scattered:
        return [f"{count} in {seen.rows} rows become a column each; are they identifiers? "
                f"{what} says that they are categories"]  # fmt: skip
    return []
