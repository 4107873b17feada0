"""Tables from numbers in memory: of bundled, drawn and written data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.data.columns.roles import Roles, choose, wanted_extra, wanted_features
from trainer.data.columns.table import Label, Table, plain_columns
from trainer.data.columns.targets import TARGET, Goal, check_labels, encode_classes
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.reading.assembling import encode_files, extra_columns
from trainer.data.reading.numpyfiles import ArraysFile
from trainer.errors import SpecError
from trainer.graph.ops import Array
from trainer.spec.data import DataSpec


def from_arrays(
    x: Array, y: Sequence[Label] | Array, data: DataSpec, goal: Goal, origin: str
) -> Table:
    """A table of unnamed columns: the features are called x1, x2, … and the target y.

    Raises `MisfitError` for what does not fit the spec, as its other functions do.
    """
    names = tuple(f"x{i}" for i in range(1, x.shape[1] + 1))
    roles = choose((*names, "y"), data, goal)
    if roles.targets != ("y",):
        found = ", ".join(f"'{name}'" for name in roles.targets)
        message = f"the target of {origin.partition('/')[0]} data is 'y', found {found}"
        raise MisfitError(SpecError, Misfit(TARGET, message, "leave `target` out", code="TR-S020"))
    if goal == "class":
        return from_matrix(names, x, roles, *encode_classes(y), data, origin)
    values = np.asarray(y, dtype=np.float64).reshape(len(x), -1)
    if goal == "labels":
        check_labels(values)
    return from_matrix(names, x, roles, values, None, data, origin)


def from_matrix(
    names: Sequence[str],
    values: Array,
    roles: Roles,
    target: Array,
    classes: tuple[Label, ...] | None,
    data: DataSpec,
    origin: str,
) -> Table:
    """A table whose features, weights, group and time are columns of a matrix of these names.

    Raises `DataError` for numbers that are not what the spec declares, and `MisfitError`.
    """
    features, others = wanted_features(roles.features, data), wanted_extra(roles, data)
    if others or any(want.kind not in (None, "numeric") for want in features):
        used = {want.name for want in (*features, *others)}
        arrays = {name: values[:, i] for i, name in enumerate(names) if name in used}
        encoded = encode_files([ArraysFile(None, arrays)], features, others)
        extra = extra_columns(encoded, roles)
        return Table(encoded.columns, encoded.x, roles.targets, target, classes, origin, **extra)
    x = values
    if roles.features != tuple(names):
        x = values.take([names.index(name) for name in roles.features], axis=1)
    return Table(plain_columns(roles.features), x, roles.targets, target, classes, origin)
