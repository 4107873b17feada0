"""The trained network as an MLflow model: its code as a text, its numbers as safetensors.

No pickle: MLflow calls it "models from code". The code needs NumPy and pandas, not this package.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.data.columns.texts import written
from trainer.errors import TrackingError, UsageError
from trainer.export.program import model_arrays, program_code
from trainer.graph.ops import Array
from trainer.network.model import Model
from trainer.tracking.describe import flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

FOLDER: Final = "model"
SERVED: Final = "trainer.tracking.served"
"""The file that ends the code of a kept model."""


def log_model(
    client: MlflowClient,
    run_id: str,
    name: str,
    model: Model,
    rows: Array,
    epoch: int,
    facts: Mapping[str, str],
    folder: Path,
) -> str:
    """Keeps the model with the run of this name, as it is after this epoch; returns its id.

    `rows` are raw features, the input example, which shows them as people write them. `facts` go
    into the model's metadata. `folder` is an empty one for its files. What was written is loaded
    and predicts the example once, before it is stored. Raises `TrackingError`, and whatever MLflow
    raises.
    """
    from mlflow.entities import LoggedModelOutput

    how = model.preprocessing
    kind = "regressor" if how.classes is None and not how.multi_label else "classifier"
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(
        experiment, model_name(name), run_id, params=flatten(model.spec.resolved()),
        model_type=kind,
    )  # fmt: skip
    try:
        place = folder / FOLDER
        _save(model, rows, place, logged, run_id, facts)
        _try(model, rows, place)
        for cache in list(place.rglob("__pycache__")):  # of the code, which was loaded
            shutil.rmtree(cache)
        client.log_model_artifacts(logged.model_id, str(place))
        client.finalize_logged_model(logged.model_id, "READY")
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=epoch)])
    return str(logged.model_id)


def model_name(text: str) -> str:
    """What the model of a run of this name is called: `runs:/<run id>/<name>`."""
    return re.sub(r"[/:.%\"']", "_", text)


def link_metrics(
    client: MlflowClient, run_id: str, model_id: str, datasets: Mapping[str, tuple[str, str]]
) -> None:
    """Shows the last values of the run's metrics with the model too.

    `datasets` maps the beginnings of names (`test_`) to a data set's name and digest. The points
    are those that the run has, so that it has them once.
    """
    from mlflow.entities import Metric

    metrics = []
    for name in client.get_run(run_id).data.metrics:
        if "/" in name or name.endswith("_step"):
            continue
        last = client.get_metric_history(run_id, name)[-1]
        part = next((part for part in datasets if name.startswith(part)), None)
        dataset, digest = datasets[part] if part else (None, None)
        metrics.append(
            Metric(name, last.value, last.timestamp, last.step, model_id, dataset, digest, run_id)
        )
    client.log_batch(run_id, metrics=metrics, synchronous=True)


@dataclass(frozen=True)
class RegisteredName:
    """The name of a registered model, and the alias that one of its versions gets."""

    name: str
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> RegisteredName:
        """From `NAME` or `NAME@alias`. Raises `UsageError` for what MLflow takes for no name."""
        name, at, alias = text.partition("@")
        latest = re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE)
        if (
            not re.fullmatch(r"[^/:.%\"'\s][^/:.%\"']*", name)
            or (at and not re.fullmatch(r"[\w-]+", alias, re.ASCII))
            or latest
        ):
            raise UsageError(
                f"'{text}' is no name for a model: expected NAME or NAME@alias, as flats@champion"
            )
        return cls(name, alias or None)


def register(client: MlflowClient, wanted: RegisteredName, model_id: str, run_id: str) -> str:
    """Makes the model a version of the registered model, unless it is one, and points the alias
    at it; returns the version.
    """
    from mlflow.exceptions import MlflowException

    name = wanted.name
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    # the place of its files: `models:/<id>` is looked up in MLflow's global store
    place = client.get_logged_model(model_id).artifact_location
    known = client.search_model_versions(f"name = '{name}'")
    version = next((v.version for v in known if v.source == place), None)
    if version is None:
        version = client.create_model_version(name, place, run_id, model_id=model_id).version
    if wanted.alias is not None:
        client.set_registered_model_alias(name, wanted.alias, str(version))
    return str(version)


def _save(
    model: Model, rows: Array, place: Path, logged: Any, run_id: str, facts: Mapping[str, str]
) -> None:
    """Writes the files of the model into the new folder `place`."""
    import pandas as pd
    from safetensors.numpy import save_file

    with _quiet():
        from mlflow import pyfunc
        from mlflow.models import Model as Description

    place.parent.mkdir(parents=True, exist_ok=True)
    code, weights = place.parent / f"{FOLDER}.py", place.parent / "weights.safetensors"
    code.write_text(program_code(model, SERVED), encoding="utf-8")
    save_file(model_arrays(model), weights)
    description = Description(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        metadata=dict(facts),
    )
    packages = ("mlflow", "numpy", "pandas")
    with _quiet():
        pyfunc.save_model(
            path=str(place),
            mlflow_model=description,
            python_model=str(code),
            artifacts={"weights": str(weights)},
            signature=_signature(model),
            input_example=pd.DataFrame(written(rows, model.preprocessing.columns)),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in packages],
        )
    code.unlink()
    weights.unlink()


def _signature(model: Model) -> ModelSignature:
    """The columns that go in and come out.

    MLflow refuses whole numbers for a column of real ones, which tables mix; so the type of the
    inputs is left open there, and the model's code tells what is no number.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    how = model.preprocessing
    wide = how.dtype == "float64" or how.target_scaling.changes
    kinds = dict.fromkeys(model.columns, DataType.double if wide else DataType.float)
    if how.multi_label:
        kinds |= dict.fromkeys(model.columns[: how.outputs], DataType.long)
    if how.classes is not None:
        labels = {str: DataType.string, bool: DataType.boolean, int: DataType.long}
        kinds["prediction"] = labels.get(type(how.classes[0]), DataType.double)
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name) for name in how.features]),
        outputs=Schema([ColSpec(kind, name) for name, kind in kinds.items()]),
    )


def _try(model: Model, rows: Array, place: Path) -> None:
    """Loads the model and predicts the rows. Raises `TrackingError` where that differs."""
    import pandas as pd
    from mlflow import pyfunc

    with _quiet():
        loaded = pyfunc.load_model(str(place))
        found = loaded.predict(pd.DataFrame(written(rows, model.preprocessing.columns)))
    for name, values in model.predict(rows).items():
        again = found[name].to_numpy()
        close = values.dtype.kind == "f" and np.allclose(again, values, rtol=1e-5)
        if not close and not np.array_equal(again, values):
            raise TrackingError(f"the model that was written predicts another '{name}'")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's report of what it does, its warnings of what its own modules do when they
    are imported, and its look for other tools.
    """
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
