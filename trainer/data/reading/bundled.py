"""The five real data sets that scikit-learn ships.

Their files are read from the installed package without importing it, which would take most of
a second; a test compares every number with scikit-learn's own loaders. `diabetes` holds the
raw measurements (`load_diabetes(scaled=False)`).
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from trainer.data.columns.roles import choose
from trainer.data.columns.table import Label, Table
from trainer.data.columns.targets import Goal, check_labels, encode_classes
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.reading.arrays import from_matrix
from trainer.errors import DataError
from trainer.graph.ops import Array
from trainer.spec.data import DataSpec

_CELL = "radius texture perimeter area smoothness compactness concavity concave_points symmetry fractal_dimension"  # noqa: E501
_TISSUE = [name.replace("_", " ") for name in _CELL.split()]

FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    "iris": ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
    "wine": (
        "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols",
        "flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue",
        "od280/od315_of_diluted_wines", "proline",
    ),
    "breast_cancer": tuple(
        [f"mean {n}" for n in _TISSUE] + [f"{n} error" for n in _TISSUE]
        + [f"worst {n}" for n in _TISSUE]
    ),
    "digits": tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
    "diabetes": ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
}  # fmt: skip


def _folder() -> Path:
    found = importlib.util.find_spec("sklearn")
    assert found is not None, "scikit-learn is a dependency"
    assert found.origin is not None
    return Path(found.origin).parent / "datasets" / "data"


def _numbers(name: str, skip: int = 0, delimiter: str | None = ",") -> Array:
    path = _folder() / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.loadtxt(io.BytesIO(data), delimiter=delimiter, skiprows=skip, ndmin=2)


def _labelled(name: str) -> tuple[Array, tuple[str, ...] | None]:
    """Files whose first line is `rows,features,class,class,…`; the last column is the class."""
    with (_folder() / name).open(encoding="utf-8") as lines:
        header = next(csv.reader(lines))
    return _numbers(name, skip=1), tuple(header[2:])


def _digits() -> tuple[Array, tuple[str, ...] | None]:
    return _numbers("digits.csv.gz"), tuple("0123456789")


def _diabetes() -> tuple[Array, tuple[str, ...] | None]:
    x = _numbers("diabetes_data_raw.csv.gz", delimiter=None)
    return np.hstack([x, _numbers("diabetes_target.csv.gz")]), None


_READERS: Final[Mapping[str, Callable[[], tuple[Array, tuple[str, ...] | None]]]] = {
    "iris": lambda: _labelled("iris.csv"),
    "wine": lambda: _labelled("wine_data.csv"),
    "breast_cancer": lambda: _labelled("breast_cancer.csv"),
    "digits": _digits,
    "diabetes": _diabetes,
}


@cache
def _contents(name: str) -> tuple[Array, tuple[str, ...] | None]:
    """Read once in a process: who checks specs one after the other meets the same few again."""
    return _READERS[name]()


def read_bundled(name: str, data: DataSpec, goal: Goal) -> Table:
    """The data set as a table; its columns are the features and `target`.

    Raises `MisfitError` when the installed scikit-learn does not hold the data.
    """
    try:
        values, names = _contents(name)
    except (OSError, ValueError) as error:
        message = f"the installed scikit-learn does not hold the data set '{name}' ({error})"
        hint = "install the pinned versions: pip install -r requirements.lock"
        raise MisfitError(
            DataError, Misfit(("data", "source"), message, hint, code="TR-E006")
        ) from None
    columns = (*FEATURES[name], "target")
    roles = choose(columns, data, goal)
    chosen = values.take([columns.index(target) for target in roles.targets], axis=1)
    origin = f"scikit-learn/{name}"
    classes: tuple[Label, ...] | None = None
    if goal == "labels":
        check_labels(chosen)
    elif goal == "class":
        codes = chosen[:, 0]
        if roles.targets == ("target",) and names is not None:
            chosen, classes = codes.astype(np.int64), names
        else:
            chosen, classes = encode_classes(codes)
    return from_matrix(columns, values.copy(), roles, chosen, classes, data, origin)
