"""One run from a spec: data, graph, training, tracking. What the command `train` calls."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final
from uuid import uuid4

from threadpoolctl import threadpool_info, threadpool_limits

from trainer.checkpoints.environment import numeric_environment
from trainer.checkpoints.keeper import FINISHED, UNSENT, Every, Keeper, RunFolder, check_room
from trainer.cli.signals import Interrupt, signals_caught
from trainer.data import Reading, load_dataset, silent
from trainer.engine import EngineName
from trainer.errors import DivergedError, InterruptedRun, TrackingError, TrainerError
from trainer.explain.cases import cases_of_part
from trainer.explain.page import write_page
from trainer.network.build import build_graph
from trainer.network.fingerprint import parameters_sha256
from trainer.network.memory import check_memory
from trainer.network.model import Model
from trainer.network.summary import describe_model
from trainer.report.health import Finding, examine, verdict
from trainer.report.pictures import draw_pictures
from trainer.runs.start import first_values
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.tracking.client import import_mlflow
from trainer.tracking.describe import describe_result
from trainer.tracking.model import RegisteredName
from trainer.tracking.store import RUNS, Store, check_store, resolve_store
from trainer.tracking.tracker import MlflowTracker, Outcome
from trainer.training import Ended, Event, Job, compile_kernels, make_job, run_job
from trainer.training.history import History, thinned
from trainer.training.result import Run

Listener = Callable[[Event], None]
CHECKPOINTS: Final = RUNS / "checkpoints"
CHECKPOINT_EVERY: Final = "30s"
EXPLAINED: Final = 5  # examples on the page that a run keeps


def warn_by_default(text: str) -> None:
    """Issues a Python warning."""
    warnings.warn(text, RuntimeWarning, stacklevel=3)


@dataclass
class Callbacks:
    """Who is told what: each event; the job, once, before its first step; what went wrong beside
    the training and did not stop it; how many rows were read that stay on disk.
    """

    listeners: Sequence[Listener] = ()
    on_start: Callable[[Job], None] | None = None
    warn: Callable[[str], None] = warn_by_default
    on_reading: Reading = silent


def train(
    spec: Spec,
    *,
    name: str | None = None,
    tracking_uri: str | None = None,
    track: bool = True,
    engine: EngineName = "auto",
    threads: int | None = None,
    checkpoint_every: str = CHECKPOINT_EVERY,
    offline_ok: bool = False,
    register: str | None = None,
    tags: Mapping[str, str] | None = None,
    listeners: Sequence[Listener] = (),
    on_start: Callable[[Job], None] | None = None,
    warn: Callable[[str], None] = warn_by_default,
    on_reading: Reading = silent,
) -> Run:
    """Trains `spec` and returns what came out; records it in MLflow unless `track` is false.

    `name` is the run's name in MLflow, by default the spec's. `tracking_uri` goes before the
    environment and the spec. `engine` is `reference` (NumPy, node by node), `compiled` (one
    kernel for many steps) or `auto`, which compiles long runs; `threads` limits the compiled
    one and changes no bit. A recorded run keeps checkpoints in runs/checkpoints/<run id>, every
    `checkpoint_every` (`30s`, `5min`, `1000steps`, `1epoch`) and at its end. With `offline_ok`
    a store that cannot be used at the start does not matter: `train sync` sends the run later,
    and its `run_id` is None until then. `register` (`NAME`, `NAME@alias`) makes the model the
    next version of a registered model, and `tags` are the run's in MLflow. `listeners` are called
    with each event of the training, `on_start` once with the job before the first step, and `warn`
    with what went wrong and did not stop the run; `on_reading` with what is done, and with how
    many rows, while a table that stays on disk is read.

    Raises `SpecError`, `DataError`, `TrackingError` and `CheckpointError` before training;
    `DivergedError` when the loss stops being finite, `InterruptedRun` on SIGINT or SIGTERM, and
    `TrackingError` when the store did not take all of the run. The last three carry what was
    trained as their attribute `run`.
    """
    began = time.monotonic()
    store = resolve_store(tracking_uri, spec.tracking.uri) if track else None
    registered = RegisteredName.parse(register) if register else None
    every = Every.parse(checkpoint_every)
    calls = Callbacks(listeners, on_start, warn, on_reading)
    with signals_caught() as interrupt:
        job, summary = prepare(spec, engine, threads, store, not offline_ok, on_reading)
        if store is None:
            return follow(Running(job, began, interrupt, calls))
        check_room(RUNS, job)
        label = name or spec.name
        recording = Recording(store, label, every, offline_ok, warn, tags=dict(tags or {}))
        tracker, keeper = recording.begin(job, summary)
        return follow(
            Running(job, began, interrupt, calls, store, tracker, keeper, register=registered)
        )


@dataclass
class Recording:
    """Where and how often a run is recorded. `resumed` is the id of the MLflow run that goes on,
    if there is one, `folder` its folder, and `size` the bytes of its journal that count.
    """

    store: Store
    name: str
    every: Every
    offline_ok: bool
    warn: Callable[[str], None]
    resumed: str | None = None
    folder: RunFolder | None = None
    size: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)

    def begin(self, job: Job, summary: str) -> tuple[MlflowTracker | None, Keeper]:
        """Opens the run in MLflow and its folder. Raises `TrackingError`, unless a store that
        cannot be used does not matter, and `CheckpointError`.
        """
        tracker: MlflowTracker | None = None
        try:
            opened = MlflowTracker(self.store, job, self.name, resumed=self.resumed, tags=self.tags)
            opened.start(summary, job.dataset.notes)
            tracker = opened
        except TrackingError as error:
            if not self.offline_ok:
                raise
            later = "the run is recorded on this disk; send it later with: train sync"
            self.warn(f"{error}\n  {later}")
        run_id = tracker.run_id if tracker else self.resumed
        try:
            folder = self.folder or RunFolder(CHECKPOINTS / (run_id or uuid4().hex))
            _keep_facts(folder, job, self.name, self.store, run_id)
            return tracker, Keeper(folder, job, self.every, self.warn, self.size)
        except BaseException:
            with suppress(TrackingError):
                if tracker is not None:
                    tracker.close("FAILED", None)
            raise


def prepare(
    spec: Spec,
    engine: EngineName,
    threads: int | None,
    store: Store | None,
    store_needed: bool,
    on_reading: Reading = silent,
) -> tuple[Job, str]:
    """The job, ready to train, and the text that describes its model.

    A store that is needed and cannot be used is told before a kernel is compiled.
    """
    dataset = load_dataset(spec, on_reading)
    model = build_graph(spec, dataset.layout)
    memory = check_memory(spec, dataset, model)
    uri = spec.tracking.uri
    spec, initial = first_values(spec, model, lambda: store or resolve_store(None, uri))
    job = make_job(spec, dataset, model, engine, threads, initial=initial)
    if store is not None:
        if store_needed:
            check_store(store)
        _import_meanwhile()
    compile_kernels(job)
    return job, describe_model(spec, dataset, model, memory)


def _keep_facts(folder: RunFolder, job: Job, name: str, store: Store, run_id: str | None) -> None:
    """Writes what a later process needs to know to resume the run; `run_id` is MLflow's."""
    spec = job.spec
    folder.write("spec.yaml", to_yaml(spec.resolved()))
    folder.write_facts(
        {
            "run_id": run_id,
            "name": name,
            "tracking_uri": store.uri,
            "spec_file": str(Path(spec.file).resolve()) if spec.file else None,
            "spec_text": spec.text,
            "spec": spec.resolved(),
            "data_sha256": job.dataset.sha256,
            "engine": job.engine.name,
            "environment": numeric_environment(),
        }
    )


