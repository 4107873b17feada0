"""One training: all that it needs, and where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from trainer.data import Dataset
from trainer.engine import Engine, EngineName, Session, make_engine
from trainer.errors import CheckpointError, DamagedError
from trainer.graph import Graph, Node
from trainer.graph.initialisers import initial_parameters, initial_state
from trainer.graph.ops import Array, show_shape
from trainer.metrics import Scores, default_metric, scores_for
from trainer.metrics.threshold import cut_of
from trainer.network.decision import Decision
from trainer.network.trivial import Trivial, fit_trivial
from trainer.spec.schema import Spec
from trainer.stored import from_json
from trainer.training.best import Best
from trainer.training.events import EpochDone, LoopEvent, StepsDone
from trainer.training.masks import masks_of
from trainer.training.rates import LearningRates, Rates
from trainer.training.record import EpochRecord
from trainer.training.sgd import training_graph
from trainer.training.snapshot import Position, Snapshot


@dataclass
class Progress:
    """Where a training stands between two calls of its engine.

    `epoch` is the current one, of which `done` steps are done; 0 before anything was measured,
    and one more than there are when all are done. `step` counts the steps of all epochs.
    `record` holds what the steps of this epoch add up to, `measured` what was measured of the last
    whole one. `diverged` is set once a value that must be finite is not, `paused` while it waits.
    """

    record: EpochRecord
    best: Best
    epoch: int = 0
    done: int = 0
    step: int = 0
    measured: Mapping[str, float] = field(default_factory=dict)
    diverged: bool = False
    paused: bool = False


@dataclass
class Job:
    """Everything that one training needs. `session` holds what changes as it trains: parameters,
    velocities, averages; `progress` says how far it is, and `cut` from above which logit the
    second of two classes is said, which may be chosen at the end. `masks` are the inputs that
    dropout draws, and `initial` keeps what was there at the start.
    """

    spec: Spec
    dataset: Dataset
    graph: Graph
    engine: Engine
    session: Session
    rates: Rates
    masks: tuple[Node, ...] = field(init=False)
    initial: dict[str, Array] = field(init=False)
    progress: Progress = field(init=False)
    cut: float = field(init=False, default=0.0)
    _scores: dict[tuple[bool, bool, float], Scores] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.masks = masks_of(self.graph)
        validated = self.dataset.validation is not None
        self.progress = Progress(EpochRecord(self), Best(self.spec, validated))
        self.initial = self.parameters
        threshold = self.spec.evaluation.threshold
        if isinstance(threshold, float):
            self.cut = float(np.dtype(self.spec.model.dtype).type(cut_of(threshold)))

    @property
    def state(self) -> dict[str, Array]:
        """A copy of the parameters and states as the last step left them, by name."""
        return self.session.fetch()

    @property
    def parameters(self) -> dict[str, Array]:
        """A copy of what the model consists of, as it is now: its parameters and running averages;
        where parameters are averaged, the averages; after the last epoch, and in a pause, the best
        ones, if the spec asks for them; after a divergence the best ones, if any epoch was better
        than the start.
        """
        if self._holds_best:
            best = self.progress.best.parameters
            return {name: value.copy() for name, value in best.items()}
        state = self.state
        return {
            node.name: state.get(f"average/{node.name}", state[node.name])
            for node in self.graph.learned
        }

    @property
    def evaluated(self) -> Mapping[str, Array] | None:
        """The parameters that are evaluated, where they are others than the session's."""
        return self.parameters if self.keeps_others else None

    @property
    def evaluated_state(self) -> dict[str, Array]:
        """A copy of the state with the parameters that are evaluated."""
        return {**self.state, **(self.evaluated or {})}

    @property
    def keeps_others(self) -> bool:
        """Whether the parameters are others than those that the last step left."""
        return self.spec.sgd.average is not None or self._holds_best

    @property
    def _holds_best(self) -> bool:
        now, best = self.progress, self.progress.best
        return best.learned if now.diverged else (self.ended or now.paused) and best.restored

    @property
    def kept_epoch(self) -> int:
        """The epoch after which the parameters were as they are now."""
        return self.progress.best.epoch if self._holds_best else max(self.progress.epoch - 1, 0)

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or no more are to come since it got no better."""
        now, stopping = self.progress, self.spec.sgd.early_stopping
        if now.epoch > self.spec.sgd.epochs:
            return True
        waited = now.epoch - 1 - now.best.epoch
        return stopping is not None and not now.done and waited >= stopping.patience

    @property
    def batch_size(self) -> int:
        """Rows in a full batch."""
        return self.rates.batch_size

    @property
    def charts(self) -> dict[str, int]:
        """How many epochs and steps there can be, and the training rows: what charts must know."""
        epochs = self.spec.sgd.epochs
        steps = epochs * self.steps_per_epoch
        return {"epochs": epochs, "steps": steps, "rows": len(self.dataset.train)}

    @property
    def steps_per_epoch(self) -> int:
        """SGD steps an epoch; the last may have fewer rows."""
        return self.rates.steps_per_epoch

    def scores(self, every: bool = False, more: bool = False, cut: float | None = None) -> Scores:
        """Empty scores: of the one metric that is always measured, with `more` also those that the
        spec names, with `every` all that fit the loss; by another `cut` than the job's.
        """
        kind = (every, more, self.cut if cut is None else cut)
        if kind not in self._scores:
            self._scores[kind] = self._new_scores(*kind)
        return self._scores[kind].fresh()

    def _new_scores(self, every: bool, more: bool, cut: float) -> Scores:
        model = self.spec.model
        named = self.spec.evaluation.metrics if more else ()
        names = None if every else [default_metric(model.loss), *named]
        decode = None if model.loss == "logistic" else self.dataset.preprocessing.decode_target
        return scores_for(
            model.loss,
            self.dataset.outputs,
            names,
            multi_label=model.multi_label,
            decode=decode,
            cut=cut,
        )

    @cached_property
    def trivial(self) -> Trivial:
        """What one says who knows no feature."""
        return fit_trivial(self.spec, self.dataset, self.weighs_scores)

    @property
    def decision(self) -> Decision:
        """What is known beside the parameters, for those who use the model."""
        return Decision(self.trivial, self.cut)

    @property
    def weighs_scores(self) -> bool:
        """Whether metrics count rows by their weights: those of the data, not those of classes."""
        return self.spec.data.weights is not None and self.spec.model.class_weights is None

    def snapshot(self) -> Snapshot:
        """Where the training stands, between two events."""
        now = self.progress
        arrays = {f"state/{name}": value for name, value in self.state.items()}
        arrays |= {f"score/{name}": value for name, value in now.record.scores.state().items()}
        position = Position(now.epoch, now.done, now.best.value, now.best.epoch)
        return Snapshot(
            now.step, asdict(position), arrays, now.best.parameters, str(now.best.epoch)
        )

    def restore(self, snapshot: Snapshot, past: Iterable[LoopEvent]) -> None:
        """Goes on where a snapshot was taken; `past` are the events that led there.

        Raises `CheckpointError` where its arrays are not those of this job, or it tells no place.
        """
        now = self.progress
        try:
            at = from_json(Position, snapshot.position, "position.", whole=False)
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint of step {snapshot.step}: {error}", code="TR-R006"
            ) from None
        self.session = self.engine.load({
            name: _fitting(name, value, snapshot.arrays.get(f"state/{name}"))
            for name, value in self.state.items()
        })  # fmt: skip
        events = list(past)
        now.epoch, now.done, now.step = at.epoch, at.done, snapshot.step
        now.best.value, now.best.epoch = at.best_loss, at.best_epoch
        now.best.parameters = dict(snapshot.best)
        score = {
            name.removeprefix("score/"): value.copy()
            for name, value in snapshot.arrays.items()
            if name.startswith("score/")
        }
        steps = [e.steps for e in events if isinstance(e, StepsDone) and e.epoch == now.epoch]
        if sum(len(each.losses) for each in steps) != now.done:
            raise DamagedError(
                f"the checkpoint of step {snapshot.step}: it says that {now.done} steps of epoch "
                f"{now.epoch} are done, and the journal has others"
            )
        try:
            now.record.restore(score, steps)
        except (KeyError, ValueError, TypeError):
            text = "its metrics so far are not those of this version"
            raise CheckpointError(
                f"the checkpoint of step {snapshot.step}: {text}", code="TR-R006"
            ) from None
        done = [event for event in events if isinstance(event, EpochDone)]
        if done:
            now.best.start, now.measured = done[0].metrics.get(now.best.watched), done[-1].metrics
            if now.best.value is not None:
                at_best = (event for event in done if event.epoch == now.best.epoch)
                now.best.measured = next(at_best, done[-1]).metrics

    def go_back(self, past: Iterable[LoopEvent]) -> None:
        """Goes on after the best epoch instead, with its parameters and at rest: velocities and
        gathered gradients are 0. `past` are the events until then.
        """
        now, best = self.progress, self.progress.best.parameters
        state = self.state
        for name, value in state.items():
            source = name if name in best else name.removeprefix("average/")
            state[name] = best[source] if source in best else np.zeros_like(value)
        self.session = self.engine.load(state)
        now.epoch, now.done = now.best.epoch + 1, 0
        now.step = now.best.epoch * self.steps_per_epoch
        now.record = EpochRecord(self)
        now.measured = [event.metrics for event in past if isinstance(event, EpochDone)][-1]


def full_batch(spec: Spec, dataset: Dataset) -> int:
    """Rows in a full batch: the spec's, or all training rows."""
    size = spec.sgd.batch_size
    return len(dataset.train) if size == "full" else int(size)


