"""What every recording begins with: a client of the store, the experiment, and where it is from."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from trainer.checkpoints.environment import git_tags, package_version
from trainer.errors import TrackingError
from trainer.metrics import default_metric
from trainer.spec.schema import Spec
from trainer.tracking.client import no_collection
from trainer.tracking.store import Store
from trainer.tracking.view import VIEW_TAG, shared_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

T = TypeVar("T")

MAX_PARAMS: Final = 100  # a call of log_batch takes no more parameters
KIND_TAG: Final = "trainer.kind"
"""What a run is that trained no model, such as `lr-find`; trainings have no such tag."""
EXPERIMENT_TAGS: Final = {
    "mlflow.experiment.primaryMetric.name": "val_loss",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "False",
}


def open_client(store: Store, scratch: Path) -> MlflowClient:
    """A client of the store; a database that is not there yet is made.

    That takes seconds, so it is made in the folder `scratch`, on the same disk, and put in its
    place whole: runs that start at the same time, or are stopped meanwhile, never meet half a
    database. MLflow must be imported, by `import_mlflow`.
    """
    from mlflow import MlflowClient

    database = store.database
    with no_collection():
        if database is not None and not database.exists():
            fresh = scratch / database.name
            MlflowClient(tracking_uri=f"sqlite:///{fresh}")
            with suppress(FileExistsError):  # another run was quicker
                _put_in_place(fresh, database)
            fresh.unlink(missing_ok=True)
        return MlflowClient(tracking_uri=store.uri)


def find_experiment(client: MlflowClient, store: Store, spec: Spec) -> Experiment:
    """The experiment of the environment, else of the spec; made where it is missing.

    Not MLflow's own 'Default' in a database: its artifacts would go to ./mlruns. Raises
    `TrackingError` for that one and for one that is deleted.
    """
    return twice(lambda: _find_experiment(client, store, spec))


def _find_experiment(client: MlflowClient, store: Store, spec: Spec) -> Experiment:
    number = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if number:
        found = client.get_experiment(number)
    else:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or spec.tracking.experiment or spec.name
        found = client.get_experiment_by_name(name) or _create_experiment(client, store, name, spec)
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the experiment '{found.name}' is deleted in {store.uri}\n"
            "  hint: restore it in the MLflow UI, or name another one in tracking.experiment"
        )
    if found.experiment_id == "0" and store.database is not None:
        raise TrackingError(
            f"the experiment '{found.name}' is MLflow's own, whose files go elsewhere\n"
            "  hint: name another one in tracking.experiment"
        )
    return found


def _create_experiment(client: MlflowClient, store: Store, name: str, spec: Spec) -> Experiment:
    tags = {**EXPERIMENT_TAGS, VIEW_TAG: shared_view(default_metric(spec.model.loss))}
    client.create_experiment(name, store.artifacts, tags=tags)
    return client.get_experiment_by_name(name)


def origin_tags(spec: Spec) -> dict[str, str]:
    """Where a run comes from: its file, who started it, the spec's hash, the code's version."""
    return {
        "mlflow.source.name": spec.file or "python",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "trainer.spec_sha256": spec.sha256,
        "trainer.version": package_version(),
        **git_tags(spec.file),
    }


def twice(action: Callable[[], T]) -> T:
    """What the action returns, at the second attempt if need be: of runs that start at the same
    time, MLflow lets only one make what they share.
    """
    try:
        return action()
    except Exception:
        return action()


def scratch_folder(parent: Path | None) -> Path:
    """A new folder for files on their way to the store, beside it where that is a database.

    Raises `TrackingError` where it cannot be made.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=".recording-", dir=parent))
    except OSError as error:
        raise TrackingError(f"the folder '{parent}' cannot be written: {error.strerror}") from None


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


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user number
        return "unknown"
