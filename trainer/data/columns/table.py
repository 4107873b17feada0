"""What every source of data hands over: numbers, a target, and what they are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from trainer.data.columns.notation import PLAIN, Notation
from trainer.graph.ops import Array
from trainer.spec.columns import Kind

Label: TypeAlias = str | int | float | bool

MOST_NAMES: Final = 8
"""How many columns a note tells of."""


@dataclass(frozen=True)
class Column:
    """What a feature is. `categories` are the labels of a categorical or ordinal column, as texts,
    in the order of their numbers; other kinds have none. `notation` is how its cells are written
    where they are texts.
    """

    name: str
    kind: Kind = "numeric"
    categories: tuple[str, ...] = ()
    notation: Notation = PLAIN

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return {"name": self.name, "kind": self.kind, "categories": list(self.categories),
                "notation": self.notation.as_json()}  # fmt: skip


@dataclass(frozen=True)
class LeftOut:
    """The rows that the spec left out: how many `of` all, and how many have an empty cell in each
    of the columns that must have a value; one row may have several.
    """

    rows: int
    of: int
    missing: Mapping[str, int]

    @property
    def note(self) -> str:
        """As people read it."""
        each = [f"{count:,} without {show(name)}" for name, count in self.missing.items()]
        shown = ", ".join([*each[:MOST_NAMES], *["…"] * (len(each) > MOST_NAMES)])
        verb = "row is" if self.rows == 1 else "rows are"
        return f"{self.rows:,} of {self.of:,} {verb} left out: {shown}"


@dataclass(frozen=True)
class Table:
    """The examples as read, before they are split and encoded.

    `x` is float64 of shape (rows, features), and NaN stands for a missing value. Categories are
    the numbers of their labels, true is 1, and dates are days since 1970-01-01. `target` is
    float64 of shape (rows, targets), or, where `classes` is set, int64 of shape (rows,) with the
    number of each row's class. Both are C-contiguous. `origin` says where the rows came from, for
    MLflow.

    Where the spec asks for them: `weights`, float64 of shape (rows,), says how much each row
    counts; `group`, int64, which rows stay together; `time`, float64, which are the latest;
    `part`, int8, holds 0 for rows to be split, 1 for those of validation files, 2 of test files.
    `notes` say what a reader should know of the files and their cells.

    Where these are not all rows, `numbers`, int64, holds those that they have in their files. Where
    the spec left some out, `left_out` tells how many; all else is as if the files had none of them.
    """

    columns: tuple[Column, ...]
    x: Array
    targets: tuple[str, ...]
    target: Array
    classes: tuple[Label, ...] | None
    origin: str
    weights: Array | None = None
    group: Array | None = None
    time: Array | None = None
    part: Array | None = None
    notes: tuple[str, ...] = ()
    numbers: Array | None = None
    left_out: LeftOut | None = None

    def numbered(self, rows: Array, first: int = 0) -> Array:
        """The numbers that rows of the table have in their files, counted from 0; `first` is that
        of the table's first row, where none was left out.
        """
        return first + rows if self.numbers is None else np.asarray(self.numbers[rows])

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns of x."""
        return tuple(column.name for column in self.columns)

    @property
    def target_name(self) -> str:
        """The names of the targets, as messages write them."""
        return ", ".join(self.targets)

    def header(self, rows: int) -> hashlib._Hash:
        """The begun hash of a table of so many rows that is otherwise like this one."""
        header: dict[str, Any] = {
            "features": self.features,
            "target": self.target_name,
            "rows": rows,
            "classes": self.classes,
        }
        kinds = [(c.kind, c.categories) for c in self.columns]
        if any(kind != "numeric" for kind, _ in kinds):
            header["columns"] = kinds
        return hashlib.sha256(json.dumps(header, sort_keys=True).encode())

    def count_classes(self, rows: Array) -> Array:
        """How many of these rows have each class, by its number; one number without classes."""
        if self.classes is None:
            return np.array([len(rows)])
        return np.bincount(self.target[rows], minlength=len(self.classes))

    @property
    def sha256(self) -> str:
        """SHA-256 of names, values and classes; docs/reproducibility.md says exactly how."""
        digest = self.header(len(self.x))
        digest.update(np.ascontiguousarray(self.x, dtype="<f8").data)
        kind = "<i8" if self.classes is not None else "<f8"
        digest.update(np.ascontiguousarray(self.target, dtype=kind).data)
        for name in ("weights", "group", "time", "part"):
            extra = getattr(self, name)
            if extra is not None:
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(extra, dtype="<f8").data)
        return digest.hexdigest()


def plain_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of numbers with these names."""
    return tuple(Column(name) for name in names)


def show(label: Label) -> str:
    """A value of the data as messages write it: texts in quotation marks, long ones cut."""
    return repr(_cut(label) if isinstance(label, str) else label)


def listing(names: Sequence[Label], limit: int) -> str:
    """The first names with commas between them, and … for the rest."""
    shown = [_cut(str(name)) for name in names[:limit]]
    return ", ".join(shown) + (", …" if len(names) > limit else "")


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