def make_job(
    spec: Spec,
    dataset: Dataset,
    model: Graph,
    engine: EngineName = "auto",
    threads: int | None = None,
    *,
    initial: Mapping[str, Array] | None = None,
    learning_rates: LearningRates | None = None,
) -> Job:
    """The job at its start: the training graph, the engine, parameters drawn from the seed.

    `initial` holds other first values, by the names of parameters and running averages;
    `learning_rates` gives other rates than the spec's schedule. Raises `CheckpointError` for
    values of other shapes than the graph's.
    """
    graph = training_graph(model, spec.sgd)
    state = initial_parameters(graph, spec.seed) | initial_state(graph)
    given = initial or {}
    for name in {**state, **given}:  # in the graph's order: a file may have any
        if name in given:
            state[name] = _fitting(name, state.get(name), given[name])
    for node in graph.leaves("state"):
        kind, _, name = node.name.partition("/")
        if node.name not in state:
            start = np.zeros_like(state[name]) if kind != "average" else state[name].copy()
            state[node.name] = start
    rates = Rates(spec.sgd, len(dataset.train), full_batch(spec, dataset), learning_rates)
    rows, shards = spec.evaluation.batch_size, spec.sgd.shards
    made = make_engine(graph, engine, rates.batch_size, rows, threads, shards)
    return Job(spec, dataset, graph, made, made.load(state), rates)


def _fitting(name: str, expected: Array | None, found: Array | None) -> Array:
    """The array that was found, if it can stand for the one that is expected. Raises
    `CheckpointError`.
    """
    if found is None or expected is None or _form(found) != _form(expected):
        raise CheckpointError(
            f"the checkpoint does not fit the spec: expected '{name}' to be {_form(expected)}, "
            f"found {_form(found)}",
            code="TR-R006",
        )
    return found


def _form(array: Array | None) -> str:
    return "nothing" if array is None else f"{array.dtype} of {show_shape(array.shape)}"
