"""From pyarrow columns to the raw matrix: fast where types allow it, else by distinct cells."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final

import numpy as np

from trainer.data.columns.cells import is_missing, reader
from trainer.data.columns.notation import Notation
from trainer.data.columns.numerals import GAPS, numeral_pattern
from trainer.data.columns.table import Column
from trainer.data.columns.values import CellError, moment_text, plain
from trainer.graph.ops import Array

_FIRST_DAY: Final = -719162
"""That of the year 1, the first that is written; pyarrow reads a year 0 as well."""
_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def encode_batch(batch: Any, columns: Sequence[Column], missing: Container[str] = ()) -> Array:
    """The columns of a record batch as float64 of shape (rows, columns).

    NaN stands for missing cells, which are nulls, NaN, blank texts, and texts in `missing`; −1
    for a category that its column does not have. Raises `CellError` for a cell that does not fit
    its column, and for infinity.
    """
    x = np.empty((batch.num_rows, len(columns)))
    for i, column in enumerate(columns):
        x[:, i] = encode_column(batch.column(column.name), column, missing)
    return x


def encode_column(cells: Any, column: Column, missing: Container[str] = ()) -> Array:
    """One pyarrow array as float64 of shape (rows,); see `encode_batch`."""
    import pyarrow as pa

    if pa.types.is_null(cells.type):
        return np.full(len(cells), np.nan)
    if column.kind == "numeric" and is_number(cells.type):
        return _finite(floats(cells))
    if column.kind == "numeric" and is_text(cells.type):
        parsed = _parsed(cells, column.notation)
        if parsed is not None:
            return parsed
    if column.kind == "boolean" and pa.types.is_boolean(cells.type):
        return floats(cells.cast(pa.uint8()))
    if column.kind == "date":
        if are_all(cells, pa.date32()):
            days = _days(cells.cast(pa.date32()))
            if not (days < _FIRST_DAY).any():
                return days
        if is_date(cells.type):
            return _days(cells)
    return _by_distinct(cells, column, missing)


def is_number(kind: Any) -> bool:
    """Whether a pyarrow type holds numbers."""
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def is_text(kind: Any) -> bool:
    """Whether a pyarrow type holds texts."""
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def are_all(cells: Any, kind: Any) -> bool:
    """Whether the cells are texts that pyarrow reads as this type, all of them or else null."""
    import pyarrow as pa

    if not is_text(cells.type):
        return False
    try:
        cells.cast(kind)
    except pa.ArrowException:
        return False
    return True


def are_numbers(cells: Any, notation: Notation) -> bool:
    """Whether the cells are texts that are all numbers of this notation, or else null."""
    import pyarrow as pa

    if notation.has_plain_numbers:
        return are_all(cells, pa.float64())
    return is_text(cells.type) and _parsed(cells, notation) is not None


def is_date(kind: Any) -> bool:
    """Whether a pyarrow type holds dates, with or without a time."""
    import pyarrow as pa

    return any(test(kind) for test in (pa.types.is_date, pa.types.is_timestamp))


def is_cell(kind: Any) -> bool:
    """Whether a pyarrow type is one that a column of a table may have."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return is_cell(kind.value_type)
    plain = pa.types.is_null(kind) or pa.types.is_boolean(kind)
    return plain or is_number(kind) or is_text(kind) or is_date(kind)


def plain_values(cells: Any) -> list[Any]:
    """The cells as `plain` has them: None, numbers, truth values, and texts, also for dates."""
    import pyarrow as pa

    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if is_date(cells.type):
        cells = cells.cast(pa.string())
        return [None if text is None else moment_text(text) for text in cells.to_pylist()]
    if pa.types.is_float16(cells.type) or pa.types.is_float32(cells.type):
        short = np.float16 if pa.types.is_float16(cells.type) else np.float32
        return [None if value is None else short(value) for value in cells.to_pylist()]
    values: list[Any] = cells.to_pylist()
    return [*map(plain, values)] if pa.types.is_decimal(cells.type) else values


def is_floating(kind: Any) -> bool:
    """Whether a pyarrow type may hold NaN."""
    import pyarrow as pa

    return bool(pa.types.is_floating(kind))


