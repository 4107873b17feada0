"""A table with columns of every kind, and models for it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from conftest import TINY

from trainer.data import Column, Preprocessing, Table
from trainer.data.misfits import located
from trainer.data.preparing.fit_columns import fit_columns
from trainer.data.preparing.fit_scales import fit_scales
from trainer.graph.initialisers import initial_parameters, initial_state
from trainer.graph.ops import Array
from trainer.network.build import build_graph
from trainer.network.model import Model
from trainer.spec import Spec

CITIES: Final = ("Bonn", 'Köln "am Rhein"', "Paris, FR", "7")
COLUMNS: Final = (
    Column("age"),
    Column("income"),
    Column("city", "categorical", CITIES),
    Column("street", "categorical", ("a", "b", "c", "d", "e")),
    Column("owner", "boolean"),
    Column("size", "ordinal", ("small", "middle", "large")),
    Column("sold", "date"),
    Column("rooms"),
    Column("floor"),
    Column("garden", "boolean"),
)
HOW: Final[dict[str, Any]] = {
    "missing": "median",
    "scale": "standard",
    "columns": {
        "age": {"indicator": True, "missing": "mean"},
        "income": {"scale": ["log1p", "minmax"]},
        "city": {"missing": {"constant": "none"}, "indicator": True},
        "street": {"encode": "embedding", "dimensions": 2, "indicator": True},
        "size": {"scale": "robust", "order": ["small", "middle", "large"]},
        "sold": {"parts": ["year", "month", "day", "weekday", "yearday", "hour", "minute", "days"]},
        "rooms": {"scale": "quantile", "missing": "error"},
        "floor": {"scale": "none", "missing": {"constant": -1}},
    },
}
MODELS: Final[dict[str, dict[str, Any]]] = {
    "number": {},
    "scaled number": {"target_scale": ["log1p", "standard"]},
    "ranked number": {"target_scale": ["quantile"]},
    "numbers": {"targets": ("rent", "price"), "target_scale": ["minmax"]},
    "classes": {"classes": ("no", "perhaps", "yes")},
    "two classes": {"classes": (False, True)},
    "labels": {"targets": ("cat", "dog", "bird"), "labels": True},
}


def typed_table(
    rows: int = 200,
    targets: tuple[str, ...] = ("rent",),
    classes: tuple[Any, ...] | None = None,
    labels: bool = False,
) -> Table:
    """Random rows with gaps in most columns."""
    random = np.random.default_rng(5)
    x = np.stack(
        [
            random.integers(18, 90, rows),
            np.exp(random.normal(8, 1, rows)),
            random.integers(0, len(CITIES), rows),
            random.integers(0, 5, rows),
            random.integers(0, 2, rows),
            random.integers(0, 3, rows),
            np.round(random.uniform(-20_000, 30_000, rows) * 1440) / 1440,
            random.integers(1, 8, rows) + random.choice([0, 0.5], rows),
            random.integers(0, 30, rows),
            random.integers(0, 2, rows),
        ],
        axis=1,
    ).astype(np.float64)
    gaps = random.random(x.shape) < 0.1
    gaps[:, 7] = False
    x[gaps] = np.nan
    target: Array = np.exp(random.normal(size=(rows, len(targets))))
    if classes is not None:
        target = random.integers(0, len(classes), rows)
    elif labels:
        target = random.integers(0, 2, (rows, len(targets))).astype(np.float64)
    return Table(COLUMNS, x, targets, target, classes, "random")


def typed_spec(
    targets: tuple[str, ...] = ("rent",),
    classes: tuple[Any, ...] | None = None,
    labels: bool = False,
    target_scale: Any = "none",
    dtype: str = "float32",
) -> Spec:
    """The spec of a model for such a table."""
    units = len(targets)
    if classes is not None and len(classes) > 2:
        units = len(classes)
    loss = "logistic" if classes is not None or labels else "squared"
    layers = [{"units": 6, "activation": "tanh"}, {"units": units}]
    source = {"csv": "rows.csv"}
    data = HOW | {"source": source, "target": list(targets), "target_scale": target_scale}
    model = {"layers": layers, "loss": loss, "dtype": dtype, "multi_label": labels}
    sgd = {"learning_rate": 1e-4, "batch_size": 20, "epochs": 1}
    return Spec.model_validate(TINY | {"data": data, "model": model, "sgd": sgd})


def fit(spec: Spec, table: Table, train: Array | None = None) -> Preprocessing:
    """The preprocessing, fitted on these rows of the table, by default on all."""
    rows = np.arange(len(table.x)) if train is None else train
    with located(spec):
        return fit_scales(spec.data, table, rows, fit_columns(spec, table, rows, [])[0], [])


def typed_model(dtype: str = "float32", **what: Any) -> tuple[Model, Array]:
    """A model with random parameters, and raw rows for it, some with unknown categories."""
    spec = typed_spec(dtype=dtype, **what)
    table = typed_table(**{key: what[key] for key in what if key != "target_scale"})
    how = fit(spec, table)
    graph = build_graph(spec, how.layout, training=False)
    random = np.random.default_rng(3)
    values = {**initial_parameters(graph, 1), **initial_state(graph)}
    parameters = {
        name: random.normal(size=value.shape).astype(dtype) for name, value in values.items()
    }
    raw = how.adopt(table, np.arange(len(table.x)))
    raw[::7, 2] = raw[::5, 3] = -1
    return Model.from_parts(spec, parameters, how), raw
