"""Columns that are NumPy arrays: .npz and .npy files, and numbers in memory."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data.columns.arrow import arrow_array
from trainer.data.columns.table import Column, show
from trainer.data.reading.files import unreadable
from trainer.data.reading.tablefile import ROWS, BinaryFile, show_visible
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.names import clean_name, collisions

_REFUSALS: Final = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What reading a damaged file of NumPy arrays may raise."""


@dataclass(frozen=True)
class ArraysFile(BinaryFile):
    """Columns as NumPy arrays of shape (rows,), in memory; made by `read_npz` and `read_npy`.

    `y` names the columns that were one array y.
    """

    path: Path | None
    arrays: Mapping[str, Array]
    y: tuple[str, ...] = ()

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns."""
        return {name: arrow_array(values[:1]).type for name, values in self.arrays.items()}

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, up to `ROWS` rows at a time."""
        import pyarrow as pa

        names = list(dict.fromkeys(column.name for column in columns))
        rows = len(next(iter(self.arrays.values())))
        for start in range(0, rows, ROWS):
            chosen = (self.arrays[name][start : start + ROWS] for name in names)
            yield pa.record_batch([arrow_array(values) for values in chosen], names=names)


def read_npz(path: Path) -> ArraysFile:
    """A .npz file with `x` of shape (rows, features) and `y`, which rows to predict may lack; or
    with a column each. Raises `DataError`.
    """
    with _numpy(path), path.open("rb") as opened:
        file = np.load(opened, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array: use `npy`")
        with file:
            twice = [name for name, count in Counter(file.files).items() if count > 1]
            if twice:
                message = f"the array {show(twice[0])} stands {file.files.count(twice[0])} times"
                hint = "save each array once, under its own name"
                raise DataError(Problem("", message, hint, str(path), code="TR-D016"))
            arrays = {name: file[name] for name in file.files}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it holds other files than arrays")
    if "x" in arrays and arrays["x"].ndim == 2 and set(arrays) <= {"x", "y"}:
        return _paired(path, arrays["x"], arrays.get("y"))
    return _checked(path, arrays)


def read_npy(path: Path, target: Path | None = None) -> ArraysFile:
    """.npy files of features and, but for rows to predict, of targets. Raises `DataError`."""
    read = []
    for each in (path, target):
        if each is None:
            continue
        with _numpy(each), each.open("rb") as opened:
            array = np.load(opened, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it holds several arrays: use `npz`")
            read.append(array)
    return _paired(path, *read)


@contextmanager
def _numpy(path: Path) -> Iterator[None]:
    """`DataError` for what NumPy refuses."""
    kind = "NumPy"
    try:
        yield
    except _REFUSALS as error:
        problem = unreadable(path, error, kind)
        if problem.message.startswith("this is"):  # something else
            raise DataError(problem) from None
        if "allow_pickle" in str(error) or "pickled" in str(error):
            message = "this file holds Python objects, or is no file of NumPy arrays"
            hint = "save arrays of numbers or texts, not of objects"
            raise DataError(Problem("", message, hint, str(path), code="TR-D016")) from None
        raise DataError(problem) from None


def _paired(path: Path, x: Array, y: Array | None = None) -> ArraysFile:
    """Features x1, x2, … and the target y, or y1, y2, … of several columns."""
    arrays = _numbered("x", x[:, None] if x.ndim == 1 else x)
    if y is None:
        return _checked(path, arrays)
    targets = _numbered("y", y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)
    return _checked(path, arrays | targets, tuple(targets) if len(targets) > 1 else ())


def _numbered(name: str, array: Array) -> dict[str, Array]:
    """The columns of a matrix, numbered from 1; other arrays as they are."""
    if array.ndim != 2:
        return {name: array}
    return {f"{name}{i}": column for i, column in enumerate(array.T, 1)}


def _checked(path: Path, arrays: Mapping[str, Array], y: tuple[str, ...] = ()) -> ArraysFile:
    """Columns of one length, whose types a table can have."""
    if not arrays:
        raise DataError(Problem("", "the file holds no arrays", None, str(path), code="TR-D016"))
    plain: dict[str, Array] = {}
    length = max(array.shape[0] if array.ndim else 0 for array in arrays.values())
    for name, array in arrays.items():
        place = f"array {show(name)}"
        if array.shape != (length,):
            shape = " × ".join(map(str, array.shape)) or "a single value"
            message = f"expected {length} values, one a row, found {shape}"
            hint = "an array is a column; or name two `x` and `y`"
            raise DataError(Problem(place, message, hint, str(path), code="TR-D016"))
        if array.dtype.kind not in "biufUSM":
            message = f"expected numbers or texts, found the type {array.dtype}"
            raise DataError(Problem(place, message, None, str(path), code="TR-D016"))
        try:
            plain[name] = _native(array)
        except _CellError as error:
            message = f"row {error.row}: {error.message}"
            raise DataError(
                Problem(place, message, error.hint, str(path), code="TR-D016")
            ) from None
    _check_names(path, plain)
    return ArraysFile(path, {clean_name(name): array for name, array in plain.items()}, y)


def _check_names(path: Path, arrays: Mapping[str, Array]) -> None:
    """Raises `DataError` where two names cannot be told from each other."""
    for alike in collisions(arrays):
        both = " and ".join(map(show_visible, alike))
        message = f"the names {both} differ in nothing that can be seen"
        raise DataError(
            Problem("", message, "give each array its own name", str(path), code="TR-D016")
        )


class _CellError(Exception):
    """A value of an array means nothing: its row, counted from 0, what is wrong, what to do."""

    def __init__(self, row: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.row, self.message, self.hint = row, message, hint


_UNITS: Final = {"Y": "D", "M": "D", "W": "D", "D": "D", "h": "s", "m": "s", "s": "s", "ms": "ms",
                 "us": "us"}  # fmt: skip
"""The unit in which dates of a unit are kept; nanoseconds where there is none."""


def _native(array: Array) -> Array:
    """The array in a type that pyarrow takes. Raises `_CellError`."""
    if array.dtype.kind == "S":
        return _decoded(array)
    if array.dtype.kind == "M":
        return _dates(array)
    if array.dtype.kind == "f":
        return array.astype(np.float64, copy=False)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "U":
        _check_texts(native)
    return native


def _check_texts(array: Array) -> None:
    """Raises `_CellError` for a text that holds half of a character (a surrogate)."""
    if not array.nbytes:
        return
    codes = np.ascontiguousarray(array).view(np.uint32).reshape(len(array), -1)
    halves = ((codes >= 0xD800) & (codes <= 0xDFFF)).any(axis=1)
    if halves.any():
        row = int(np.argmax(halves))
        message = f"the text {show(str(array[row]))} holds half of a character"
        raise _CellError(row, message, "save the texts as they are in UTF-8")


def _decoded(array: Array) -> Array:
    """Bytes as the texts that they are in UTF-8. Raises `_CellError`."""
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError:
        pass
    for row, value in enumerate(array.tolist()):
        try:
            value.decode()
        except UnicodeDecodeError as error:
            message = f"the byte 0x{value[error.start]:02x} is not UTF-8"
            raise _CellError(row, message, "save texts, or texts in UTF-8") from None
    raise AssertionError("each value is UTF-8, all of them are not")


def _dates(array: Array) -> Array:
    """Dates in a unit that pyarrow takes, which hold the same. Raises `_CellError`."""
    unit, _ = np.datetime_data(array.dtype)
    kept = array.astype(f"datetime64[{_UNITS.get(unit, 'ns')}]")
    same = np.isnat(array)
    if unit in _UNITS:  # finer ones than nanoseconds are cut
        same |= kept.astype(array.dtype) == array
    else:
        same |= True
    if kept.dtype == np.dtype("datetime64[D]"):  # of which pyarrow keeps 32 bits
        same &= np.isnat(kept) | (np.abs(kept.astype(np.int64)) < 2**31)
    if not same.all():
        row = int(np.argmin(same))
        message = f"the date {array[row]} is too far from today to be read"
        raise _CellError(row, message, "correct it, or leave the array out")
    return kept
