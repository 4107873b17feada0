"""Small models with random parameters, and every way of asking them, in one process."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowException
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc import scoring_server

from trainer import TrainerError
from trainer.checkpoints.bundle import CODE, Bundle
from trainer.data import Column, Table
from trainer.data.misfits import located
from trainer.data.preparing.fit_columns import fit_columns
from trainer.data.preparing.fit_scales import fit_scales
from trainer.export.bundle import write_bundle
from trainer.export.program import model_arrays, write_program
from trainer.graph.initialisers import initial_parameters
from trainer.graph.ops import Array
from trainer.network.build import build_graph
from trainer.network.model import Model
from trainer.runs.predict import predict_file
from trainer.spec import Spec
from trainer.spec.sources import MISSING_VALUES
from trainer.tracking.model import SERVED, signature_of

Cells: TypeAlias = Mapping[str, Sequence[Any]]
"""Rows to predict: cells of any type, by column."""
ERRORS: Final = (TrainerError, ValueError, MlflowException)
"""What says that rows are refused."""


def small_model(columns: Sequence[Column], missing_values: Sequence[str] = MISSING_VALUES) -> Model:
    """A model of these columns, of which each may have gaps, that are an input of their own."""
    rows = max(len(column.categories) for column in columns) + 2
    x = np.stack([np.arange(rows) % max(len(c.categories), 2) for c in columns], axis=1)
    x = np.where(np.arange(rows)[:, None] == rows - 1, np.nan, x)
    table = Table(tuple(columns), x, ("y",), np.arange(rows * 1.0)[:, None], None, "made")
    spec = Spec.model_validate({
        "name": "small", "seed": 1,
        "data": {
            "source": {"csv": "t.csv", "missing_values": list(missing_values)}, "target": "y",
            "columns": {column.name: declared(column) for column in columns},
            "split": {"validation": 0.5},
        },
        "model": {"layers": [{"units": 4, "activation": "tanh"}, {"units": 1}],
                  "loss": "squared", "dtype": "float64"},
        "sgd": {"learning_rate": 0.1, "batch_size": 1, "epochs": 1},
    })  # fmt: skip
    with located(spec):
        all_rows = np.arange(rows)
        how = fit_scales(spec.data, table, all_rows, fit_columns(spec, table, all_rows, [])[0], [])
    graph = build_graph(spec, how.layout, training=False)
    random = np.random.default_rng(3)
    shapes = {name: value.shape for name, value in initial_parameters(graph, 1).items()}
    parameters = {name: random.normal(size=shape) for name, shape in shapes.items()}
    return Model.from_parts(spec, parameters, how)


def declared(column: Column) -> dict[str, Any]:
    """What a spec says of the column, whose cells may be missing."""
    fill = "median" if column.kind in ("numeric", "date") else "most_frequent"
    kind = {"order": list(column.categories)} if column.kind == "ordinal" else {"type": column.kind}
    return kind | {"missing": fill, "indicator": True}


@dataclass(frozen=True)
class Served:
    """A model as MLflow's server has it: its code, and the signature that is held against rows."""

    network: Any
    about: Bundle
    metadata: None = None

    @property
    def schema(self) -> Any:
        """The columns that go in."""
        return signature_of(self.about).inputs

    def predict(self, data: Any, params: Any = None) -> Any:
        """As MLflow calls the model."""
        return self.network.predict(None, _enforce_schema(data, self.schema), params)


def served_model(model: Model, folder: Path) -> Served:
    """The model that a run would keep, loaded by its code as MLflow loads it."""
    place = folder / "kept"
    write_bundle(model, np.zeros((1, len(model.preprocessing.columns))), 1, SERVED, place)
    network = runpy.run_path(str(place / CODE))["Network"]()
    network.p = model_arrays(model)
    return Served(network, Bundle.read(place))


# Ways of asking ----------------------------------------------------------------------------------

Way: TypeAlias = Callable[[Cells], Any]
"""From rows to predictions; `None` where a way has no words for such cells."""


