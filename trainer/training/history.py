"""All that a run recorded, kept in memory, and which of it a chart shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from trainer.training.events import Ended, EpochDone, Event, StepsDone
from trainer.training.result import Series

CHART_POINTS: Final = 320  # what MLflow's charts draw of a series


class History:
    """A listener that keeps all values."""

    def __init__(self) -> None:
        self.ended: Ended
        self._last: dict[str, float] = {}  # of the epochs
        self._summary: Mapping[str, float] = {}
        self._values: dict[str, tuple[list[int], list[float]]] = {}
        self._steps: list[StepsDone] = []

    def on(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, StepsDone):
            self._steps.append(event)
            self._summary = {}  # what ended there went on
        elif isinstance(event, EpochDone):
            norms = {f"grad_norm/{name}": v for name, v in event.parameter_norms.items()}
            for name, value in {**event.metrics, **norms}.items():
                steps, values = self._values.setdefault(name, ([], []))
                steps.append(event.epoch)
                values.append(value)
            self._last |= event.metrics
        elif isinstance(event, Ended):
            self._summary = event.summary
            self.ended = event

    @property
    def last(self) -> dict[str, float]:
        """The last value of each metric, and at the end those that are known only then."""
        return {**self._last, **self._summary}

    def series(self) -> dict[str, Series]:
        """All values by name: of epochs, and of steps counted from 1."""
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


def thinned(count: int) -> Sequence[int]:
    """The numbers 1 … count; where a chart cannot show that many, as many of them as it can,
    evenly spread, the first and the last among them.
    """
    if count <= CHART_POINTS:
        return range(1, count + 1)
    return [1 + (count - 1) * i // (CHART_POINTS - 1) for i in range(CHART_POINTS)]
