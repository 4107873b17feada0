"""Opening a run in MLflow: the client, the experiment, the run, and what is known at its start."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from trainer.checkpoints.facts import Facts
from trainer.checkpoints.folder import FILES
from trainer.errors import TrackingError
from trainer.report.recorded import PAUSED_TAG
from trainer.tracking.client import client_of, no_collection
from trainer.tracking.names import flatten
from trainer.tracking.store import Store
from trainer.tracking.view import VIEW_TAG, shared_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Experiment, Run

T = TypeVar("T")

MAX_PARAMS: Final = 100  # a call of log_batch takes no more parameters
RUN_TAG: Final = "trainer.run"
"""The name of a run's folder."""
KIND_TAG: Final = "trainer.kind"
"""What a run is that trained no model, such as `lr-find`; trainings have no such tag."""
SPEC_FILE: Final = "trainer.spec_file"
"""Where the spec's file was, from the root: its data are beside it, whatever the current folder."""
FILES_TAG: Final = "trainer.files"
"""The SHA-256 of the files that are read back, as JSON by their names."""
DESCRIPTION: Final = "mlflow.note.content"
PARENT: Final = "mlflow.parentRunId"
EXPERIMENT_TAGS: Final = {
    "mlflow.experiment.primaryMetric.name": "val_loss",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "False",
}


def open_client(store: Store) -> MlflowClient:
    """A client of the store; a database that is not there yet is made.

    That takes seconds, so it is made under another name and put in its place whole: runs that
    start at the same time, or are stopped meanwhile, never meet half a database. MLflow must be
    imported, by `import_mlflow`.
    """
    from mlflow import MlflowClient

    database = store.database
    with no_collection():
        if database is not None and not database.exists():
            with tempfile.TemporaryDirectory(prefix=".making-", dir=database.parent) as folder:
                fresh = Path(folder) / database.name
                MlflowClient(tracking_uri=f"sqlite:///{fresh}")
                with suppress(FileExistsError):  # another run was quicker
                    _put_in_place(fresh, database)
        return client_of(store)


def _put_in_place(fresh: Path, place: Path) -> None:
    """Gives a file its final name in one go. Raises `FileExistsError` if that is taken."""
    try:
        os.link(fresh, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if place.exists():
            raise FileExistsError(place) from None
        fresh.rename(place)


def find_experiment(client: MlflowClient, store: Store, facts: Facts) -> Experiment:
    """The run's experiment, made where it is missing.

    Not MLflow's own 'Default' in a database: its artifacts would go to ./mlruns. Raises
    `TrackingError` for that one and for one that is deleted.
    """
    return twice(lambda: _find_experiment(client, store, facts))


def _find_experiment(client: MlflowClient, store: Store, facts: Facts) -> Experiment:
    number = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if number:
        found = client.get_experiment(number)
    else:
        name = facts.experiment
        found = client.get_experiment_by_name(name) or _create_experiment(client, store, facts)
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the experiment '{found.name}' is deleted in {store.shown}\n"
            "  hint: restore it in the MLflow UI, or name another one in tracking.experiment",
            code="TR-T007",
        )
    if found.experiment_id == "0" and store.database is not None:
        raise TrackingError(
            f"the experiment '{found.name}' is MLflow's own, whose files go elsewhere\n"
            "  hint: name another one in tracking.experiment",
            code="TR-T007",
        )
    return found


def _create_experiment(client: MlflowClient, store: Store, facts: Facts) -> Experiment:
    tags = {**EXPERIMENT_TAGS, VIEW_TAG: shared_view(facts.score)}
    client.create_experiment(facts.experiment, store.artifacts, tags=tags)
    return client.get_experiment_by_name(facts.experiment)


def make_run(client: MlflowClient, experiment: Experiment, facts: Facts) -> Run:
    """A new run; `RUN_TAG` tells whose it is from its first moment."""
    return client.create_run(
        experiment.experiment_id,
        start_time=int(facts.began * 1000),
        tags={RUN_TAG: facts.id},
        run_name=facts.name,
    )


