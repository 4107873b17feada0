"""What every source of data hands over: numbers, a target, and what they are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from trainer.errors import DataError, Problem, SpecError
from trainer.graph.ops import Array
from trainer.spec.messages import near
from trainer.spec.schema import Spec

Label: TypeAlias = str | int | float | bool


@dataclass(frozen=True)
class Table:
    """The examples as read, before they are split and encoded.

    `x` is float64 of shape (rows, features). `target` is float64 of shape (rows, targets), or,
    where `classes` is set, int64 of shape (rows,) with the number of each row's class. Both are
    C-contiguous.
    `origin` says where the rows came from, for MLflow.
    """

    features: tuple[str, ...]
    x: Array
    target_name: str
    target: Array
    classes: tuple[Label, ...] | None
    origin: str

    @property
    def sha256(self) -> str:
        """SHA-256 of names, values and classes; docs/reproducibility.md says exactly how."""
        header = {
            "features": self.features,
            "target": self.target_name,
            "rows": len(self.x),
            "classes": self.classes,
        }
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.x, dtype="<f8").data)
        kind = "<i8" if self.classes is not None else "<f8"
        digest.update(np.ascontiguousarray(self.target, dtype=kind).data)
        return digest.hexdigest()


def choose(columns: Sequence[str], spec: Spec) -> tuple[tuple[str, ...], str]:
    """The names of the features and of the target among `columns`, as the spec asks.

    Raises `SpecError` for every name that is no column.
    """
    problems = []

    def known(name: str, path: tuple[str | int, ...]) -> None:
        if name not in columns:
            hint = near(name, columns) or f"the columns are {listing(columns, 12)}"
            problems.append(spec.problem(path, f"the data has no column '{name}'", hint))

    target = spec.data.target or ""
    known(target, ("data", "target"))
    for i, name in enumerate(spec.data.features or ()):
        known(name, ("data", "features", i))
    features = spec.data.features or tuple(name for name in columns if name != target)
    if not problems and not features:
        message = "the data has no column beside the target"
        problems.append(spec.problem(("data", "target"), message))
    if problems:
        raise SpecError(problems)
    return features, target


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


def from_arrays(x: Array, y: Sequence[Label] | Array, spec: Spec, origin: str) -> Table:
    """A table of unnamed columns: the features are called x1, x2, … and the target y."""
    names = tuple(f"x{i}" for i in range(1, x.shape[1] + 1))
    features, target = choose((*names, "y"), spec)
    if target != "y":
        message = f"the target of {origin.partition('/')[0]} data is 'y', found '{target}'"
        raise SpecError(spec.problem(("data", "target"), message, "leave `target` out"))
    if features != names:
        x = x.take([names.index(name) for name in features], axis=1)
    if spec.model.loss == "logistic":
        codes, classes = encode_classes(y, spec)
        return Table(features, x, target, codes, classes, origin)
    values = np.asarray(y, dtype=np.float64).reshape(len(x), -1)
    return Table(features, x, target, values, None, origin)
