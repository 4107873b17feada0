"""One run from a spec: data, graph, training, tracking. What the command `train` calls."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import numpy as np
from threadpoolctl import threadpool_limits

from trainer.build import build_graph
from trainer.data import load_dataset
from trainer.engine import EngineName
from trainer.errors import DivergedError, InterruptedRun, TrackingError, TrainerError
from trainer.fingerprint import parameters_sha256
from trainer.memory import check_memory
from trainer.result import Run, Series
from trainer.spec.schema import Spec
from trainer.summary import describe_model
from trainer.tracking.store import resolve_store
from trainer.tracking.tracker import MlflowTracker, import_mlflow
from trainer.training import Ended, EpochDone, Event, Job, StepsDone, make_job, run_job

Listener = Callable[[Event], None]


def train(
    spec: Spec,
    *,
    name: str | None = None,
    tracking_uri: str | None = None,
    track: bool = True,
    engine: EngineName = "auto",
    threads: int | None = None,
    listeners: Sequence[Listener] = (),
    on_start: Callable[[Job], None] | None = None,
) -> Run:
    """Trains `spec` and returns what came out; records it in MLflow unless `track` is false.

    `name` is the run's name in MLflow, by default the spec's. `tracking_uri` goes before the
    environment and the spec. `engine` is `reference` (NumPy, node by node), `compiled` (one
    kernel for many steps) or `auto`, which compiles long runs; `threads` limits the compiled
    one and changes no bit. `listeners` are called with each event of the training, and
    `on_start` once with the job before the first step.

    Raises `SpecError`, `DataError` and `TrackingError` before training; `DivergedError` when the
    loss stops being finite, `InterruptedRun` on SIGINT or SIGTERM, and `TrackingError` when the
    store did not take all of the run. The last three carry what was trained as their attribute
    `run`.
    """
    began = time.monotonic()
    store = resolve_store(tracking_uri, spec.tracking.uri) if track else None
    with _signals() as interrupt:
        dataset = load_dataset(spec)
        model = build_graph(spec, len(dataset.features), dataset.outputs)
        memory = check_memory(spec, dataset, model)
        job = make_job(spec, dataset, model, engine, threads)
        if store is not None:
            _import_meanwhile()
        job.engine.prepare(job.state, dataset.train.x[:1], dataset.train.y[:1])
        tracker = None
        if store is not None:
            tracker = MlflowTracker(store, job, name or spec.name)
            tracker.start(describe_model(spec, dataset, model, memory), dataset.notes)
        history = _History()
        hear = [history.on, *([tracker.on] if tracker else []), *listeners]
        failure: TrainerError | None = None
        try:
            if on_start is not None:
                on_start(job)
            interrupt.flagged = True
            # entered here, since it limits the libraries that are loaded by now: the engine's too
            with threadpool_limits(limits=1, user_api="blas"):
                for event in run_job(job, stop=lambda: interrupt.number is not None):
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
        if tracker is not None:
            try:
                tracker.close(ended.status, hashed, ended.reason)
            except TrackingError as error:
                failure = error
    run = Run(
        run_id=tracker.run_id if tracker else None,
        experiment=tracker.experiment if tracker else None,
        tracking_uri=store.uri if store else None,
        status=ended.status,
        epochs=ended.epoch,
        steps=ended.step,
        parameters=job.parameters,
        metrics=history.last,
        history=history.series(),
        parameters_sha256=hashed,
        spec_sha256=spec.sha256,
        data_sha256=dataset.sha256,
        seconds=time.monotonic() - began,
    )
    if ended.status == "DIVERGED":
        failure = DivergedError(_also(ended.reason, failure))
    elif ended.status == "KILLED":
        message = f"interrupted after {ended.step} steps ({ended.epoch} whole epochs)"
        failure = InterruptedRun(_also(message, failure), interrupt.number or signal.SIGINT)
    if failure is not None:
        failure.run = run
        raise failure
    return run


def _import_meanwhile() -> None:
    """Imports MLflow on another thread; who imports it next waits for that, or meets the error."""

    def quietly() -> None:
        with suppress(Exception):
            import_mlflow()

    threading.Thread(target=quietly, name="import", daemon=True).start()


def _also(message: str, failure: TrainerError | None) -> str:
    """The message, and below it what else went wrong."""
    return message if failure is None else f"{message}\n{failure}"


class _Interrupt:
    """The signal that asked for an end, if one did; `flagged` while the loop looks out for it."""

    number: int | None = None
    flagged = False


@contextmanager
def _signals() -> Iterator[_Interrupt]:
    """SIGINT and SIGTERM set a flag that the loop looks at; before it, and a second time, they
    stop at once: what is inside meets a `KeyboardInterrupt`, and `InterruptedRun` comes out.

    Only the main thread can handle signals; elsewhere the flag is never set.
    """
    interrupt = _Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def handle(number: int, frame: FrameType | None) -> None:
        at_once = interrupt.number is not None or not interrupt.flagged
        interrupt.number = number
        if at_once:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield interrupt
    except KeyboardInterrupt:
        if interrupt.number is None:
            raise
        message = "stopped at once" if interrupt.flagged else "stopped before training began"
        raise InterruptedRun(message, interrupt.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _History:
    """A listener that keeps all values."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.ended: Ended
        self._values: dict[str, tuple[list[int], list[float]]] = {}
        self._steps: list[StepsDone] = []

    def on(self, event: Event) -> None:
        if isinstance(event, StepsDone):
            self._steps.append(event)
        elif isinstance(event, EpochDone):
            norms = {f"grad_norm/{name}": v for name, v in event.parameter_norms.items()}
            for name, value in {**event.metrics, **norms}.items():
                steps, values = self._values.setdefault(name, ([], []))
                steps.append(event.epoch)
                values.append(value)
            self.last |= event.metrics
        else:
            self.last |= event.summary
            self.ended = event

    def series(self) -> dict[str, Series]:
        series = {
            name: Series(np.array(steps), np.array(values))
            for name, (steps, values) in self._values.items()
        }
        if self._steps:
            losses = np.concatenate([event.steps.losses for event in self._steps])
            norms = np.concatenate([event.steps.grad_norms for event in self._steps])
            steps = np.arange(1, len(losses) + 1)
            series["train_loss_step"] = Series(steps, losses)
            series["grad_norm_step"] = Series(steps, norms)
        return series
