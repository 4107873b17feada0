"""The listener that records a run in MLflow.

Training does not wait for the store: points are sent in batches by a thread. The trace of all
steps goes into one Parquet file; the store gets the epochs, and of each series by step as many
points as a chart can show.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer.checkpoints.environment import describe_environment
from trainer.errors import TrackingError
from trainer.network.model import Model
from trainer.spec.emit import to_yaml
from trainer.tracking.client import import_mlflow, no_collection
from trainer.tracking.describe import dataset_inputs, describe_run, flatten
from trainer.tracking.experiments import (
    MAX_PARAMS,
    find_experiment,
    open_client,
    origin_tags,
    scratch_folder,
    twice,
)
from trainer.tracking.model import RegisteredName, link_metrics, log_model, register
from trainer.tracking.sender import Sender
from trainer.tracking.store import Store, check_store
from trainer.tracking.trace import Trace
from trainer.training import Ended, EpochDone, Event, Job, StepsDone
from trainer.training.history import thinned
from trainer.training.result import Status

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DATABASE_REASON: Final = re.compile(r"\(sqlite3\.\w+\) (.*)")

GIT: Final = "mlflow.source.git."  # the beginning of the names of its tags
STATUS: Final[Mapping[Status, str]] = {
    "FINISHED": "FINISHED",
    "KILLED": "KILLED",
    "DIVERGED": "FAILED",  # MLflow has no word for it; the tag trainer.diverged says it
    "FAILED": "FAILED",
}


@dataclass(frozen=True)
class Outcome:
    """What is known of a run only at its end: lines of Markdown for its description, tags, and
    the model, if it is one to keep, with the name under which to register it.
    """

    result: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    model: Model | None = None
    register: RegisteredName | None = None


class MlflowTracker:
    """Records one run. Use: `start`, then `on` for each event, then `close`.

    `resumed` is the id of a run to go on with: it is then told all events again, from the first,
    and sends what the store does not have yet. `tags` are recorded with it.

    `start` raises `TrackingError` when the store cannot be used. Later failures do not stop
    the training: points are kept and tried again, and `close` raises when some never arrived.
    """

    def __init__(
        self, store: Store, job: Job, run_name: str, resumed: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._job = job
        self._run_name = run_name
        self._resumed = resumed
        self._tags = dict(tags or {})
        self._client: MlflowClient
        self._sender: Sender
        self._files: Path
        self._trace: Trace
        self.run_id = ""
        self.experiment = ""
        epochs = job.spec.sgd.epochs
        self._chart_steps = thinned(epochs * job.steps_per_epoch)
        self._chart_epochs = frozenset(thinned(epochs))
        self._epoch_began = 0.0

    # Start ---------------------------------------------------------------------------------

    def start(self, summary: str, notes: Sequence[str]) -> None:
        """Creates or joins the run and records what is known before the first step.

        `summary` is the text of `model_summary.txt`; `notes` go into the description.
        """
        check_store(self._store)
        import_mlflow()
        self._notes = notes
        self._files = scratch_folder(self._store.folder)
        try:
            self._client = open_client(self._store, self._files)
            self._open_run()
            self._record_start(summary, notes)
        except BaseException as error:
            self._end("FAILED" if isinstance(error, Exception) else "KILLED")
            shutil.rmtree(self._files, ignore_errors=True)
            raise self._explained(error) from error
        self._trace = Trace(
            self._files / "trace.parquet", [node.name for node in self._job.graph.trainable]
        )
        self._sender = Sender(self._client, self.run_id, self._known)

    def _open_run(self) -> None:
        self._known: dict[tuple[str, int], float] = {}
        self._params: Mapping[str, str] = {}
        joined = self._resumed or os.environ.get("MLFLOW_RUN_ID")
        if joined:
            run = self._client.get_run(joined)
            if self._resumed:
                self._params = run.data.params
                for name in run.data.metrics:
                    points = self._client.get_metric_history(joined, name)
                    self._known.update({(name, point.step): point.value for point in points})
            invented = re.fullmatch(r"[a-z]+-[a-z]+-\d+", run.info.run_name or "")
            if self._resumed or invented or self._run_name != self._job.spec.name:
                self._client.update_run(joined, status="RUNNING", name=self._run_name)
            else:  # the name that `mlflow run --run-name` gave
                self._client.update_run(joined, status="RUNNING")
            experiment = self._client.get_experiment(run.info.experiment_id)
        else:
            experiment = find_experiment(self._client, self._store, self._job.spec)
            run = self._client.create_run(experiment.experiment_id, run_name=self._run_name)
        self.run_id = run.info.run_id
        self.experiment = experiment.name

    def _record_start(self, summary: str, notes: Sequence[str]) -> None:
        from mlflow.entities import Param, RunTag

        spec, engine = self._job.spec, self._job.engine.name
        origin = origin_tags(spec)
        git = {name: value for name, value in origin.items() if name.startswith(GIT)}
        tags = {
            **origin,
            "mlflow.note.content": describe_run(self._job, notes),
            "trainer.data_sha256": self._job.dataset.sha256,
            "trainer.engine": engine,
            **self._tags,
        }
        run_tags = [RunTag(key, value) for key, value in tags.items()]
        params = [
            Param(key, value)
            for key, value in flatten(spec.resolved()).items()
            if key not in self._params  # what a run said of itself stays
        ]
        self._client.log_batch(self.run_id, tags=run_tags, synchronous=True)
        for i in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(self.run_id, params=params[i : i + MAX_PARAMS], synchronous=True)
        inputs = dataset_inputs(self._job)
        twice(lambda: self._client.log_inputs(self.run_id, inputs))

        environment = describe_environment(engine) | {"git": git}
        self._write("config/resolved.yaml", to_yaml(spec.resolved()))
        if spec.text is not None:
            self._write("config/spec.yaml", spec.text)
        self._write("environment.json", json.dumps(environment, indent=2) + "\n")
        self._write("model_summary.txt", summary)
        how = self._job.dataset.preprocessing.as_json()
        self._write("preprocessing.json", json.dumps(how, ensure_ascii=False, indent=1) + "\n")
        self._save("initial.safetensors", self._job.initial)
        self._upload()

    # Events --------------------------------------------------------------------------------

    def on(self, event: Event) -> None:
        """Takes one event; never waits for the store."""
        if isinstance(event, StepsDone):
            self._on_steps(event)
        elif isinstance(event, EpochDone):
            self._on_epoch(event)
        else:
            self._on_end(event)

    def _on_steps(self, event: StepsDone) -> None:
        self._trace.add(event)
        first, losses, norms = event.first, event.steps.losses, event.steps.grad_norms
        shown = self._chart_steps
        shown = shown[bisect_left(shown, first) : bisect_left(shown, first + len(losses))]
        for step in shown:
            i = step - first
            values = {"train_loss_step": float(losses[i]), "grad_norm_step": float(norms[i])}
            self._put(values.items(), step)

    def _on_epoch(self, event: EpochDone) -> None:
        epoch = event.epoch
        self._put(event.metrics.items(), epoch, event.time)
        if epoch in self._chart_epochs:
            seconds = max(event.time - self._epoch_began, 1e-9)
            speed = len(self._job.dataset.train) / seconds
            self._put([("perf/examples_per_second", speed)], epoch, event.time)
            norms = ((f"grad_norm/{n}", v) for n, v in event.parameter_norms.items())
            self._put(norms, epoch, event.time)
        self._epoch_began = event.time

    def _on_end(self, event: Ended) -> None:
        if event.status != "KILLED":  # a run that goes on says it at its end, and once
            self._put(event.summary.items(), 0, again=True)

    def _put(
        self,
        values: Iterable[tuple[str, float]],
        step: int,
        when: float | None = None,
        again: bool = False,
    ) -> None:
        """Hands on values that are finite: MLflow would turn others into numbers."""
        moment = int((when or time.time()) * 1000)
        points = [(name, v, moment, step) for name, v in values if math.isfinite(v)]
        self._sender.put(points, again)

    # End -----------------------------------------------------------------------------------

    @property
    def files(self) -> Path:
        """A folder whose files become artifacts of the run when it is closed."""
        return self._files

    def close(
        self, status: Status, parameters_sha256: str | None, outcome: Outcome | None = None
    ) -> None:
        """Sends what is left, stores the artifacts and records how the run ended.

        Raises `TrackingError` within seconds when the store does not take everything.
        """
        outcome = outcome or Outcome()
        tags = {"trainer.parameters_sha256": parameters_sha256, **outcome.tags}
        if outcome.result:
            tags["mlflow.note.content"] = describe_run(self._job, self._notes, outcome.result)
        try:
            self._save("parameters.safetensors", self._job.parameters)
            self._trace.close()
            check_store(self._store)
            with no_collection():
                self._sender.finish()
            for key, value in tags.items():
                if value is not None:
                    self._client.set_tag(self.run_id, key, value, synchronous=True)
            self._upload()
            if outcome.model is not None:
                with no_collection():
                    self._keep_model(outcome.model, outcome.register)
            self._client.set_terminated(self.run_id, STATUS[status])
        except BaseException as error:
            self._end("FAILED" if isinstance(error, Exception) else "KILLED")
            what = "\n  the run is trained, and kept on this disk; send it later with: train sync"
            raise self._explained(error, what) from error
        finally:
            shutil.rmtree(self._files, ignore_errors=True)

    def _keep_model(self, model: Model, name: RegisteredName | None) -> None:
        """Keeps the model with the run, its metrics with the model, and registers it."""
        data, digest = self._job.dataset, self._job.dataset.sha256[:36]
        parts = {"train_": "train", "val_": "validation", "test_": "test"}
        inputs = {begin: (f"{Path(data.origin).name}/{part}", digest)
                  for begin, part in parts.items()}  # fmt: skip
        facts = {"spec_sha256": model.spec.sha256, "data_sha256": data.sha256}
        epoch = self._job.progress.epoch - 1
        model_id = log_model(
            self._client, self.run_id, self._run_name, model, data.sample, epoch, facts, self._files
        )
        link_metrics(self._client, self.run_id, model_id, inputs)
        if name is not None:
            register(self._client, name, model_id, self.run_id)

    def _end(self, status: str) -> None:
        """Records a status, if the store still answers."""
        with suppress(Exception):
            if self.run_id:
                check_store(self._store)
                self._client.set_terminated(self.run_id, status)

    def _explained(self, error: BaseException, what: str = "") -> BaseException:
        """The `TrackingError` for whatever MLflow, SQLAlchemy or requests raised."""
        if not isinstance(error, Exception):
            return error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = _DATABASE_REASON.search(str(error))  # SQLAlchemy wraps it in its own advice
        why = reason[1] if reason else lines[0][:300]
        text = f"the tracking store {self._store.uri} refused: {why}"
        if "error code 403" in text:
            text += "\n  hint: ask for the right to edit, or name your own tracking.experiment"
        return TrackingError((str(error) if isinstance(error, TrackingError) else text) + what)

    # Files ---------------------------------------------------------------------------------

    def _write(self, name: str, text: str) -> None:
        path = self._files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")

    def _save(self, name: str, parameters: Mapping[str, Any]) -> None:
        from safetensors.numpy import save_file

        save_file(dict(parameters), self._files / name)

    def _upload(self) -> None:
        """Stores all files written so far, and forgets them."""
        self._client.log_artifacts(self.run_id, str(self._files))
        for path in sorted(self._files.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
