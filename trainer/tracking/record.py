"""Reading back what MLflow holds of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trainer.errors import TrackingError
from trainer.tracking.client import connect
from trainer.tracking.runs import Runs
from trainer.tracking.store import Store

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
    """The run that `reference` stands for, as `find_run` says.

    Raises `UsageError` where there is no such run, or more than one, and `TrackingError`.
    """
    runs = Runs(store)
    run = runs.find(reference)
    points = {name: runs.points(run.run_id, name) for name in run.metrics}
    return Record(run.run_id, run.status, run.tags, points, runs.files(run.run_id, FILES))


def record_proof(store: Store, run_id: str, verdict: str, proof: Mapping[str, Any]) -> None:
    """Keeps what `reproduce` found: the tag `trainer.reproduced` and a file of `reproduce/`."""
    client = connect(store)
    name = datetime.now().strftime("%Y-%m-%dT%H-%M-%S.%f")
    try:
        client.set_tag(run_id, "trainer.reproduced", verdict)
        client.log_text(run_id, json.dumps(proof, indent=2) + "\n", f"reproduce/{name}.json")
    except Exception as error:  # whatever MLflow, SQLAlchemy or requests raise
        raise TrackingError(f"the proof could not be recorded in {store.uri}: {error}") from error