def missing_cells(cells: Any, missing: Container[str] = ()) -> Array:
    """Which cells of one pyarrow array stand for nothing, of shape (rows,); see `is_missing`."""
    import pyarrow as pa

    if pa.types.is_null(cells.type):
        return np.ones(len(cells), bool)
    if is_floating(cells.type):
        return np.asarray(np.isnan(floats(cells)))
    if not (is_text(cells.type) or pa.types.is_dictionary(cells.type)):
        return _nulls(cells)
    values, places = distinct(cells)
    return np.array([*(is_missing(value, missing) for value in values), True])[places]


def distinct(cells: Any) -> tuple[list[Any], Array]:
    """The distinct cells, and each row's place among them; one past the end for nulls."""
    import pyarrow as pa

    encoded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    values = plain_values(encoded.dictionary)
    return values, _values(encoded.indices.cast(pa.int64()), len(values))


def _by_distinct(cells: Any, column: Column, missing: Container[str]) -> Array:
    read = reader(column, missing)
    values, places = distinct(cells)
    numbers = np.array([*map(read, values), np.nan])
    return np.asarray(numbers[places])


def floats(cells: Any, null: float = np.nan) -> Array:
    """Numbers as float64, which may be a view of the same memory; `null` for missing ones."""
    import pyarrow as pa

    if cells.type != pa.float64():
        cells = cells.cast(pa.float64(), safe=False)  # whole numbers above 2**53 are rounded
    return _values(cells, null)


def _values(cells: Any, null: float) -> Array:
    """Numbers as NumPy has them; to_numpy() and fill_null() would import pandas."""
    import pyarrow as pa

    if not cells.null_count:
        return np.from_dlpack(cells)
    data = cells.buffers()[1]
    present = pa.Array.from_buffers(cells.type, len(cells), [None, data], offset=cells.offset)
    return np.where(_nulls(cells), null, np.from_dlpack(present))


def _finite(values: Array) -> Array:
    if np.isinf(values).any():
        raise CellError("expected finite numbers, found infinity", "leave the row or column out")
    missing = np.isnan(values)
    return np.where(missing, np.nan, values) if missing.any() else values  # one NaN of the many


def _parsed(cells: Any, notation: Notation) -> Array | None:
    """Texts as numbers; None where one is no finite number, be it a missing one."""
    import pyarrow as pa

    try:
        if not notation.has_plain_numbers:
            cells = _plain_numerals(cells.cast(pa.large_string()), notation)
        parsed = cells.cast(pa.float64())
    except pa.ArrowException:
        return None
    values = floats(parsed)
    whole = np.count_nonzero(np.isfinite(values)) == len(cells) - cells.null_count
    return values if whole else None


def _plain_numerals(cells: Any, notation: Notation) -> Any:
    """Numerals as programs write them. Raises `ArrowInvalid` where a text is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pattern = numeral_pattern(notation.decimal, notation.thousands, notation.unit)
    pattern = f"^(?:{pattern})$"
    if pc.all(pc.match_substring_regex(cells, pattern)).as_py() is False:
        raise pa.ArrowInvalid("a text that is no number")
    cells = pc.replace_substring_regex(cells, pattern, r"\1\2\3")
    for gap in GAPS.get(notation.thousands, notation.thousands):
        cells = pc.replace_substring(cells, gap, "")
    return pc.replace_substring(cells, notation.decimal, ".")


def _days(cells: Any) -> Array:
    """Days since 1970-01-01 of dates and timestamps, which pyarrow keeps in UTC."""
    import pyarrow as pa

    per_day, kind = 1, pa.int32()
    if pa.types.is_timestamp(cells.type):
        per_day, kind = 86_400 * _UNITS[cells.type.unit], pa.int64()
    elif pa.types.is_date64(cells.type):
        per_day, kind = 86_400 * 1000, pa.int64()
    counts = _values(cells.cast(kind), 0).astype(np.int64)
    days, rest = np.divmod(counts, per_day)
    return np.where(_nulls(cells), np.nan, days + rest / per_day)


def _nulls(cells: Any) -> Array:
    import pyarrow as pa

    return np.from_dlpack(cells.is_null().cast(pa.uint8())).astype(bool)
