"""A table whose columns are those of a model, found by their names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainer.data.columns.categories import text_of
from trainer.data.columns.table import Column, Table, listing, show
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.messages import near

_ALIKE = ({"categorical", "ordinal"},)
"""Kinds of columns whose cells mean the same: the number of a category."""


def matched(table: Table, how: Preprocessing) -> Table:
    """The table with the columns of a model alone, in its order, and with its numbers of classes,
    as the model was fitted to rows that may have been other ones since.

    Raises `DataError` for all columns that are missing or are of another kind now, and for a class
    that the model does not know.
    """
    there = {column.name: i for i, column in enumerate(table.columns)}
    problems = []
    for column in how.columns:
        if column.name not in there:
            advice = near(column.name, there) or f"the columns are {listing([*there], 12)}"
            message = f"the model needs the column {show(column.name)}, which is missing"
            problems.append(Problem("", message, advice, table.origin, code="TR-D037"))
        elif not _is_like(table.columns[there[column.name]], column):
            found = table.columns[there[column.name]].kind
            message = f"the column {show(column.name)} is {found} now"
            advice = f"the model was trained on a column that is {column.kind}"
            problems.append(Problem("", message, advice, table.origin, code="TR-D037"))
    if problems:
        raise DataError(problems)
    target = _target(table, how)
    places = [there[column.name] for column in how.columns]
    if places == list(range(len(table.columns))) and table.classes == how.classes:
        return table
    return replace(
        table, columns=tuple(table.columns[i] for i in places),
        x=np.ascontiguousarray(table.x[:, places]), target=target, classes=how.classes,
    )  # fmt: skip


def _is_like(found: Column, expected: Column) -> bool:
    """Whether the cells of a column mean what those of another do."""
    kinds = {found.kind, expected.kind}
    return len(kinds) == 1 or any(kinds <= alike for alike in _ALIKE)


def _target(table: Table, how: Preprocessing) -> Array:
    """The target with the model's numbers of classes. Raises `DataError`."""
    if table.classes is None or how.classes is None or table.classes == how.classes:
        return table.target
    places = {text_of(label): number for number, label in enumerate(how.classes)}
    numbers = np.array([places.get(text_of(label), -1) for label in table.classes])
    target = np.asarray(numbers[table.target])
    if (target < 0).any():
        row = int(np.argmax(target < 0))
        found = show(table.classes[int(table.target[row])])
        message = f"row {row}: expected a class that the model knows, found {found}"
        advice = f"the classes are {listing(how.classes, 12)}"
        raise DataError(
            Problem(
                f"column {show(table.target_name)}", message, advice, table.origin, code="TR-D028"
            )
        )
    return target