def join_run(client: MlflowClient, run_id: str, facts: Facts) -> Run:
    """The run that `mlflow run` made, with our name, unless its own was given by the user. Raises
    `TrackingError` where it is that of another folder.
    """
    run = client.get_run(run_id)
    owner = run.data.tags.get(RUN_TAG, facts.id)
    if owner != facts.id:
        raise TrackingError(
            f"the MLflow run {run_id} is that of the run {owner}, and records no other\n"
            "  hint: unset MLFLOW_RUN_ID",
            code="TR-T008",
        )
    invented = re.fullmatch(r"[a-z]+-[a-z]+-\d+", run.info.run_name or "")
    name = facts.name if invented or facts.name != facts.spec["name"] else None
    client.update_run(run_id, status="RUNNING", name=name)
    if PAUSED_TAG in run.data.tags:
        client.delete_tag(run_id, PAUSED_TAG)
    return run


def record_start(client: MlflowClient, run: Run, facts: Facts, parent: str | None) -> None:
    """Records what was known before the first step. What the run said already stays."""
    from mlflow.entities import RunTag

    tags = start_tags(facts) | ({PARENT: parent} if parent else {})
    named = [RunTag(key, value) for key, value in tags.items()]
    client.log_batch(run.info.run_id, tags=named, synchronous=True)
    record_params(client, run, flatten(facts.spec))
    inputs = dataset_inputs(facts)
    if inputs:
        twice(lambda: client.log_inputs(run.info.run_id, inputs))


def record_params(client: MlflowClient, run: Run, values: Mapping[str, str]) -> None:
    """Records parameters, but for those that the run has: MLflow lets none be changed."""
    from mlflow.entities import Param

    params = [Param(key, value) for key, value in values.items() if key not in run.data.params]
    for i in range(0, len(params), MAX_PARAMS):
        client.log_batch(run.info.run_id, params=params[i : i + MAX_PARAMS], synchronous=True)


def start_tags(facts: Facts) -> dict[str, str]:
    """Where a run comes from, and what the UI shows of it while it trains."""
    tags = {
        RUN_TAG: facts.id,
        DESCRIPTION: "\n".join(facts.description),
        "mlflow.source.name": facts.origin["source"] or "python",
        "mlflow.source.type": "LOCAL",
        **({SPEC_FILE: facts.spec_file} if facts.spec_file else {}),
        "mlflow.user": facts.origin["user"],
        "trainer.version": facts.origin["version"],
        "trainer.spec_sha256": facts.spec_sha256,
        "trainer.engine": facts.engine,
        FILES_TAG: files_tag(facts.files),
        **{f"mlflow.source.git.{key}": value for key, value in facts.origin["git"].items()},
        **facts.tags,
    }
    if facts.data:
        tags["trainer.data_sha256"] = facts.data["sha256"]
    if facts.kind != "train":
        tags[KIND_TAG] = facts.kind
    return tags


def files_tag(hashes: Mapping[str, str]) -> str:
    """The tag for files with these hashes, by their names in the folder of the run."""
    kept = {
        name.removeprefix(f"{FILES}/"): sha256
        for name, sha256 in hashes.items()
        if name.startswith(f"{FILES}/")
    }
    return json.dumps(kept, sort_keys=True)


def dataset_inputs(facts: Facts) -> list[DatasetInput]:
    """The parts of the data, with the digest of the whole, as MLflow's dataset inputs.

    Each part has a name of its own, since MLflow takes a data set once a run.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data: Mapping[str, object] = facts.data
    rows = facts.data.get("rows", {})
    return [
        DatasetInput(
            Dataset(
                name=f"{Path(str(data['origin'])).name}/{context}",
                digest=str(data["sha256"])[:36],
                source_type="local",
                source=json.dumps({"uri": data["origin"]}),
                profile=json.dumps({"rows": count, "features": data["features"]}),
            ),
            [InputTag("mlflow.data.context", context)],
        )
        for context, count in rows.items()
    ]


def twice(action: Callable[[], T]) -> T:
    """What the action returns, at the second attempt if need be: of runs that start at the same
    time, MLflow lets only one make what they share.
    """
    try:
        return action()
    except Exception:
        return action()
