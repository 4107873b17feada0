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
from trainer.training.trials import Trials

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


def write_search(sweep: RangeTest, trials: Trials | None, name: str, path: Path) -> None:
    """Draws what a learning-rate finder found by the rate as a PNG file: the losses while it rises,
    and those of the trials if there are. Raises `OSError`.
    """
    with styled():
        save(_search(sweep, trials, name), path)


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


def _search(sweep: RangeTest, trials: Trials | None, name: str) -> Figure:
    best = sweep.steepest if trials is None else trials.best and trials.best.rate
    told = "no learning rate is suggested" if best is None else f"suggested learning rate {best:g}"
    figure = new_figure(name, told)
    width = 8.0 if trials is None else 3.7
    curve = place(figure, 0.85, 0.55, width, 3.05)
    handles = _curve(curve, sweep)
    labels = ["loss of the batch", "smoothed", "steepest fall"][: len(handles)]
    if trials is not None:
        handles += _trials(place(figure, 5.1, 0.55, width, 3.05), trials)
        labels += ["trials", "as good as the best"][: len(handles) - len(labels)]
    key(figure, handles, labels)
    return figure


def _curve(axes: Axes, sweep: RangeTest) -> list[Any]:
    """The losses while the rate rises, and what the steps make of them."""
    smoothed, shown = sweep.smoothed, thin(len(sweep.rates))
    handles = axes.plot(sweep.rates[shown], sweep.losses[shown], color=PALE, linewidth=1)
    handles += axes.plot(sweep.rates[shown], smoothed[shown], color=BLUE)
    log_axis(axes, "x", log_limits(sweep.rates))
    seen = sweep.losses[sweep.losses < smoothed.max()]  # others may be far above
    axes.set_ylim(*linear_limits(np.append(smoothed, seen)))
    axes.set_xlabel("learning rate")
    axes.set_title("training loss while the rate rises")
    if sweep.steepest is not None:
        handles.append(axes.axvline(sweep.steepest, color=GREY, linestyle="--", linewidth=1.2))
    return handles


def _trials(axes: Axes, trials: Trials) -> list[Any]:
    """The loss at the end of each training, but of those that diverged."""
    ended = [trial for trial in trials.done if trial.loss < np.inf]
    rates = np.array([trial.rate for trial in trials.done])
    losses = np.array([trial.loss for trial in ended])
    what = "validation" if trials.judged_by == "val_loss" else "training"
    axes.set_title(f"{what} loss after {trials.epochs} epochs")
    axes.set_xlabel("learning rate")
    log_axis(axes, "x", log_limits(rates))
    handles: list[Any] = axes.plot(
        [trial.rate for trial in ended], losses, color=VERMILLION, marker="o"
    )
    good = trials.as_good
    if good is not None:
        least = losses.min()
        high = np.median(losses) + 2 * (np.median(losses) - least)  # beyond it all are bad
        axes.set_ylim(*linear_limits(np.append(losses[losses <= high], least)))
        handles.append(axes.axvspan(good[0] / 1.1, good[1] * 1.1, color=BLUE, alpha=0.12))
    return handles
