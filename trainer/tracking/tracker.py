"""The listener that records a run in MLflow.

It buffers: points go through a queue to a thread that sends them in batches, so that training
does not wait for the store. The trace of all steps goes into one Parquet file; the store gets
every epoch, and of each series by step as many points as a chart can show.
"""

from __future__ import annotations

import getpass
import json
import logging
import math
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.errors import TrackingError
from trainer.spec.emit import to_yaml
from trainer.tracking.environment import describe_environment, git_tags, package_version
from trainer.tracking.store import Store, probe
from trainer.training import Ended, EpochDone, Event, Job, Status, StepsDone

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHART_POINTS: Final = 320  # what MLflow's charts draw of a series
MAX_METRICS: Final = 1000  # a call of log_batch takes no more metrics, ...
MAX_PARAMS: Final = 100  # ... parameters, ...
MAX_VALUE: Final = 500  # and longer values of parameters are shortened
FLUSH_SECONDS: Final = 1.0
TRACE_ROWS: Final = 65536
ATTEMPTS: Final = 4
STATUS: Final[Mapping[Status, str]] = {
    "FINISHED": "FINISHED",
    "KILLED": "KILLED",
    "DIVERGED": "FAILED",  # MLflow has no word for it; the tag trainer.diverged says it
    "FAILED": "FAILED",
}


