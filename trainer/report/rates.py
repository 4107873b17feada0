"""Learning rates as pictures: a schedule, and the losses while the rate rises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.report.style import (
    BLUE,
    GREY,
    PALE,
    VERMILLION,
    key,
    linear_limits,
    log_axis,
    log_limits,
    new_figure,
    place,
    positive,
    save,
    styled,
    thin,
)
from trainer.spec.schema import Spec
from trainer.spec.sgd import SGDSpec
from trainer.training.range_test import RangeTest
from trainer.training.schedule import rates_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def by_factors(sgd: SGDSpec) -> bool:
    """Whether the rate falls by factors all the time, which a logarithmic axis shows best."""
    return sgd.schedule.type in ("step", "exponential") and not sgd.schedule.warmup


def write_schedule(spec: Spec, steps_per_epoch: int, path: Path) -> None:
    """Draws the rate of each step of a run as a PNG file. Raises `OSError`."""
    with styled():
        save(_schedule(spec, steps_per_epoch), path)


def write_range_test(sweep: RangeTest, name: str, path: Path) -> None:
    """Draws the losses of a learning-rate finder by the rate as a PNG file. Raises `OSError`."""
    with styled():
        save(_sweep(sweep, name), path)


def _schedule(spec: Spec, steps_per_epoch: int) -> Figure:
    sgd = spec.sgd
    steps = 1 + thin(sgd.epochs * steps_per_epoch)
    rates = rates_at(sgd, steps_per_epoch, steps)
    told = f"learning rate, {sgd.schedule.type}, {sgd.epochs} epochs of {steps_per_epoch} steps"
    figure = new_figure(spec.name, told)
    axes = place(figure, 0.85, 0.55, 8.0, 3.4)
    epochs = (steps - 1) / steps_per_epoch
    axes.plot(epochs, rates, color=BLUE, marker="o" if len(steps) == 1 else None)
    axes.set_xlim(0, sgd.epochs)
    axes.set_xlabel("epoch")
    if by_factors(sgd) and positive(rates).all():
        log_axis(axes, "y", log_limits(rates))
    else:
        axes.set_ylim(0, linear_limits(np.append(rates, 0))[1])
    return figure


def _sweep(sweep: RangeTest, name: str) -> Figure:
    found = sweep.suggestion
    told = "the loss does not fall" if found is None else f"suggested learning rate {found:g}"
    figure = new_figure(name, told)
    axes = place(figure, 0.85, 0.55, 8.0, 3.05)
    smoothed, handles = sweep.smoothed, []
    shown = thin(len(sweep.rates))
    handles += axes.plot(sweep.rates[shown], sweep.losses[shown], color=PALE, linewidth=1)
    handles += axes.plot(sweep.rates[shown], smoothed[shown], color=BLUE)
    labels = ["loss of the batch", "smoothed"]
    log_axis(axes, "x", log_limits(sweep.rates))
    seen = sweep.losses[sweep.losses < smoothed.max()]  # others may be far above
    axes.set_ylim(*linear_limits(np.append(smoothed, seen)))
    axes.set_xlabel("learning rate")
    axes.set_title("training loss")
    if found is not None:
        handles.append(_line(axes, found, VERMILLION, "-"))
        handles.append(_line(axes, sweep.minimum / 10, GREY, "--"))
        labels += [
            f"steepest descent, {found:g}",
            f"a tenth of the least, {sweep.minimum / 10:.2g}",
        ]
    key(figure, handles, labels)
    return figure


def _line(axes: Axes, rate: float, colour: str, dashes: str) -> Any:
    return axes.axvline(rate, color=colour, linestyle=dashes, linewidth=1.2)
