"""Reading back what MLflow holds of a run, and adding to a run that is there."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trainer.errors import UsageError
from trainer.report.recorded import RecordedRun, doubts
from trainer.tracking.client import answers_of, connect
from trainer.tracking.model import RegisteredName, check_model, register
from trainer.tracking.names import written
from trainer.tracking.runs import Runs
from trainer.tracking.store import Store

FILES: Final = (
    "config/resolved.yaml", "environment.json", "parameters.safetensors", "trace.parquet",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What the store holds of a run: its ids (see `RecordedRun`), its status and tags, every point
    of every metric as (step, value) in the order in which they came, and the files of `FILES` that
    are there.
    """

    id: str
    run_id: str
    status: str
    tags: Mapping[str, str]
    points: Mapping[str, list[tuple[int, float]]]
    files: Mapping[str, bytes]


def read_record(store: Store, reference: str) -> Record:
    """The run that `reference` stands for, as `Runs.find` says.

    Raises `UsageError` where there is no such run, or more than one, and `TrackingError`.
    """
    runs = Runs(store)
    run = runs.find(reference)
    points = {name: runs.points(run.run_id, name) for name in run.metrics}
    files = runs.files(run, FILES)
    return Record(run.id, run.run_id, run.status, run.tags, points, files)


def record_proof(store: Store, run_id: str, verdict: str, proof: Mapping[str, Any]) -> None:
    """Keeps what `reproduce` found: the tag `trainer.reproduced` and a file of `reproduce/`.

    Raises `TrackingError`.
    """
    client = connect(store)
    name = datetime.now().strftime("%Y-%m-%dT%H-%M-%S.%f")
    with answers_of(store):
        client.set_tag(run_id, "trainer.reproduced", verdict)
        client.log_text(run_id, json.dumps(proof, indent=2) + "\n", f"reproduce/{name}.json")


def record_metrics(store: Store, run_id: str, metrics: Mapping[str, float]) -> None:
    """Adds these values to the run, without a step. Raises `TrackingError`."""
    client = connect(store)
    with answers_of(store):
        had = client.get_run(run_id).data.metrics
        for name, value in metrics.items():
            key = written(name)
            before = client.get_metric_history(run_id, key) if key in had else []
            # later than all that are there, though the clock may have been set back
            moments = [int(time.time() * 1000), *(point.timestamp + 1 for point in before)]
            client.log_metric(run_id, key, value, timestamp=max(moments), synchronous=True)


def record_files(store: Store, run_id: str, files: Mapping[str, bytes]) -> None:
    """Adds these artifacts to the run, by their paths; those that are there are replaced.

    Raises `TrackingError`.
    """
    client = connect(store)
    with answers_of(store), tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_bytes(content)
        client.log_artifacts(run_id, folder)


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
    """The last model of the run that `reference` stands for, whose files are as it recorded them.

    Raises `CheckpointError` where they are not, `UsageError` where there is no such run or it kept
    no model, and `TrackingError`.
    """
    run = runs.find(reference)
    if (doubt := doubts(run.id[:8], run.status, run.tags)) is not None:
        runs.warn(doubt)
    with answers_of(runs.store):
        outputs = runs.client.get_run(run.run_id).outputs
    models = outputs.model_outputs if outputs else []
    if not models:
        raise UsageError(
            f"the run {run.id[:8]} ({run.status}) kept no model: only a finished one does",
            code="TR-R009",
        )
    with answers_of(runs.store):
        check_model(runs.client, models[-1].model_id, runs.store)
    return KeptModel(run, models[-1].model_id)


def promote_run(runs: Runs, reference: str, wanted: RegisteredName) -> tuple[RecordedRun, str]:
    """Registers the model of a run; returns the run and the version.

    Raises `UsageError` where there is no such run or it kept no model, and `TrackingError`.
    """
    kept = kept_model(runs, reference)
    with answers_of(runs.store):
        return kept.run, register(runs.client, wanted, kept.model_id, kept.run.run_id)
