"""What MLflow loads of a kept model: the end of its code, behind the program that predicts."""

from __future__ import annotations

from typing import Any

import mlflow
import pandas

from trainer.export.runtime.rows import arrays, predict


class Network(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Takes raw rows and gives a value a row for each of COLUMNS."""

    def load_context(self, context: Any) -> None:
        """Reads the numbers of the model from the artifact `weights`."""
        with open(context.artifacts["weights"], "rb") as file:
            self.p = arrays(file.read())

    def predict(self, context: Any, model_input: pandas.DataFrame, params: Any = None) -> Any:
        """The predictions as a table."""
        try:
            return pandas.DataFrame(predict(model_input, self.p))
        except ValueError as error:  # so that a server answers 400, with this text
            raise mlflow.MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(Network())
