"""What a recorded run needs to predict, read back; and models that are given a name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainer.data import Preprocessing
from trainer.errors import TrackingError, UsageError
from trainer.network.model import Model
from trainer.report.recorded import RecordedRun
from trainer.spec import read_spec
from trainer.tracking.experiments import KIND_TAG
from trainer.tracking.model import RegisteredName, register
from trainer.tracking.runs import Runs
from trainer.tracking.store import Store

NEEDED = ("config/resolved.yaml", "preprocessing.json", "parameters.safetensors")


@dataclass(frozen=True)
class TrainedRun:
    """A recorded run and its model, with the parameters after its last step."""

    run: RecordedRun
    model: Model


def load_run(store: Store, reference: str, warn: Callable[[str], None] | None = None) -> TrainedRun:
    """The run that `reference` stands for (see `find_run`), with its model.

    Raises `UsageError` where there is no such run or it has no parameters yet, and
    `TrackingError` and `CheckpointError`.
    """
    from safetensors.numpy import load

    runs = Runs(store, warn)
    run = runs.find(reference)
    files = runs.files(run.run_id, NEEDED)
    short = run.run_id[:8]
    if "parameters.safetensors" not in files and KIND_TAG in run.tags:
        raise UsageError(f"the run {short} ({run.tags[KIND_TAG]}) trained no model")
    if "parameters.safetensors" not in files:
        raise UsageError(
            f"the run {short} ({run.status}) has no parameters: it did not come to its end"
        )
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise TrackingError(f"the run {short} has no {' and no '.join(missing)}")
    file = run.tags.get("mlflow.source.name", "spec")
    spec = read_spec(files["config/resolved.yaml"].decode(), file)
    how = Preprocessing.from_json(json.loads(files["preprocessing.json"]))
    parameters = load(files["parameters.safetensors"])
    return TrainedRun(run, Model.from_parts(spec, parameters, how))


def log_metrics(store: Store, run_id: str, metrics: Mapping[str, float]) -> None:
    """Adds these values to the run, without a step. Raises `TrackingError`."""
    client = Runs(store).client
    try:
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
    except Exception as error:  # whatever MLflow, SQLAlchemy or requests raise
        raise TrackingError(f"the metrics could not be recorded in {store.uri}: {error}") from error


@dataclass(frozen=True)
class KeptModel:
    """The MLflow model of a run."""

    run: RecordedRun
    model_id: str

    @property
    def uri(self) -> str:
        """What MLflow's own tools take."""
        return f"models:/{self.model_id}"


def kept_model(runs: Runs, reference: str) -> KeptModel:
    """The last model of the run that `reference` stands for.

    Raises `UsageError` where there is no such run or it kept no model, and `TrackingError`.
    """
    run = runs.find(reference)
    outputs = runs.client.get_run(run.run_id).outputs
    models = outputs.model_outputs if outputs else []
    if not models:
        raise UsageError(
            f"the run {run.run_id[:8]} ({run.status}) kept no model: only a finished one does"
        )
    return KeptModel(run, models[-1].model_id)


def promote_run(
    store: Store, reference: str, wanted: RegisteredName, warn: Callable[[str], None]
) -> tuple[RecordedRun, str]:
    """Registers the model of a run; returns the run and the version.

    Raises `UsageError` where there is no such run or it kept no model, and `TrackingError`.
    """
    runs = Runs(store, warn)
    kept = kept_model(runs, reference)
    try:
        version = register(runs.client, wanted, kept.model_id, kept.run.run_id)
        return kept.run, version
    except Exception as error:  # whatever MLflow, SQLAlchemy or requests raise
        why = str(error).strip().splitlines()[0]
        message = f"'{wanted.name}' could not be registered in {store.uri}: {why}"
        raise TrackingError(message) from error