@dataclass
class Running:
    """A run at hand. `past` are the events of an earlier process, for who keeps all of them; with
    `ended` nothing is trained, and this is how it ended then.
    """

    job: Job
    began: float
    interrupt: Interrupt
    calls: Callbacks
    store: Store | None = None
    tracker: MlflowTracker | None = None
    keeper: Keeper | None = None
    past: Iterable[Event] = field(default=())
    ended: Ended | None = None
    register: RegisteredName | None = None


def follow(running: Running) -> Run:
    """Trains the job to its end, tells everyone of each event, and records how it ended."""
    try:
        return _follow(running)
    finally:
        if running.keeper is not None:
            running.keeper.close()


def _follow(running: Running) -> Run:
    job, tracker, keeper, interrupt = (
        running.job, running.tracker, running.keeper, running.interrupt,
    )  # fmt: skip
    history = History()
    for event in running.past:
        history.on(event)
        if tracker:
            tracker.on(event)
    hear: list[Listener] = [history.on]
    hear += [member.on for member in (keeper, tracker) if member]
    hear += running.calls.listeners
    failure: TrainerError | None = None
    try:
        if running.calls.on_start is not None:
            running.calls.on_start(job)
        interrupt.flagged = True
        # entered here, since it limits the libraries that are loaded by now: the engine's too
        with threadpool_limits(limits=1, user_api="blas"):
            _check_one_thread()
            stop = running.ended or (lambda: interrupt.number is not None)
            for event in [stop] if isinstance(stop, Ended) else run_job(job, stop):
                for listener in hear:
                    listener(event)
    except BaseException as error:
        if tracker is not None:
            stopped = isinstance(error, KeyboardInterrupt)
            with suppress(TrackingError):  # what stopped the run matters more
                tracker.close("KILLED" if stopped else "FAILED", None)
        raise
    ended = history.ended
    hashed = parameters_sha256(job.parameters)
    if keeper is not None:
        keeper.folder.mark(UNSENT, True)  # until it is sent, should the process end before
        keeper.folder.mark(FINISHED, ended.status == "FINISHED")
    findings = _examine(running, history)
    if tracker is not None:
        try:
            tracker.close(ended.status, hashed, _outcome(running, tracker, history, findings))
        except TrackingError as error:
            failure = error
    if keeper is not None and tracker is not None and failure is None:
        keeper.folder.mark(UNSENT, False)
    run = Run(
        run_id=tracker.run_id if tracker else None,
        experiment=tracker.experiment if tracker else None,
        tracking_uri=running.store.uri if running.store else None,
        status=ended.status,
        epochs=ended.epoch,
        steps=ended.step,
        parameters=job.parameters,
        metrics=history.last,
        history=history.series(),
        parameters_sha256=hashed,
        spec_sha256=job.spec.sha256,
        data_sha256=job.dataset.sha256,
        findings=tuple(f"{finding.message}; {finding.advice}" for finding in findings),
        seconds=time.monotonic() - running.began,
    )
    if ended.status == "DIVERGED":
        failure = DivergedError(_also(ended.reason, failure))
    elif ended.status == "KILLED":
        message = f"interrupted after {ended.step} steps ({ended.epoch} whole epochs)"
        if keeper and keeper.saved_step == ended.step:
            message += f"; go on with: train resume {keeper.folder.path.name[:8]}"
        failure = InterruptedRun(_also(message, failure), interrupt.number or signal.SIGINT)
    if failure is not None:
        failure.run = run
        raise failure
    return run


