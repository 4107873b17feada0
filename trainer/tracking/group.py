"""A run of MLflow that holds others, such as the folds of a cross-validation."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainer.errors import UsageError
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.tracking.client import answers_of, import_mlflow, no_collection
from trainer.tracking.describe import flatten
from trainer.tracking.experiments import (
    KIND_TAG,
    MAX_PARAMS,
    find_experiment,
    open_client,
    origin_tags,
    scratch_folder,
)
from trainer.tracking.store import Store, check_store
from trainer.tracking.tracker import STATUS
from trainer.training.result import Status

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT: Final = "mlflow.parentRunId"
DESCRIPTION: Final = "mlflow.note.content"


class RunGroup:
    """A run that trains nothing itself and holds runs. Use: `open`, train the runs with
    `child_tags`, put files into `files`, then `close`.

    MLflow's UI shows the runs below it. It has the parameters of the spec, and a status of its
    own: RUNNING until it is closed.
    """

    def __init__(self, store: Store, spec: Spec, name: str, kind: str) -> None:
        """`name` is the run's name; `kind` goes into the tag `trainer.kind`."""
        self._store = store
        self._spec = spec
        self._name = name
        self._kind = kind
        self._client: MlflowClient
        self.run_id = ""
        self.experiment = ""
        self._scratch: Path | None = None

    @property
    def files(self) -> Path:
        """A folder whose files become artifacts of the run when it is closed."""
        assert self._scratch is not None, "the run is not open"
        return self._scratch

    @property
    def child_tags(self) -> dict[str, str]:
        """The tags of a run that belongs to the group."""
        return {PARENT: self.run_id}

    def open(self, tags: Mapping[str, str], description: str) -> None:
        """Makes the run; `description` is Markdown. Raises `TrackingError` when the store cannot
        be used, and `UsageError` where the runs would join one of the environment.
        """
        if os.environ.get("MLFLOW_RUN_ID"):
            raise UsageError(
                "MLFLOW_RUN_ID names one run to join, and these are several\n"
                "  hint: unset it, and give MLFLOW_EXPERIMENT_NAME where they are to stand together"
            )
        check_store(self._store)
        import_mlflow()
        self._scratch = scratch_folder(self._store.folder)
        try:
            with answers_of(self._store):
                self._client = open_client(self._store, self.files)
                self._make_run({DESCRIPTION: description} | dict(tags))
        except BaseException as error:
            self.abandon("FAILED" if isinstance(error, Exception) else "KILLED")
            raise

    def _make_run(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        experiment = find_experiment(self._client, self._store, self._spec)
        own = origin_tags(self._spec) | {KIND_TAG: self._kind} | dict(tags)
        run = self._client.create_run(experiment.experiment_id, tags=own, run_name=self._name)
        self.run_id, self.experiment = run.info.run_id, experiment.name
        params = [Param(key, value) for key, value in flatten(self._spec.resolved()).items()]
        for i in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(self.run_id, params=params[i : i + MAX_PARAMS], synchronous=True)
        self._write_config()

    def close(
        self,
        status: Status,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        description: str | None = None,
    ) -> None:
        """Records what came out, stores the files and ends the run.

        Metrics that are not finite are left out, as MLflow would turn them into numbers. Raises
        `TrackingError` when the store does not take everything; the run is then FAILED, if the
        store says so much.
        """
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        points = [Metric(name, value, now, 0) for name, value in metrics.items()
                  if math.isfinite(value)]  # fmt: skip
        told = dict(tags) | ({DESCRIPTION: description} if description else {})
        try:
            check_store(self._store)
            named = [RunTag(key, value) for key, value in told.items()]
            with answers_of(self._store), no_collection():
                self._client.log_batch(self.run_id, metrics=points, tags=named, synchronous=True)
                self._client.log_artifacts(self.run_id, str(self.files))
                self._client.set_terminated(self.run_id, STATUS[status])
        except BaseException as error:
            self.abandon("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        finally:
            self._clear()

    def abandon(self, status: Status) -> None:
        """Ends the run with nothing but a status, if the store still answers."""
        with suppress(Exception):
            if self.run_id:
                check_store(self._store)
                self._client.set_terminated(self.run_id, STATUS[status])
        self._clear()

    def _clear(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _write_config(self) -> None:
        folder = self.files / "config"
        folder.mkdir()
        text = to_yaml(self._spec.resolved())
        (folder / "resolved.yaml").write_text(text, encoding="utf-8", newline="")
        if self._spec.text is not None:
            (folder / "spec.yaml").write_text(self._spec.text, encoding="utf-8", newline="")
