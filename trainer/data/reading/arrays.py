"""Tables from numbers in memory: of bundled, drawn and written data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.data.columns.kinds import wanted_features
from trainer.data.columns.table import (
    Label,
    Roles,
    Table,
    choose,
    encode_classes,
    plain_columns,
    target_problem,
)
from trainer.data.reading.assembling import encode_files, extra_columns, wanted_others
from trainer.data.reading.numpyfiles import ArraysFile
from trainer.errors import DataError, SpecError
from trainer.graph.ops import Array
from trainer.spec.schema import Spec


def from_arrays(x: Array, y: Sequence[Label] | Array, spec: Spec, origin: str) -> Table:
    """A table of unnamed columns: the features are called x1, x2, … and the target y."""
    names = tuple(f"x{i}" for i in range(1, x.shape[1] + 1))
    roles = choose((*names, "y"), spec)
    if roles.targets != ("y",):
        message = f"the target of {origin.partition('/')[0]} data is 'y', found {_listed(roles)}"
        raise SpecError(spec.problem(("data", "target"), message, "leave `target` out"))
    if spec.model.loss == "logistic" and not spec.model.multi_label:
        codes, classes = encode_classes(y, spec)
        return from_matrix(names, x, roles, codes, classes, spec, origin)
    values = np.asarray(y, dtype=np.float64).reshape(len(x), -1)
    check_labels(values, spec)
    return from_matrix(names, x, roles, values, None, spec, origin)


def _listed(roles: Roles) -> str:
    return ", ".join(f"'{name}'" for name in roles.targets)


def check_labels(values: Array, spec: Spec) -> None:
    """Raises `DataError` where targets are to be a yes or no each and one is another number."""
    wrong = np.argwhere((values != 0) & (values != 1))
    if spec.model.multi_label and len(wrong):
        row, column = wrong[0]
        message = f"expected 0 or 1 in each target, found {values[row, column]:g}"
        raise DataError(target_problem(spec, f"{message} (row {row}, counted from 0)"))


def from_matrix(
    names: Sequence[str],
    values: Array,
    roles: Roles,
    target: Array,
    classes: tuple[Label, ...] | None,
    spec: Spec,
    origin: str,
) -> Table:
    """A table whose features, weights, group and time are columns of a matrix of these names.

    Raises `DataError` for numbers that are not what the spec declares.
    """
    features, others = wanted_features(roles.features, spec), wanted_others(roles, spec, targets=())
    if others or any(want.kind not in (None, "numeric") for want in features):
        used = {want.name for want in (*features, *others)}
        arrays = {name: values[:, i] for i, name in enumerate(names) if name in used}
        encoded = encode_files([ArraysFile(None, arrays)], features, others)
        extra = extra_columns(encoded, roles, spec)
        return Table(encoded.columns, encoded.x, roles.targets, target, classes, origin, **extra)
    x = values
    if roles.features != tuple(names):
        x = values.take([names.index(name) for name in roles.features], axis=1)
    return Table(plain_columns(roles.features), x, roles.targets, target, classes, origin)
