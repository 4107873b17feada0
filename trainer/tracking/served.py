"""What MLflow loads of a kept model: the end of its code, behind the program that predicts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import mlflow
import pandas

from trainer.export.runtime.bodies import check_present, read_csv_text, read_json
from trainer.export.runtime.rows import arrays, predict


class Network(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Takes raw rows and gives a value a row for each of COLUMNS."""

    def load_context(self, context: Any) -> None:
        """Reads the numbers of the model from the artifact `weights`."""
        with open(context.artifacts["weights"], "rb") as file:
            self.p = arrays(file.read())

    def predict(self, context: Any, model_input: pandas.DataFrame, params: Any = None) -> Any:
        """The predictions as a table."""
        return told(lambda: pandas.DataFrame(predict(model_input, self.p)))


def told(compute: Callable[[], Any]) -> Any:
    """What is computed; a ValueError becomes MLflow's own, which a server answers with 400."""
    try:
        return compute()
    except ValueError as error:
        raise mlflow.MlflowException.invalid_parameter_value(str(error)) from None


def frame(columns: Mapping[str, Sequence[Any]]) -> pandas.DataFrame:
    """Columns as a table whose cells no library makes others of: long whole numbers are texts.

    Raises ValueError where one is missing, which MLflow would answer with 500.
    """
    check_present(columns)
    cells = {
        name: [str(v) if type(v) is int and abs(v) >= 2**53 else v for v in values]
        for name, values in columns.items()
    }
    return pandas.DataFrame({name: pandas.Series(v, dtype=object) for name, v in cells.items()})


def read_requests() -> None:
    """Where MLflow serves this model, the bodies of requests are read here.

    MLflow has pandas read them, before any model sees them: NA in a CSV file is then an empty cell,
    001 is 1, whole numbers beside a null are real ones, and lists by column are one row.
    """
    from mlflow.pyfunc import scoring_server as server

    def of_json(data: Any, metadata: Any, input_schema: Any) -> Any:
        columns, params = told(lambda: read_json(data))
        return server.ParsedJsonInput(told(lambda: frame(columns)), params, False)

    def of_csv(csv_input: Any, schema: Any = None) -> pandas.DataFrame:
        if hasattr(csv_input, "read"):
            text = csv_input.read()
        else:
            with open(csv_input, encoding="utf-8", newline="") as file:
                text = file.read()
        return told(lambda: frame(read_csv_text(text)))

    def of_parquet(parquet_input: Any) -> pandas.DataFrame:
        from pyarrow import parquet

        source = BytesIO(parquet_input.read()) if hasattr(parquet_input, "read") else parquet_input
        table = told(lambda: parquet.read_table(source).to_pandas(integer_object_nulls=True))
        return told(lambda: frame({name: list(table[name]) for name in table}))

    server._parse_json_data = of_json
    server.parse_csv_input = of_csv
    server.parse_parquet_input = of_parquet


mlflow.models.set_model(Network())
if {"_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "__pyfunc_model_path__"} & set(os.environ):
    read_requests()
