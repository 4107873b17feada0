"""A run's events as the points of MLflow's metrics, and those that the store has not yet."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from trainer.checkpoints.facts import Facts, Outcome
from trainer.tracking.names import written
from trainer.training.events import Ended, EpochDone, LoopEvent, StepsDone
from trainer.training.history import thinned

if TYPE_CHECKING:
    from mlflow import MlflowClient

Point: TypeAlias = tuple[str, float, int, int]
"""A value of a metric as MLflow takes it: name, value, milliseconds since 1970, step."""

BATCH: Final = 1000  # a call of log_batch takes no more metrics


class Points:
    """What the store is to have of a run's metrics: epochs in full, series by step as far as a
    chart can show them. `known` are those that it has, the last value by name and step, and
    `latest` is the moment of the latest of them.

    A store shows of each metric the value of the largest step, of several there the latest; so
    moments never go back, though the clock may. Where the parameters that are kept are not those of
    the last epoch, their metrics are a second point at its step. In a run that goes on from there
    the series' own value becomes the latest again.
    """

    def __init__(
        self, facts: Facts, known: Mapping[tuple[str, int], float], latest: int = 0
    ) -> None:
        self.facts = facts
        self._known = dict(known)
        self._steps = thinned(facts.charts.get("steps", 0))
        self._epochs = frozenset(thinned(facts.charts.get("epochs", 0)))
        self._latest = latest
        self._epoch_began = 0.0
        self._last: EpochDone | None = None
        self.unsent: list[Point] = []

    def add(self, event: LoopEvent) -> None:
        """Takes one event."""
        if isinstance(event, StepsDone):
            self._add_steps(event)
        elif isinstance(event, EpochDone):
            self._add_epoch(event)

    def _add_steps(self, event: StepsDone) -> None:
        first, losses, norms = event.first, event.steps.losses, event.steps.grad_norms
        shown = self._steps
        for step in shown[bisect_left(shown, first) : bisect_left(shown, first + len(losses))]:
            i = step - first
            values = {"train_loss_step": float(losses[i]), "grad_norm_step": float(norms[i])}
            self._put(values.items(), step, again=True)

    def _add_epoch(self, event: EpochDone) -> None:
        epoch = event.epoch
        if self._last is not None:
            self._put(self._last.metrics.items(), self._last.epoch, again=True)
        self._put(event.metrics.items(), epoch, event.time)
        self._last = event
        if epoch in self._epochs:
            seconds = event.time - self._epoch_began
            if seconds > 0:  # the clock was not set back meanwhile
                speed = self.facts.charts.get("rows", 0) / seconds
                self._put([("perf/examples_per_second", speed)], epoch, event.time)
            norms = ((f"grad_norm/{n}", v) for n, v in event.parameter_norms.items())
            self._put(norms, epoch, event.time, again=True)
        self._epoch_began = event.time

    def end(self, ended: Ended | None, outcome: Outcome) -> None:
        """Takes the values that are known at the end alone: of a summary the last one counts."""
        if outcome.status != "KILLED":  # a run that goes on says it at its end, and once
            own = {} if self.facts.kind == "train" else outcome.metrics
            self._end(ended.summary if ended else own)
        for name, (steps, values) in outcome.curves.items():
            shown = [number - 1 for number in thinned(len(steps))]
            for i in shown:
                self._put([(name, values[i])], int(steps[i]))

    def _end(self, summary: Mapping[str, float]) -> None:
        """Takes what is known at the end. What is also a series is that of the parameters that are
        kept, and comes after the last epoch's; no clock is relied on for that.
        """
        series = dict(self._last.metrics) if self._last else {}
        self._put(((n, v) for n, v in summary.items() if n not in series), 0, again=True)
        if self._last is not None:
            kept = {name: summary.get(name, value) for name, value in series.items()}
            after = max(time.time(), self._last.time + 0.002)  # the store counts in ms
            self._put(kept.items(), self._last.epoch, after, again=True)

    def _put(
        self,
        values: Iterable[tuple[str, float]],
        step: int,
        when: float | None = None,
        again: bool = False,
    ) -> None:
        """Takes values that are finite, as MLflow would turn others into numbers, and that the
        store has not; with `again` also those of which it has another value.
        """
        found = [(written(name), value) for name, value in values if math.isfinite(value)]
        other = again and any(self._known.get((n, step), v) != v for n, v in found)
        moment = self._latest = max(int((when or time.time()) * 1000), self._latest + other)
        for name, value in found:
            known = self._known.get((name, step))
            if known is None or (again and known != value):
                self._known[name, step] = value
                self.unsent.append((name, value, moment, step))

    def send(self, client: MlflowClient, run_id: str) -> None:
        """Sends one batch. Raises what MLflow raises; the batch is then to be sent again."""
        from mlflow.entities import Metric

        batch = self.unsent[:BATCH]
        if batch:
            metrics = [Metric(*point) for point in batch]
            client.log_batch(run_id, metrics=metrics, synchronous=True)
            del self.unsent[: len(batch)]
