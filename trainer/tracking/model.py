"""The trained network as an MLflow model: its code as a text, its numbers as safetensors.

No pickle: MLflow calls it "models from code". The code needs NumPy and pandas, not this package.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.checkpoints.bundle import WEIGHTS, Bundle
from trainer.checkpoints.disk import check_seal, hash_within, told_of
from trainer.checkpoints.facts import Facts
from trainer.errors import TrackingError, UsageError
from trainer.tracking.names import flatten
from trainer.tracking.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

FOLDER: Final = "model"
SERVED: Final = "trainer.tracking.served"
"""The file that ends the code of a kept model."""
MODEL_TAG: Final = "trainer.model_sha256"
PACKAGES: Final = ("mlflow", "numpy", "pandas")
"""What the code of a kept model needs."""
_ADDED: Final = frozenset({"__pycache__", "registered_model_meta"})
WEIGHTS_TAG: Final = "trainer.weights_sha256"


def log_model(client: MlflowClient, run_id: str, facts: Facts, bundle: Path, scratch: Path) -> str:
    """Keeps the model in the folder `bundle` with the run, which may have it; returns its id. Its
    code is made anew: no text that lies in the folder is run.

    `scratch` is an empty folder for its files. What was written is loaded and predicts the
    example once, before it is stored. Raises `TrackingError`, and whatever MLflow raises.
    """
    from mlflow.entities import LoggedModelOutput

    model_id = _logged_before(client, run_id, bundle) or _make(
        client, run_id, facts, bundle, scratch / FOLDER
    )
    outputs = client.get_run(run_id).outputs
    if model_id not in [kept.model_id for kept in (outputs.model_outputs if outputs else ())]:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=Bundle.read(bundle).epoch)])
    _link_metrics(client, run_id, model_id, facts)
    return model_id


def _logged_before(client: MlflowClient, run_id: str, bundle: Path) -> str | None:
    """The id of the model of these weights that the run has whole; what a recorder that was killed
    or refused left of a model is dropped.
    """
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    whole = [model for model in found if model.status == "READY"]
    for model in found:
        if model not in whole:
            client.delete_logged_model(model.model_id)
    weights = _hash(bundle)
    return next((str(m.model_id) for m in whole if m.tags.get(WEIGHTS_TAG) == weights), None)


def _make(client: MlflowClient, run_id: str, facts: Facts, bundle: Path, place: Path) -> str:
    """A new model of the run, whose files are written into the new folder `place`; its id."""
    about = Bundle.read(bundle)
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(
        experiment, model_name(facts.name), run_id, {WEIGHTS_TAG: _hash(bundle)},
        flatten(facts.spec), about.kind,
    )  # fmt: skip
    try:
        with _modules_named():
            _save(about, bundle, place, logged, run_id, facts)
            _try(about, place)
        for cache in list(place.rglob("__pycache__")):  # of the code, which was loaded
            shutil.rmtree(cache)
        client.set_logged_model_tags(logged.model_id, {MODEL_TAG: _hash_of_all(place)})
        client.log_model_artifacts(logged.model_id, str(place))
        client.finalize_logged_model(logged.model_id, "READY")
    except BaseException:
        with suppress(Exception):
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return str(logged.model_id)


def _hash(bundle: Path) -> str:
    with told_of(bundle / WEIGHTS):
        return hash_within(bundle, WEIGHTS)


def _hash_of_all(folder: Path) -> str:
    """The SHA-256 of the names and hashes of all files in a folder, but for what MLflow adds."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not set(path.parts) & _ADDED:
            digest.update(f"{name} {hash_within(folder, name)}\n".encode())
    return digest.hexdigest()


def check_model(client: MlflowClient, model_id: str, store: Store) -> None:
    """Raises `CheckpointError` where the files of a model are not those that its run recorded:
    they hold code, which whoever loads the model runs.
    """
    from mlflow.artifacts import download_artifacts

    place = Path(f"the model {model_id}")
    model = client.get_logged_model(model_id)
    with tempfile.TemporaryDirectory() as scratch, told_of(place):
        copy = download_artifacts(
            artifact_uri=model.artifact_location, dst_path=scratch, tracking_uri=store.uri
        )
        check_seal(place, _hash_of_all(Path(copy)), model.tags.get(MODEL_TAG, ""))


