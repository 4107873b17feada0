"""Tables that are sent to a model as JSON or CSV: columns by name, each cell as it is written.

JSON has the shapes of MLflow's requests. What can be meant in one way alone is read; the rest is a
ValueError that says where.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from trainer.export.runtime.facts import DELIMITER, FEATURES

SHAPES = ("dataframe_split", "dataframe_records", "instances", "inputs")


def read_csv(file: Iterable[str], delimiter: str = DELIMITER) -> dict[str, Sequence[str]]:
    """The columns of a CSV file with a header, by name."""
    found: list[list[str]] = []
    try:
        found.extend(row for row in csv.reader(file, delimiter=delimiter, strict=True) if row)
    except csv.Error as error:
        raise ValueError(f"row {max(len(found) - 1, 0)}: no CSV ({error})") from None
    header, *rows = found or [[]]
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {i}: expected {len(header)} cells, found {len(row)}")
    check_names(header, FEATURES)
    columns = zip(*rows, strict=True) if rows else [[] for _ in header]
    return dict(zip(header, columns, strict=True))


def read_csv_text(text: str) -> dict[str, Sequence[str]]:
    """The columns of a CSV file, with commas where these give its header the model's columns, else
    with the model's delimiter.
    """
    text = text.removeprefix("\ufeff")
    header = next(csv.reader(StringIO(text, newline="")), [])
    commas = set(FEATURES) <= set(header)
    return read_csv(StringIO(text, newline=""), "," if commas else DELIMITER)


def read_json(text: str | bytes) -> tuple[dict[str, list[Any]], Any]:
    """The columns of a request by name, and its `params`."""
    try:
        body = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("expected a table, found lists in lists") from None
    if not isinstance(body, dict) or sum(shape in body for shape in SHAPES) != 1:
        raise ValueError(f"expected a mapping with one of {', '.join(SHAPES)}")
    shape = next(shape for shape in SHAPES if shape in body)
    table = body[shape]
    if shape == "dataframe_split":
        return columns_of_split(table), body.get("params")
    if isinstance(table, dict) and shape != "dataframe_records":
        return columns_of_mapping(table), body.get("params")
    return columns_of_records(table), body.get("params")


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON in which no name stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        check_names([name for name, _ in pairs], [*found])
    return found


def check_names(names: Sequence[Any], which: Sequence[str]) -> None:
    """Raises ValueError where a column of these stands twice."""
    twice = [name for name in which if names.count(name) > 1]
    if twice:
        raise ValueError(f"columns that stand twice: {', '.join(twice)}")


def check_present(names: Iterable[Any]) -> None:
    """Raises ValueError where a column is missing."""
    names = list(names)
    missing = [name for name in FEATURES if name not in names]
    if missing:
        found = f" (there are {', '.join(map(str, names[:12]))})" if names else ""
        raise ValueError(f"missing columns: {', '.join(missing)}{found}")


def columns_of_split(table: Any) -> dict[str, list[Any]]:
    """The columns of `{columns: [names], data: [[cells of a row]]}`."""
    names, rows = (
        table.get(key) if isinstance(table, dict) else None for key in ("columns", "data")
    )
    if not isinstance(names, list) or not isinstance(rows, list):
        raise ValueError("expected the lists `columns` and `data` in dataframe_split")
    check_names(names, FEATURES)
    check_present(names)
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = len(row) if isinstance(row, list) else repr(row)
            raise ValueError(f"row {i}: expected {len(names)} cells, found {found}")
    return {name: [row[names.index(name)] for row in rows] for name in FEATURES}


def columns_of_records(rows: Any) -> dict[str, list[Any]]:
    """The columns of a list with a mapping for each row; those of one column may be its cells."""
    if not isinstance(rows, list):
        raise ValueError(f"expected a list of rows, found {rows!r}")
    if len(FEATURES) == 1 and not any(isinstance(row, dict) for row in rows):
        return {FEATURES[0]: rows}
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(
                f"row {i}: expected a mapping with the names of columns, found {row!r}"
            )
        for name in FEATURES:
            if name not in row:
                there = ", ".join(list(row)[:12]) or "none"
                raise ValueError(f"row {i}, column {name!r}: it is missing (there are {there})")
    return {name: [row[name] for row in rows] for name in FEATURES}


def columns_of_mapping(table: dict[str, Any]) -> dict[str, list[Any]]:
    """The columns of a mapping from names to lists of cells, or to the cells of a single row."""
    check_present(table)
    lists = [name for name in FEATURES if isinstance(table[name], list)]
    if not lists:
        return {name: [table[name]] for name in FEATURES}
    for name in FEATURES:
        if name not in lists or len(table[name]) != len(table[lists[0]]):
            count = len(table[lists[0]])
            found = len(table[name]) if name in lists else repr(table[name])
            raise ValueError(f"column {name!r}: expected a list of {count} cells, found {found}")
    return {name: table[name] for name in FEATURES}