def _examine(running: Running, history: History) -> list[Finding]:
    """What is wrong with the run's gradients. A failure of this takes nothing from the run."""
    try:
        return examine(running.job, history)
    except Exception as error:  # whatever a strange run meets there
        running.calls.warn(f"its gradients were not examined: {type(error).__name__}: {error}")
        return []


def _outcome(
    running: Running, tracker: MlflowTracker, history: History, findings: Sequence[Finding]
) -> Outcome:
    """What the run leaves behind besides its numbers: pictures, findings, the model.

    A failure of a picture takes nothing from the run.
    """
    job, ended = running.job, history.ended
    try:
        if ended.status != "KILLED":  # who stops a run does not want to wait, and it goes on
            plots = tracker.files / "plots"
            plots.mkdir()
            draw_pictures(job, history, plots)
            _write_page(job, history, tracker.files / "explain")
    except Exception as error:  # whatever a picture meets
        text = f"the run has not all of its pictures: {type(error).__name__}: {error}"
        running.calls.warn(text)
    said, tags = [f"{finding.message}; {finding.advice}" for finding in findings], {}
    if findings or ended.epoch:  # in less than an epoch there is little to find
        said, tags = said or ["healthy"], {"trainer.gradients": verdict(findings)}
    if ended.status == "DIVERGED":
        tags["trainer.diverged"] = ended.reason[:5000] or "true"
    model = None
    if ended.status == "FINISHED":
        model = Model.from_parts(job.spec, job.parameters, job.dataset.preprocessing)
    result = describe_result(job, history.last, ended, said, tracker.run_id)
    return Outcome(result, tags, model, running.register)


def _write_page(job: Job, history: History, folder: Path) -> None:
    """The page that explains some examples at the parameters that were learned."""
    data = job.dataset
    part = data.test or data.validation or data.train
    cases = cases_of_part(job.spec, job.parameters, data.preprocessing, part, EXPLAINED)
    norms = {
        name.removeprefix("grad_norm/"): series
        for name, series in history.series().items()
        if name.startswith("grad_norm/")
    }
    kept = None
    if norms:
        steps = next(iter(norms.values())).steps
        shown = [number - 1 for number in thinned(len(steps))]
        by_name = {name: series.values[shown].tolist() for name, series in norms.items()}
        kept = {"epochs": steps[shown].tolist(), "grad_norm": by_name}
    folder.mkdir()
    write_page([case.explain() for case in cases], folder / "graph.html", history=kept)


def _check_one_thread() -> None:
    """Several threads of BLAS would add in another order each time; this finds them."""
    for library in threadpool_info():
        if library.get("user_api") == "blas" and library["num_threads"] != 1:
            name = library.get("internal_api")
            raise TrainerError(f"the BLAS '{name}' does not take the limit of one thread")


def _import_meanwhile() -> None:
    """Imports on another thread what the end of a run needs; who imports it next waits for that, or
    meets the error.
    """

    def quietly() -> None:
        with suppress(Exception):
            import_mlflow()
            import_module("matplotlib.figure")

    # requests filters this out itself, but the filters belong to all threads: another one that
    # restores its own takes that away
    warnings.filterwarnings("ignore", message="SOCKS support")
    threading.Thread(target=quietly, name="import", daemon=True).start()


def _also(message: str, failure: TrainerError | None) -> str:
    """The message, and below it what else went wrong."""
    return message if failure is None else f"{message}\n{failure}"
