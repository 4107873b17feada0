"""What every source of data hands over: numbers, a target, and what they are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from trainer.errors import DataError, Problem, SpecError
from trainer.graph.ops import Array
from trainer.spec.data import Kind
from trainer.spec.messages import near
from trainer.spec.schema import Spec

Label: TypeAlias = str | int | float | bool


@dataclass(frozen=True)
class Column:
    """What a feature is. `categories` are the labels of a categorical or ordinal column, as texts,
    in the order of their numbers; other kinds have none.
    """

    name: str
    kind: Kind = "numeric"
    categories: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class Roles:
    """Which columns of the data are what."""

    features: tuple[str, ...]
    targets: tuple[str, ...]
    weights: str | None = None
    group: str | None = None
    time: str | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """The columns beside the features, each once: targets, weights, group, time."""
        extra = (self.weights, self.group, self.time)
        return tuple(dict.fromkeys((*self.targets, *(name for name in extra if name))))


def choose(columns: Sequence[str], spec: Spec, y: tuple[str, ...] = ()) -> Roles:
    """Which of `columns` are features, targets and so on, as the spec asks.

    `y` are columns that the target `y` means all together. Raises `SpecError` for every name that
    is no column, and for what is declared of a column that is no feature.
    """
    data, problems = spec.data, []

    def known(name: str, path: tuple[str | int, ...], *, key: bool = False) -> None:
        if name not in columns:
            hint = near(name, columns) or f"the columns are {listing(columns, 12)}"
            message = f"the data has no column '{name}'"
            problems.append(spec.problem(path, message, hint, key=key))

    targets = y if y and data.targets == ("y",) else data.targets
    for i, name in enumerate(targets):
        known(name, ("data", "target") if isinstance(data.target, str) else ("data", "target", i))
    for i, name in enumerate(data.features or ()):
        known(name, ("data", "features", i))
    roles = Roles((), targets, data.weights, data.split.group, data.split.time)
    for role in ("weights", "group", "time"):
        path = ("data", role) if role == "weights" else ("data", "split", role)
        if getattr(roles, role):
            known(getattr(roles, role), path)
            if getattr(roles, role) in targets:
                message = f"'{getattr(roles, role)}' is a target"
                problems.append(spec.problem(path, message, "name another column"))
    features = data.features or tuple(name for name in columns if name not in roles.others)
    for name in data.columns:
        known(name, ("data", "columns", name), key=True)
        if name in columns and name in roles.others and name not in features:
            message, hint = f"'{name}' is no feature", "only features are described here"
            problems.append(spec.problem(("data", "columns", name), message, hint, key=True))
    if not problems and not features:
        message = "the data has no column beside the target"
        problems.append(spec.problem(("data", "target"), message))
    if problems:
        raise SpecError(problems)
    return replace(roles, features=features)


def encode_classes(values: Sequence[Label] | Array, spec: Spec) -> tuple[Array, tuple[Label, ...]]:
    """Each value's class number, and the classes in sorted order: numbers by size, else by text.

    Raises `DataError` for real numbers, which are no classes, and for a single class.
    """
    if isinstance(values, np.ndarray):
        return _encode_array(values, spec)
    real = next((v for v in values if isinstance(v, float) and not v.is_integer()), None)
    if real is not None:
        message = f"the loss 'logistic' needs classes, but the target holds numbers such as {real}"
        raise DataError(target_problem(spec, message, "use `loss: squared`"))
    classes: tuple[Label, ...] = tuple(
        sorted({int(v) if isinstance(v, float) else v for v in values})
    )
    if len(classes) < 2:
        message = f"all rows have the same class, {show(classes[0])}"
        raise DataError(target_problem(spec, message, "a classifier needs at least two classes"))
    number = {label: i for i, label in enumerate(classes)}
    return np.array([number[value] for value in values], dtype=np.int64), classes


def _encode_array(values: Array, spec: Spec) -> tuple[Array, tuple[Label, ...]]:
    """As `encode_classes`; integers become no Python objects, which would need much memory."""
    if values.dtype.kind != "i":
        return encode_classes(values.tolist(), spec)
    distinct = np.unique(values)
    _, classes = encode_classes(distinct.tolist(), spec)
    return np.searchsorted(distinct, values), classes


def target_problem(spec: Spec, message: str, hint: str | None = None) -> Problem:
    """A problem with the target, placed where the spec names it."""
    return spec.problem(("data", "target"), message, hint)


def show(label: Label) -> str:
    """A value of the data as messages write it: texts in quotation marks, long ones cut."""
    return repr(_cut(label) if isinstance(label, str) else label)


def listing(names: Sequence[Label], limit: int) -> str:
    """The first names with commas between them, and … for the rest."""
    shown = [_cut(str(name)) for name in names[:limit]]
    return ", ".join(shown) + (", …" if len(names) > limit else "")


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
