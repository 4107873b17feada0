"""What the training rows say of scales: curves, shifts, and what is divided by.

No other row has a part in it, and weights have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from trainer.data.columns.blocks import blocks
from trainer.data.columns.table import Table, listing, show
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.scaling import QUANTILES, Scaling
from trainer.errors import DataError
from trainer.graph.ops import Array
from trainer.numerics.statistics import quantiles
from trainer.numerics.sums import Sum
from trainer.spec.columns import CURVES, ColumnSpec
from trainer.spec.data import DataSpec
from trainer.spec.document import Path

Steps: TypeAlias = tuple[str, ...]
"""The names in a `scale`: a curve, a range, or both."""


@dataclass(frozen=True)
class Fitted:
    """Training rows whose columns are scaled.

    `rows` gives some of them, of shape (rows, columns), and `column` all of one. `numbers` are
    theirs in the files. `misfit` is told the number of a column, and a message with {} for its
    name, a hint and the code.
    """

    rows: Callable[[Array | slice], Array]
    column: Callable[[int], Array]
    numbers: Array
    misfit: Callable[[int, str, str, str], Misfit]


@dataclass(frozen=True)
class Flat:
    """Columns that have no width: `constant` ones, and those whose quartiles are the same."""

    constant: tuple[int, ...] = ()
    narrow: tuple[int, ...] = ()


def fit_scales(
    data: DataSpec, table: Table, train: Array, how: Preprocessing, notes: list[str]
) -> Preprocessing:
    """The same with the scales that the spec asks for. Notes which columns have no width.

    Raises `MisfitError` where a column has no scale in float64, or holds what log1p takes not.
    """
    names = how.encoded_names
    fitted = _of_features(data, table, train, how)
    scaling, flat = fit(fitted, _asked(data, how))
    if flat.constant:
        many = len(flat.constant) > 1
        notes.append(
            f"{len(flat.constant)} {'features are' if many else 'feature is'} constant in the "
            f"training rows and {'become' if many else 'becomes'} 0: "
            f"{listing([names[i] for i in flat.constant], 3)}"
        )
    if flat.narrow:
        many = len(flat.narrow) > 1
        notes.append(
            f"{len(flat.narrow)} {'features have' if many else 'feature has'} quartiles that are "
            "the same, so only the median is taken off: "
            f"{listing([names[i] for i in flat.narrow], 3)}"
        )
    targets = _fit_targets(data, table, train)
    return replace(how, scaling=scaling, target_scaling=targets)


def _of_features(data: DataSpec, table: Table, train: Array, how: Preprocessing) -> Fitted:
    names = how.encoded_names

    def rows(some: Array | slice) -> Array:
        return how.expand(how.adopt(table, train[some]))

    def column(number: int) -> Array:
        place = how.place_of(number)
        one = replace(how, columns=(how.columns[place],), rules=(how.rules[place],))
        found: Array = one.expand(table.x[train, place][:, None])[:, number - how.starts[place]]
        return found

    def misfit(number: int, message: str, hint: str, code: str) -> Misfit:
        name = how.features[how.place_of(number)]
        path: Path = ("data", "standardize" if data.standardize else "scale")
        if data.columns.get(name, ColumnSpec()).scale is not None:
            path = ("data", "columns", name, "scale")
        return Misfit(path, message.format(f"the feature {show(names[number])}"), hint, code=code)

    return Fitted(rows, column, table.numbered(train), misfit)


def _asked(data: DataSpec, how: Preprocessing) -> list[Steps]:
    """The scale of each column of x; none for categories and what tells of missing values."""
    found: list[Steps] = []
    for column, rule, width in zip(how.columns, how.rules, how.widths, strict=True):
        own = data.columns.get(column.name, ColumnSpec()).scale
        ranks = column.kind == "ordinal" and rule.dimensions is None
        common = data.scale if ranks or column.kind in ("numeric", "date") else ()
        found += [common if own is None else own] * (width - rule.indicator)
        found += [()] * rule.indicator
    return found


def _fit_targets(data: DataSpec, table: Table, train: Array) -> Scaling:
    """The scale of the targets, which are numbers."""
    steps, columns = data.target_scale, table.target.reshape(len(table.target), -1)
    if not steps:
        return Scaling()

    def misfit(number: int, message: str, hint: str, code: str) -> Misfit:
        several = len(table.targets) == columns.shape[1]
        name = f"the target {show(table.targets[number if several else 0])}"
        return Misfit(("data", "target_scale"), message.format(name), hint, code=code)

    fitted = Fitted(
        lambda some: columns[train[some]], lambda number: columns[train, number],
        table.numbered(train), misfit,
    )  # fmt: skip
    return fit(fitted, [steps] * columns.shape[1])[0]


# Fitting ----------------------------------------------------------------------------------------


def fit(fitted: Fitted, steps: Sequence[Steps]) -> tuple[Scaling, Flat]:
    """The scaling of columns by the steps of each, and those that have no width.

    `standard` takes off the mean and divides by the deviation of all rows (divided by n);
    `minmax` by the least and the range; `robust` by the median and the distance of the quartiles.
    A constant column is only shifted, to exactly 0. Raises `MisfitError`.
    """
    curves = _fit_curves(fitted, steps)
    kinds = np.array([_range_of(asked) for asked in steps])
    if not (kinds != "").any():
        return Scaling(curves), Flat()

    def rows(some: Array | slice) -> Array:
        return Scaling(curves).bend(fitted.rows(some))

    count, width = len(fitted.numbers), len(steps)
    first, constant = rows(slice(0, 1))[0], np.ones(width, bool)
    for block in blocks(count, width):
        constant &= (rows(block) == first).all(axis=0)
    shift, scale = np.zeros(width), np.ones(width)
    if (kinds == "standard").any():
        shift, scale = _mean_and_deviation(rows, count, width)
    for number in np.flatnonzero((kinds == "minmax") | (kinds == "robust")).tolist():
        own = {0: curves[number]} if number in curves else {}
        column = Scaling(own).bend(fitted.column(number)[:, None])[:, 0]
        shift[number], scale[number] = _middle_and_width(column, kinds[number])
    narrow = (kinds == "robust") & (scale == 0) & ~constant
    shift = np.where(kinds != "", np.where(constant, first, shift), 0.0)
    scale = np.where((kinds != "") & ~constant & ~narrow, scale, 1.0)
    _check_found(fitted, kinds, shift, scale)
    flat = (tuple(np.flatnonzero(which).tolist()) for which in (constant & (kinds != ""), narrow))
    return Scaling(curves, shift, scale), Flat(*flat)


def _range_of(asked: Steps) -> str:
    """The scale that follows the curve; an empty text for none."""
    return asked[-1] if asked and asked[-1] not in CURVES else ""


def _check_found(fitted: Fitted, kinds: Array, shift: Array, scale: Array) -> None:
    """Raises `MisfitError` where a column has no scale in float64."""
    lost = np.flatnonzero(~np.isfinite(shift) | ~np.isfinite(scale) | (scale == 0))
    if len(lost):
        number = int(lost[0])
        _check_missing(fitted, number)
        what = "deviation" if kinds[number] == "standard" else "range"
        message = f"the {what} of {{}} is outside the range of float64"
        raise MisfitError(
            DataError, fitted.misfit(number, message, "rescale the column", "TR-D030")
        )


def _check_missing(fitted: Fitted, number: int) -> None:
    """Raises `MisfitError` where the column has no value in some row."""
    missing = np.flatnonzero(np.isnan(fitted.column(number)))
    if len(missing):
        message = f"{{}} has an empty cell in row {fitted.numbers[missing[0]]}, counted from 0"
        hint = "fill it in, leave the row out, or say what stands for it, as `missing: median`"
        raise MisfitError(DataError, fitted.misfit(number, message, hint, "TR-D019"))


def _fit_curves(fitted: Fitted, steps: Sequence[Steps]) -> dict[int, Array | None]:
    """The curve of each column that has one. Raises `MisfitError` where log1p has no value."""
    curves: dict[int, Array | None] = {}
    for number, asked in enumerate(steps):
        if not asked or asked[0] not in CURVES:
            continue
        column = fitted.column(number)
        if asked[0] == "quantile":
            ranks = np.linspace(0, 1, min(QUANTILES, max(2, len(column))))
            curves[number] = np.maximum.accumulate(quantiles(column, ranks))
            continue
        low = np.flatnonzero(column <= -1)
        if len(low):
            row = fitted.numbers[low[0]]
            message = (
                f"log1p takes numbers above -1, and {{}} holds {column[low[0]]:g} "
                f"(row {row}, counted from 0)"
            )
            hint = "use another scale for this column"
            raise MisfitError(DataError, fitted.misfit(number, message, hint, "TR-D030"))
        curves[number] = None
    return curves


def _middle_and_width(column: Array, kind: str) -> tuple[float, float]:
    with np.errstate(all="ignore"):
        if kind == "minmax":
            return float(column.min()), float(column.max() - column.min())
        low, middle, high = quantiles(column, np.array([0.25, 0.5, 0.75]))
        return float(middle), float(high - low)


def _mean_and_deviation(
    rows: Callable[[Array | slice], Array], count: int, width: int
) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        mean = _column_sums(rows, count, width) / count
        return mean, np.sqrt(_column_sums(rows, count, width, mean) / count)


def _column_sums(
    rows: Callable[[Array | slice], Array], count: int, width: int, mean: Array | None = None
) -> Array:
    """The sums of the columns, or of their squared deviations from `mean`."""
    sums = Sum(width)
    for block in blocks(count, width):
        values = rows(block)
        if mean is not None:
            values -= mean
            values *= values
        sums.add(values)
    return sums.value()