def ways(model: Model, folder: Path) -> dict[str, Way]:
    """Every way of asking a model, by name. Those through MLflow need its server to be changed."""
    write_program(model, folder / "program.py")
    scope = runpy.run_path(str(folder / "program.py"))
    served = served_model(model, folder)

    def file(name: str, write: Callable[[Cells, Path], bool]) -> Way:
        def ask(cells: Cells) -> Any:
            path = folder / name
            if not write(cells, path):
                return None
            predict_file(model, path, folder / "out.parquet")
            return pq.read_table(folder / "out.parquet")["prediction"].to_numpy()

        return ask

    def program(cells: Any) -> Any:
        return scope["predict"](cells, scope["P"])["prediction"]

    def body(shape: Callable[[Cells], Any]) -> Way:
        def ask(cells: Cells) -> Any:
            try:
                text = json.dumps(shape({name: _json(values) for name, values in cells.items()}))
            except TypeError:
                return None
            return _answered(served, text.encode(), "application/json")

        return ask

    def csv_body(cells: Cells) -> Any:
        text = _csv(cells)
        return None if text is None else _answered(served, text.encode(), "text/csv")

    def csv_program(cells: Cells) -> Any:
        text = _csv(cells)
        return None if text is None else program(scope["read_csv"](StringIO(text, newline="")))

    def parquet_body(cells: Cells) -> Any:
        place = folder / "body.parquet"
        if not _write_parquet(cells, place):
            return None
        return _answered(served, place.read_bytes(), "application/vnd.apache.parquet")

    def frame(dtype: Any) -> Way:
        def ask(cells: Cells) -> Any:
            table = pd.DataFrame({n: pd.Series(list(v), dtype=dtype) for n, v in cells.items()})
            return served.predict(table)["prediction"].to_numpy()

        return ask

    return {
        "predict, CSV": file("rows.csv", _write_csv),
        "predict, Parquet": file("rows.parquet", _write_parquet),
        "predict, Arrow": file("rows.arrow", _write_arrow),
        "predict, NPZ": file("rows.npz", _write_npz),
        "program, lists": program,
        "program, CSV": csv_program,
        "program, table": lambda cells: program(pd.DataFrame({n: [*v] for n, v in cells.items()})),
        "MLflow, table": frame(None),
        "MLflow, objects": frame(object),
        "body, records": body(lambda cells: {"dataframe_records": _records(cells)}),
        "body, split": body(lambda cells: {"dataframe_split": {
            "columns": list(cells), "data": [*map(list, zip(*cells.values(), strict=True))]}}),
        "body, instances": body(lambda cells: {"instances": _records(cells)}),
        "body, inputs by column": body(lambda cells: {"inputs": cells}),
        "body, CSV": csv_body,
        "body, Parquet": parquet_body,
    }  # fmt: skip


def _answered(served: Served, data: bytes, kind: str) -> Array:
    found = json.loads(scoring_server.invocations(data, kind, served, served.schema).response)
    return np.array([row["prediction"] for row in found["predictions"]])


def _records(cells: Cells) -> list[dict[str, Any]]:
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def _json(values: Sequence[Any]) -> list[Any]:
    """Cells as JSON has them; numbers of NumPy are numbers."""
    numbers = np.integer | np.floating | np.bool_
    return [value.item() if isinstance(value, numbers) else value for value in values]


def _csv(cells: Cells) -> str | None:
    """The text of a CSV file; None for cells that are no single values."""
    kinds = str | int | float | np.integer | np.floating | np.bool_ | None
    if not all(isinstance(value, kinds) for values in cells.values() for value in values):
        return None
    texts = {n: [_text(value) for value in values] for n, values in cells.items()}
    return str(pd.DataFrame(texts).to_csv(index=False))


def _text(value: Any) -> str:
    missing = value is None or (isinstance(value, float | np.floating) and math.isnan(value))
    return "" if missing else str(value)


def _write_csv(cells: Cells, path: Path) -> bool:
    text = _csv(cells)
    if text is not None:
        path.write_text(text, encoding="utf-8", newline="")
    return text is not None


def _arrow(cells: Cells) -> Any:
    """A table of pyarrow; None for cells that no column of one type can hold."""
    try:
        return pa.table({name: pa.array(list(values)) for name, values in cells.items()})
    except (pa.ArrowException, TypeError, OverflowError):
        return None


def _write_parquet(cells: Cells, path: Path) -> bool:
    table = _arrow(cells)
    if table is not None:
        try:
            pq.write_table(table, path)
        except pa.ArrowException:  # a struct without fields
            return False
    return table is not None


def _write_arrow(cells: Cells, path: Path) -> bool:
    table = _arrow(cells)
    if table is not None:
        sink = BytesIO()
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
        path.write_bytes(sink.getvalue())
    return table is not None


def _write_npz(cells: Cells, path: Path) -> bool:
    if len({type(value) for values in cells.values() for value in values}) > 2 or any(
        not isinstance(value, str | int | float | np.generic) or type(value) is not type(values[0])
        for values in cells.values() for value in values
    ):  # fmt: skip
        return False
    arrays: dict[str, Any] = {name: np.array(list(values)) for name, values in cells.items()}
    np.savez(path, **arrays)
    return True
