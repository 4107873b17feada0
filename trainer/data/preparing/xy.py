"""From rows of a table to x and y, as an engine takes them."""

from __future__ import annotations

import numpy as np

from trainer.data.columns.blocks import blocks
from trainer.data.columns.table import Table, show
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.preparing.preprocessing import Fault, Preprocessing
from trainer.errors import DataError
from trainer.graph.ops import Array
from trainer.spec.data import DataSpec
from trainer.spec.document import Path


def encode_rows(
    data: DataSpec, table: Table, rows: Array, how: Preprocessing, first: int = 0
) -> tuple[Array, Array]:
    """x, of shape (rows, columns), and y, of shape (rows, outputs), in the model's dtype.

    `first` is the number of the table's first row. Raises `MisfitError` for what cannot be
    encoded; may write into the table.
    """
    x = _encode_features(data, table, rows, how, first)
    y = np.empty((len(rows), how.outputs), how.dtype)
    for block in blocks(*y.shape):
        with np.errstate(over="ignore"):
            y[block] = how.encode_target(table.target[rows[block]])
        _check_targets(y[block], how, table.numbered(rows[block], first))
    return x, y


def _encode_features(
    data: DataSpec, table: Table, rows: Array, how: Preprocessing, first: int
) -> Array:
    """The rows as x. Where all rows keep their dtype they are changed in place: nothing else needs
    the table by then.
    """
    shape, dtype = (len(rows), how.layout.width), np.dtype(how.dtype)
    in_place = table.x.shape == shape and dtype == np.float64 and len(rows) == len(table.x)
    x = table.x if in_place else np.empty(shape, dtype)
    for block in blocks(len(rows), max(shape[1], table.x.shape[1])):
        raw = how.adopt(table, rows[block])
        with np.errstate(over="ignore", invalid="ignore"):
            x[block] = how.encode(raw)
        if not np.isfinite(x[block]).all():
            fault = how.fault(raw, x[block])
            numbers = table.numbered(rows[block], first)
            raise MisfitError(DataError, _misfit(data, how, fault, numbers))
    return x


def _misfit(data: DataSpec, how: Preprocessing, fault: Fault | None, rows: Array) -> Misfit:
    """What is told of a row that cannot be encoded."""
    assert fault is not None, "some number is not finite"
    row = f"row {rows[fault.row]}, counted from 0"
    if fault.too_large:
        return _too_large(how, fault.column, row)
    path: Path = ("data",)
    if fault.column in data.columns:
        path = ("data", "columns", fault.column)
    hint = fault.hint
    if fault.empty:
        hint = f"{hint}, or say what stands for it, as `missing: median`"
        path = (*path, "missing") if len(path) == 1 else path
    message = f"column {show(fault.column)}, {row}: {fault.message}"
    return Misfit(path, message, hint, code="TR-D019" if fault.empty else "TR-D018")


def _check_targets(y: Array, how: Preprocessing, rows: Array) -> None:
    """Raises `MisfitError` for a number that the model's dtype made infinite, or log1p."""
    if np.isfinite(y).all():
        return
    row, column = np.argwhere(~np.isfinite(y))[0]
    name = how.targets[column if len(how.targets) == how.outputs else 0]
    where = f"row {rows[row]}, counted from 0"
    misfit, curves = _too_large(how, name, where), how.target_scaling.curves
    if column in curves and curves[column] is None and not y[row, column] > 0:
        message = f"the target {show(name)} is not above -1 ({where}), which log1p needs"
        misfit = Misfit(("data", "target_scale"), message, "use another scale", code="TR-D030")
    raise MisfitError(DataError, misfit)


def _too_large(how: Preprocessing, column: str, where: str) -> Misfit:
    message = f"{show(column)} holds a number too large for {how.dtype} ({where})"
    hint = "use `dtype: float64` or rescale the data"
    return Misfit(("model", "dtype"), message, hint, code="TR-D020")
