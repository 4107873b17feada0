"""Reading back what MLflow holds of a run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import TrackingError, UsageError
from trainer.tracking.store import Store, check_store
from trainer.tracking.tracker import import_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FILES = ("config/resolved.yaml", "environment.json", "parameters.safetensors", "trace.parquet")


@dataclass(frozen=True)
class Record:
    """What the store holds of a run: its status and tags, every point of every metric as
    (step, value) in the order in which they came, and the files of `FILES` that are there.
    """

    run_id: str
    status: str
    tags: Mapping[str, str]
    points: Mapping[str, list[tuple[int, float]]]
    files: Mapping[str, bytes]


def read_record(store: Store, reference: str) -> Record:
    """The run with this name, id or beginning of an id; `last` is the latest.

    Raises `UsageError` where there is none, or several begin like this, and `TrackingError`.
    """
    client = _client(store)
    run = _find(client, reference, store)
    points = {}
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        points[name] = [(p.step, p.value) for p in sorted(history, key=lambda p: p.timestamp)]
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            with suppress(Exception):  # MLflow raises many things for a file that is not there
                files[name] = Path(
                    client.download_artifacts(run.info.run_id, name, folder)
                ).read_bytes()
    return Record(run.info.run_id, run.info.status, run.data.tags, points, files)


def record_proof(store: Store, run_id: str, verdict: str, proof: Mapping[str, Any]) -> None:
    """Keeps what `reproduce` found: the tag `trainer.reproduced` and a file of `reproduce/`."""
    client = _client(store)
    name = datetime.now().strftime("%Y-%m-%dT%H-%M-%S.%f")
    try:
        client.set_tag(run_id, "trainer.reproduced", verdict)
        client.log_text(run_id, json.dumps(proof, indent=2) + "\n", f"reproduce/{name}.json")
    except Exception as error:  # whatever MLflow, SQLAlchemy or requests raise
        raise TrackingError(f"the proof could not be recorded in {store.uri}: {error}") from error


def _client(store: Store) -> MlflowClient:
    check_store(store)
    if store.database is not None and not store.database.exists():
        raise UsageError(f"there is no tracking store at {store.database}")
    import_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store.uri)


def _find(client: MlflowClient, reference: str, store: Store) -> Run:
    experiments = [found.experiment_id for found in client.search_experiments()]
    order = ["attributes.start_time DESC"]
    if reference == "last":
        found = client.search_runs(experiments, order_by=order, max_results=1)
    else:
        named = f"attributes.run_name = '{_plain(reference)}'"
        found = client.search_runs(experiments, named, order_by=order, max_results=5)
    if not found:
        begins = f"attributes.run_id LIKE '{_plain(reference)}%'"
        found = client.search_runs(experiments, begins, order_by=order, max_results=5)
    if not found:
        raise UsageError(f"there is no run '{reference}' in {store.uri}")
    if len(found) > 1:
        names = ", ".join(run.info.run_id for run in found)
        raise UsageError(f"'{reference}' may be any of several runs: {names}, …")
    return found[0]


def _plain(text: str) -> str:
    """The text, if it can stand in a filter. Raises `UsageError`."""
    if any(character in text for character in "'\"%`\\"):
        raise UsageError(f"'{text}' is no id or name of a run")
    return text
