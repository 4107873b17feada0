"""An example that is given: some cells of a row by the names of their columns, or x as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from trainer.data import Column, Label, Preprocessing, listing
from trainer.data.columns.categories import text_of
from trainer.data.columns.cells import codes_of, reader
from trainer.data.columns.table import show
from trainer.data.columns.values import CellError
from trainer.errors import UsageError
from trainer.graph.ops import Array
from trainer.spec.messages import near

Given: TypeAlias = Mapping[str, str | Array]
"""Values by name, as texts or as numbers."""


@dataclass(frozen=True)
class Example:
    """One example: raw features, (features,), the target as `encode_target` gives it, (1, outputs),
    and what is told of it.
    """

    x: Array
    y: Array
    told: str


def numbers_in(name: str, value: str | Array) -> Array:
    """The numbers of a value, with commas between them. Raises `UsageError`."""
    if not isinstance(value, str):
        return np.asarray(value, np.float64)
    try:
        found = np.array([float(part) for part in value.split(",")])
    except ValueError:
        found = np.empty(0)
    if not len(found) or not np.isfinite(found).all():
        raise UsageError(
            f"--at {name}={value}: expected a name and numbers, as x=1,2.5,3", code="TR-U003"
        )
    return found


def example_of(
    given: Given, how: Preprocessing, row: Callable[[], Example], missing: Sequence[str] = ()
) -> Example:
    """The example that is given: `x` and `y` as numbers, or cells of columns in their own units,
    the others of which are those of `row`, which is asked for only if there are such.

    A category is given by its text, a date as 2024-12-31, `missing` are the texts that stand for
    nothing. Raises `UsageError` with every name and every value that does not fit.
    """
    if _is_whole(given, how):
        return _whole(given, how)
    problems: list[str] = []
    cells, right = {}, dict[str, str | Array]()
    for name, value in given.items():
        if name in how.features:
            column = how.columns[how.features.index(name)]
            cells[name] = _read(column, value, missing, problems)
        elif name in how.targets or name == "y":
            right[name] = value
        else:
            names = [*how.features, *how.targets]
            hint = near(name, names) or f"the columns are {listing(names, 12)}"
            problems.append(f"there is no column {show(name)}\n  hint: {hint}")
    everything = len(cells) == len(how.features)
    base = None if everything or problems else row()
    start = np.zeros(len(how.features)) if base is None else base.x
    x = np.array([cells.get(name, value) for name, value in zip(how.features, start, strict=True)])
    y, said = _target(right, how, base, problems)
    if problems:
        raise UsageError("\n".join(f"--at: {problem}" for problem in problems), code="TR-U006")
    told = ", ".join(f"{name} = {value}" for name, value in given.items())
    if base is not None:
        return Example(x, y, f"{base.told}, with {told}")
    return Example(x, y, f"a given example{said}")


# x and y as numbers ------------------------------------------------------------------------------


def _is_whole(given: Given, how: Preprocessing) -> bool:
    """Whether `x` stands for all features: no column is called so, or it has their numbers."""
    value = given.get("x")
    if value is None:
        return False
    count = value.count(",") + 1 if isinstance(value, str) else np.size(value)
    return "x" not in how.features or (count > 1 and count == len(how.features))


def _whole(given: Given, how: Preprocessing) -> Example:
    unknown = [name for name in given if name not in ("x", "y")]
    if unknown:
        raise UsageError(
            f"--at: there is no input '{unknown[0]}' beside x: give x, and y if you like, or the "
            "columns by their names",
            code="TR-U006",
        )
    x = np.ravel(numbers_in("x", given["x"]))
    if len(x) != len(how.features):
        raise UsageError(f"x takes {len(how.features)} numbers, found {len(x)}", code="TR-U006")
    if "y" not in given:
        return Example(x, _nothing(how), "a given example, y = 0")
    return Example(x, _numbers_of_y(numbers_in("y", given["y"]), how), "a given example")


def _nothing(how: Preprocessing) -> Array:
    """The target 0: of classes the first one."""
    return how.encode_target(np.zeros((1, 1 if how.classes else how.outputs)))


def _numbers_of_y(numbers: Array, how: Preprocessing) -> Array:
    """The target of these numbers: that of a class, or one an output. Raises `UsageError`."""
    y = np.ravel(numbers)
    if how.classes is not None and len(y) == 1:
        number = int(y[0])
        if not 0 <= number < len(how.classes) or number != y[0]:
            raise UsageError(
                f"y is the number of a class, from 0 to {len(how.classes) - 1}", code="TR-U006"
            )
        return how.encode_target(np.array([number]))
    if len(y) != how.outputs:
        raise UsageError(f"y takes {how.outputs} numbers, found {len(y)}", code="TR-U006")
    return how.encode_target(y[None, :])


# Cells by the names of their columns --------------------------------------------------------------


def _read(column: Column, value: str | Array, missing: Sequence[str], problems: list[str]) -> float:
    """The number of a cell; NaN, with one more problem, where it does not fit the column."""
    cell = value if isinstance(value, str) else float(np.ravel(value)[0])
    try:
        found = reader(column, missing)(cell)
    except CellError as error:
        problems.append(_worded(column.name, error.message, error.hint))
        return np.nan
    if column.categories and found < 0:
        hint = _category_near(str(cell), column.categories)
        problems.append(_worded(column.name, f"there is no category {show(str(cell))}", hint))
    return found


def _category_near(text: str, known: Sequence[Label]) -> str:
    return near(text, map(str, known)) or f"they are {listing(known, 12)}"


def _worded(name: str, message: str, hint: str | None) -> str:
    return f"{show(name)}: {message}" + (f"\n  hint: {hint}" if hint else "")


def _target(
    given: Given, how: Preprocessing, base: Example | None, problems: list[str]
) -> tuple[Array, str]:
    """The target, and what is told of it where nobody gave one."""
    named = {name: value for name, value in given.items() if name in how.targets}
    if not named and "y" in given:
        try:
            return _numbers_of_y(numbers_in("y", given["y"]), how), ""
        except UsageError as error:
            problems.append(error.message)
            return _nothing(how), ""
    if not named:
        return (_nothing(how), ", y = 0") if base is None else (base.y, "")
    if how.classes is not None:
        text = str(named[how.target])
        try:
            code = codes_of(tuple(map(text_of, how.classes)))(text)
        except CellError:  # which says of a cell what is said of a class here
            code = -1
        if code < 0:
            hint = _category_near(text, how.classes)
            problems.append(_worded(how.target, f"there is no class {show(text)}", hint))
        return how.encode_target(np.array([max(int(code), 0)])), ""
    start = _nothing(how) if base is None else base.y
    values = np.ravel(how.decode_target(start)).copy()
    for column in how.target_columns:
        if column.name in named:
            place = how.targets.index(column.name)
            values[place] = _read(column, named[column.name], (), problems)
            if np.isnan(values[place]) and not problems:
                problems.append(_worded(column.name, "expected a value, found nothing", None))
    return how.encode_target(values[None, :]), ""
