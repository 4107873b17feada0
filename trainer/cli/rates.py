"""Learning rates on a terminal: a schedule, and the losses while the rate rises."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.text import Text

from trainer.cli.chart import WIDTH, draw
from trainer.report.rates import by_factors
from trainer.training.schedule import rates_at

if TYPE_CHECKING:
    from trainer.spec import Spec
    from trainer.training.range_test import RangeTest

POINTS: Final = 1000  # of a schedule that are drawn or printed


def schedule_points(spec: Spec, steps_per_epoch: int) -> dict[str, list[Any]]:
    """The rates of the run's steps, or of `POINTS` of them, the first and the last included."""
    last = spec.sgd.epochs * steps_per_epoch
    steps = np.linspace(1, last, min(last, POINTS)).round().astype(int)
    rates = rates_at(spec.sgd, steps_per_epoch, steps)
    return {"steps": steps.tolist(), "learning_rates": rates.tolist()}


def schedule_chart(spec: Spec, steps_per_epoch: int, width: int | None) -> Iterator[Text | str]:
    """The rate by step as a chart of characters, and the main points of the curve in words."""
    sgd, shown = spec.sgd, schedule_points(spec, steps_per_epoch)
    points = list(zip(shown["steps"], shown["learning_rates"], strict=True))
    length = f"{sgd.epochs} epochs of {steps_per_epoch} steps"
    yield Text(f"learning rate by step: {sgd.schedule.type}, {length}", "bold")
    if len(points) > 1:
        yield from draw([points], [""], "step", by_factors(sgd), min(WIDTH, width or WIDTH))
        yield ""
    largest = max(points, key=lambda point: point[1])
    for what, (step, rate) in {"first": points[0], "largest": largest, "last": points[-1]}.items():
        yield f"{what:<8} {rate:.5g} at step {step}"


def range_chart(sweep: RangeTest, width: int | None) -> Iterator[Text | str]:
    """The smoothed loss by the rate, whose axis is that of its decimal logarithm."""
    if len(sweep.rates) < 2:
        return
    values = zip(sweep.rates.tolist(), sweep.smoothed.tolist(), strict=True)
    points: Any = [(log10(rate), loss) for rate, loss in values]
    yield Text("smoothed training loss by learning rate", "bold")
    yield from draw([points], [""], "log10(rate)", False, min(WIDTH, width or WIDTH))
    yield ""