def import_mlflow() -> None:
    """Imports MLflow with its telemetry, emoji and long retries off, unless the user set them.

    Importing takes seconds, so a run starts this in a thread while it reads its data.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.WARNING)
    import mlflow.entities
    import mlflow.tracking  # noqa: F401 (the point is the import)


class MlflowTracker:
    """Records one run. Use: `start`, then `on` for each event, then `close`.

    `start` raises `TrackingError` when the store cannot be used. Later failures do not stop
    the training: points are kept and tried again, and `close` raises when some never arrived.
    """

    def __init__(self, store: Store, job: Job, run_name: str) -> None:
        self._store = store
        self._job = job
        self._run_name = run_name
        self._client: MlflowClient
        self.run_id = ""
        self.experiment = ""
        self._queue: queue.Queue[list[Any] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._send_all, name="tracker", daemon=True)
        self._unsent: list[Any] = []
        self._failure: str | None = None
        total = job.steps_per_epoch * job.spec.sgd.epochs
        self._chart_steps = _thinned(total)
        self._chart_epochs = _thinned(job.spec.sgd.epochs)
        self._trace = _Trace([node.name for node in job.graph.parameters])
        self._epoch_began = time.monotonic()
        self._last: dict[str, float] = {}

    # Start ---------------------------------------------------------------------------------

    def start(self, summary: str, notes: Sequence[str]) -> None:
        """Creates or joins the run and records what is known before the first step.

        `summary` is the text of `model_summary.txt`; `notes` go into the description.
        """
        probe(self._store)
        import_mlflow()
        from mlflow import MlflowClient

        try:
            self._files = Path(tempfile.mkdtemp(prefix=".recording-", dir=self._store.folder))
            self._client = MlflowClient(tracking_uri=self._store.uri)
            self._open_run()
            self._record_start(summary, notes)
        except Exception as error:  # whatever MLflow, SQLAlchemy or requests raise
            raise self._refused(error) from error
        self._thread.start()

    def _refused(self, error: Exception) -> TrackingError:
        if isinstance(error, TrackingError):
            return error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return TrackingError(f"the tracking store {self._store.uri} refused: {lines[0][:300]}")

    def _open_run(self) -> None:
        joined = os.environ.get("MLFLOW_RUN_ID")
        if joined:
            run = self._client.get_run(joined)
            self._client.update_run(joined, status="RUNNING", name=self._run_name)
            experiment = self._client.get_experiment(run.info.experiment_id)
        else:
            experiment = self._experiment()
            run = self._client.create_run(experiment.experiment_id, run_name=self._run_name)
        self.run_id = run.info.run_id
        self.experiment = experiment.name

    def _experiment(self) -> Any:
        """The experiment of the environment, else of the spec; made where it is missing."""
        number = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if number:
            return self._client.get_experiment(number)
        spec = self._job.spec
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or spec.tracking.experiment or spec.name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            tags = {
                "mlflow.experiment.primaryMetric.name": "val_loss",
                "mlflow.experiment.primaryMetric.greaterIsBetter": "False",
            }
            number = self._client.create_experiment(name, self._store.artifacts, tags=tags)
            return self._client.get_experiment(number)
        if found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the experiment '{name}' is deleted in {self._store.uri}\n"
                "  hint: restore it in the MLflow UI, or name another one in tracking.experiment"
            )
        return found

    def _record_start(self, summary: str, notes: Sequence[str]) -> None:
        from mlflow.entities import Param, RunTag

        spec, dataset = self._job.spec, self._job.dataset
        engine = self._job.engine.name
        folder = Path(spec.file).resolve().parent if spec.file else Path.cwd()
        git = git_tags(folder)
        tags = {
            "mlflow.source.name": spec.file or "python",
            "mlflow.source.type": "LOCAL",
            "mlflow.user": _user(),
            "mlflow.note.content": _description(self._job, notes),
            "trainer.spec_sha256": spec.sha256,
            "trainer.data_sha256": dataset.sha256,
            "trainer.engine": engine,
            "trainer.version": package_version(),
            **git,
        }
        params = [Param(key, value) for key, value in flatten(spec.resolved()).items()]
        self._client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])
        for i in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(self.run_id, params=params[i : i + MAX_PARAMS])
        self._record_inputs()

        environment = describe_environment(engine) | {"git": dict(git)}
        self._write("config/resolved.yaml", to_yaml(spec.resolved()))
        if spec.text is not None:
            self._write("config/spec.yaml", spec.text)
        self._write("environment.json", json.dumps(environment, indent=2) + "\n")
        self._write("model_summary.txt", summary)
        self._save("initial.safetensors", self._job.initial)
        self._upload()

    def _record_inputs(self) -> None:
        """The parts of the data, with their digests, as MLflow's dataset inputs."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = self._job.dataset
        parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        inputs = []
        for context, part in parts.items():
            if part is not None:
                profile = {"rows": len(part), "features": len(dataset.features)}
                entity = Dataset(
                    name=Path(dataset.origin).name,
                    digest=dataset.sha256[:36],
                    source_type="local",
                    source=json.dumps({"uri": dataset.origin}),
                    profile=json.dumps(profile),
                )
                inputs.append(DatasetInput(entity, [InputTag("mlflow.data.context", context)]))
        self._client.log_inputs(self.run_id, inputs)

    # Events --------------------------------------------------------------------------------

    def on(self, event: Event) -> None:
        """Takes one event; never waits for the store."""
        if isinstance(event, StepsDone):
            self._on_steps(event)
        elif isinstance(event, EpochDone):
            self._on_epoch(event)
        else:
            self._summary(event)

    def _on_steps(self, event: StepsDone) -> None:
        self._trace.add(event)
        if self._trace.full:
            self._trace.write(self._files / "trace.parquet")
        points: list[tuple[str, float, int]] = []
        steps = event.steps
        for i in range(len(steps.losses)):
            step = event.first + i
            if self._chart_steps is None or step in self._chart_steps:
                points.append(("train_loss_step", float(steps.losses[i]), step))
                points.append(("grad_norm_step", float(steps.grad_norms[i]), step))
        self._put(points)

    def _on_epoch(self, event: EpochDone) -> None:
        points = [(name, value, event.epoch) for name, value in event.metrics.items()]
        self._last |= event.metrics
        now = time.monotonic()
        if event.epoch and (self._chart_epochs is None or event.epoch in self._chart_epochs):
            points += [(f"grad_norm/{n}", v, event.epoch) for n, v in event.parameter_norms.items()]
            speed = len(self._job.dataset.train) / max(now - self._epoch_began, 1e-9)
            points.append(("perf/examples_per_second", speed, event.epoch))
        self._epoch_began = now
        self._put(points)

    def _summary(self, event: Ended) -> None:
        self._put([(name, value, 0) for name, value in event.summary.items()])
        self._last |= event.summary

    def _put(self, points: Sequence[tuple[str, float, int]]) -> None:
        now = int(time.time() * 1000)
        finite = [(name, value, now, step) for name, value, step in points if math.isfinite(value)]
        if finite:
            self._queue.put(list(finite))

    # The thread ----------------------------------------------------------------------------

    def _send_all(self) -> None:
        """Takes points off the queue and sends them, some at a time, until None arrives."""
        from mlflow.entities import Metric

        ending, deadline = False, time.monotonic() + FLUSH_SECONDS
        while not ending:
            try:
                taken = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
                ending = taken is None
                self._unsent += [Metric(*point) for point in taken or ()]
            except queue.Empty:
                pass
            if ending or len(self._unsent) >= MAX_METRICS or time.monotonic() >= deadline:
                self._send(ATTEMPTS if ending else 1)
                deadline = time.monotonic() + FLUSH_SECONDS

    def _send(self, attempts: int) -> None:
        while self._unsent:
            batch = self._unsent[:MAX_METRICS]
            try:
                self._client.log_batch(self.run_id, metrics=batch)
            except Exception as error:  # the store may be back at the next attempt
                self._failure = str(self._refused(error))
                attempts -= 1
                if attempts <= 0:
                    return
                time.sleep(0.5)
            else:
                del self._unsent[: len(batch)]

    # End -----------------------------------------------------------------------------------

    def close(self, status: Status, parameters_sha256: str | None, reason: str = "") -> None:
        """Sends what is left, stores the artifacts and records how the run ended.

        Raises `TrackingError` when the store did not take everything; the files of the run are
        then kept in a local folder, which the message names.
        """
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._trace.write(self._files / "trace.parquet")
        self._trace.close()
        self._save("parameters.safetensors", self._job.parameters)
        try:
            if self._unsent:
                raise TrackingError(self._failure or "points are missing")
            if parameters_sha256 is not None:
                self._client.set_tag(self.run_id, "trainer.parameters_sha256", parameters_sha256)
            if status == "DIVERGED":
                self._client.set_tag(self.run_id, "trainer.diverged", reason[:5000] or "true")
            self._upload()
            self._client.set_terminated(self.run_id, STATUS[status])
        except Exception as error:  # as in `start`
            raise self._rescue(self._refused(error)) from error
        shutil.rmtree(self._files, ignore_errors=True)

    def _rescue(self, error: TrackingError) -> TrackingError:
        """Moves the files that could not be stored to runs/unsent/, and says so."""
        missing = [(m.key, m.value, m.timestamp, m.step) for m in self._unsent]
        self._write("metrics.json", json.dumps(missing))
        self._save("parameters.safetensors", self._job.parameters)
        target = Path("runs") / "unsent" / (self.run_id or "run")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._files.rename(target)
        except OSError:
            target = self._files
        return TrackingError(f"{error}\n  the run is trained; its files are kept in {target}")

    # Files ---------------------------------------------------------------------------------

    def _write(self, name: str, text: str) -> None:
        path = self._files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _save(self, name: str, parameters: Mapping[str, Any]) -> None:
        from safetensors.numpy import save_file

        save_file(dict(parameters), self._files / name)

    def _upload(self) -> None:
        """Stores all files written so far, and forgets them."""
        self._client.log_artifacts(self.run_id, str(self._files))
        for path in sorted(self._files.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


class _Trace:
    """The Parquet file with one row a step: step, epoch, loss, grad_norm and the norm of each
    parameter's gradient. Rows are held back and written some thousand at a time.
    """

    def __init__(self, parameters: Sequence[str]) -> None:
        self._parameters = list(parameters)
        self._events: list[StepsDone] = []
        self._rows = 0
        self._writer: Any = None

    @property
    def full(self) -> bool:
        """Whether enough rows wait to be written."""
        return self._rows >= TRACE_ROWS

    def add(self, event: StepsDone) -> None:
        """Takes the steps of one event."""
        self._events.append(event)
        self._rows += len(event.steps.losses)

    def write(self, path: Path) -> None:
        """Writes the rows that wait; the first call makes the file, also without rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        counts = [len(e.steps.losses) for e in self._events]
        firsts = [e.first + np.arange(n) for e, n in zip(self._events, counts, strict=True)]
        columns = {
            "step": np.concatenate([*firsts, np.zeros(0)]).astype(np.int64),
            "epoch": np.repeat([e.epoch for e in self._events], counts).astype(np.int64),
            "loss": np.concatenate([*(e.steps.losses for e in self._events), np.zeros(0)]),
            "grad_norm": np.concatenate([*(e.steps.grad_norms for e in self._events), np.zeros(0)]),
        }
        none = np.zeros((0, len(self._parameters)))
        norms = np.concatenate([*(e.steps.parameter_norms for e in self._events), none])
        for i, name in enumerate(self._parameters):
            columns[f"grad_norm/{name}"] = norms[:, i]
        table = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(path, table.schema)
        if table.num_rows:
            self._writer.write_table(table)
        self._events, self._rows = [], 0

    def close(self) -> None:
        """Completes the file."""
        if self._writer is not None:
            self._writer.close()


def flatten(value: Any, path: str = "") -> dict[str, str]:
    """Nested values as MLflow parameters, one a leaf: `model/layers/0/units`.

    A list of plain values is one leaf, and so are inline rows; long values are shortened.
    """
    if isinstance(value, dict):
        items = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        items = [(str(i), child) for i, child in enumerate(value)]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > MAX_VALUE:
            text = f"{text[: MAX_VALUE - 30]}… ({len(text)} characters)"
        return {path: text}
    flat: dict[str, str] = {}
    for key, child in items:
        flat |= flatten(child, f"{path}/{key}" if path else key)
    return flat


def _thinned(count: int) -> set[int] | None:
    """The numbers out of 1 … count, the first and last among them, that a chart shows.

    None where all of them fit.
    """
    if count <= CHART_POINTS:
        return None
    return {1 + (count - 1) * i // (CHART_POINTS - 1) for i in range(CHART_POINTS)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user number
        return "unknown"


def _description(job: Job, notes: Sequence[str]) -> str:
    """The run's description in the UI, in Markdown."""
    spec, data = job.spec, job.dataset
    sizes = [len(data.features), *(layer.units for layer in spec.model.layers)]
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    rows = ", ".join(f"{len(part)} {name}" for name, part in parts.items() if part is not None)
    command = f"train {spec.file}" if spec.file else "trainer.train(spec)"
    sgd = f"learning rate {spec.sgd.learning_rate:g}, momentum {spec.sgd.momentum:g}"
    lines = [
        f"**{spec.name}**: a network of {' → '.join(map(str, sizes))} with {spec.model.loss} loss",
        "",
        f"- Data: {data.origin}, target `{data.target}`, rows: {rows}",
        f"- SGD: {sgd}, batches of {job.batch_size}, {spec.sgd.epochs} epochs",
        f"- Reproduce: `{command}` (spec `{spec.sha256[:12]}`, data `{data.sha256[:12]}`)",
        *(f"- Note: {note}" for note in notes),
    ]
    return "\n".join(lines)