def model_name(text: str) -> str:
    """What the model of a run of this name is called: `runs:/<run id>/<name>`."""
    return re.sub(r"[/:.%\"']", "_", text)


def _link_metrics(client: MlflowClient, run_id: str, model_id: str, facts: Facts) -> None:
    """Shows the last values of the run's metrics with the model too, and of which part of the data
    they are. The points are those that the run has, so that it has them once.
    """
    from mlflow.entities import Metric

    parts = {"train_": "train", "val_": "validation", "test_": "test"}
    origin, digest = Path(facts.data["origin"]).name, facts.data["sha256"][:36]
    metrics = []
    for name in client.get_run(run_id).data.metrics:
        if "/" in name or name.endswith("_step"):
            continue
        points = client.get_metric_history(run_id, name)
        last = max(points, key=lambda point: (point.step, point.timestamp, point.value))
        part = next((part for begin, part in parts.items() if name.startswith(begin)), None)
        of = (f"{origin}/{part}", digest) if part else (None, None)
        metrics.append(
            Metric(name, last.value, last.timestamp, last.step, model_id, *of, run_id)
        )  # fmt: skip
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
                f"'{text}' is no name for a model: expected NAME or NAME@alias, as flats@champion",
                code="TR-U003",
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


def _save(about: Bundle, bundle: Path, place: Path, logged: Any, run_id: str, facts: Facts) -> None:
    """Writes the files of MLflow's model into the new folder `place`."""
    import pandas as pd

    from trainer.export.bundle import bundle_code

    with _quiet():
        from mlflow import pyfunc
        from mlflow.models import Model as Description

    hashes = {"spec_sha256": facts.spec_sha256, "data_sha256": facts.data["sha256"]}
    description = Description(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        metadata=hashes,
    )
    with _quiet(), tempfile.TemporaryDirectory() as named:
        code = Path(named) / f"{FOLDER}.py"  # MLflow keeps the name
        code.write_text(bundle_code(bundle.parent, facts, SERVED), encoding="utf-8")
        pyfunc.save_model(
            path=str(place),
            mlflow_model=description,
            python_model=str(code),
            artifacts={"weights": str(bundle / WEIGHTS)},
            signature=signature_of(about),
            input_example=pd.DataFrame(about.example),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES],
        )


@contextmanager
def _modules_named() -> Iterator[None]:
    """Tells MLflow which modules the packages that a model needs have, for which it would look
    through every package that is installed, for a third of a second.
    """
    from mlflow.utils import requirements_utils as known

    name = "_MODULES_TO_PACKAGES"
    unknown = getattr(known, name, 0) is None
    if unknown:
        setattr(known, name, {package: [package] for package in PACKAGES})
    try:
        yield
    finally:
        if unknown:
            setattr(known, name, None)


def signature_of(about: Bundle) -> ModelSignature:
    """The columns that go in and come out.

    Categories that are no numbers are texts. MLflow refuses whole numbers for a column of real
    ones, which tables mix; so the type of other inputs is left open, and the model's code tells
    what is no number.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.string if name in about.texts else AnyType(), name)
                for name in about.inputs
            ]
        ),
        outputs=Schema([ColSpec(DataType[kind], name) for name, kind in about.outputs.items()]),
    )


def _try(about: Bundle, place: Path) -> None:
    """Loads the model and predicts the example. Raises `TrackingError` where that differs."""
    import pandas as pd
    from mlflow import pyfunc

    with _quiet():
        loaded = pyfunc.load_model(str(place))
        found: Mapping[str, Any] = loaded.predict(pd.DataFrame(about.example))
    for name, expected in about.predicted.items():
        again, values = found[name].to_numpy(), np.asarray(expected)
        close = values.dtype.kind == "f" and np.allclose(again, values, rtol=1e-5)
        if not close and not np.array_equal(again, values):
            raise TrackingError(
                f"the model that was written predicts another '{name}'", code="TR-R014"
            )


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
