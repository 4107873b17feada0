"""The history of a sweep: its trials one after the other, and rung by rung."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from trainer.report.axis import Scale
from trainer.report.objective import KINDS, Measure, look_of, ring
from trainer.report.style import (
    BLUE,
    GREY,
    compact,
    key,
    new_figure,
    place,
    short,
)
from trainer.report.sweeps import SweepShown, TrialShown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROWD: Final = 100  # trials, of more the lines are thin
LABELS: Final = 6


def history(sweep: SweepShown) -> Figure:
    """The objective of each trial and the best of those before; beside it how each went on."""
    figure = new_figure(sweep.name, _told(sweep))
    measure = Measure.of(sweep)
    axes = place(figure, 0.85, 0.72, 4.9 if sweep.rungs else 8.0, 2.78)
    handles, labels = _draw_trials(axes, sweep, measure)
    if sweep.rungs:
        _draw_rungs(place(figure, 6.3, 0.72, 2.55, 2.78), sweep, measure)
    key(figure, handles, labels)
    return figure


def _told(sweep: SweepShown) -> str:
    best = next((trial for trial in sweep.trials if trial.number == sweep.winner), None)
    spent = sum(trial.epochs for trial in sweep.trials)
    epochs = f"{spent:,} epoch{'s' * (spent != 1)}"
    if best is None or best.value is None:
        return f"{len(sweep.trials)} trials, {epochs}"
    return f"{short(sweep.metric, 24)} {best.value:.5g} by trial {best.number}, after {epochs}"


def _draw_trials(axes: Axes, sweep: SweepShown, measure: Measure) -> tuple[list[Any], list[str]]:
    """A dot a trial, the best so far as stairs, the winner in a ring."""
    numbers = [trial.number for trial in sweep.trials]
    handles, labels = [], []
    for label, look in KINDS:
        some = [trial for trial in sweep.trials if look_of(trial, measure) is look]
        if some:
            places = measure.within([trial.value for trial in some])
            handles += axes.plot([trial.number for trial in some], places, **look)
            labels.append(label)
    steps, bests = _best_so_far(sweep, measure)
    if steps:
        handles += axes.plot(
            [*steps, max(numbers)], [*bests, bests[-1]], color=BLUE, linewidth=1.4,
            drawstyle="steps-post", zorder=1,
        )  # fmt: skip
        labels.append("best so far")
    handles += ring(axes, sweep, measure, lambda trial: trial.number)
    labels += ["the best"] * (len(handles) - len(labels))
    room = 0.02 * (max(numbers) - min(numbers)) or 0.5
    axes.set_xlim(min(numbers) - room, max(numbers) + room)
    _number_ticks(axes, sweep.trials)
    measure.draw(axes)
    axes.set_xlabel("trial, and the epochs of all until then")
    axes.set_title(short(sweep.metric, 40))
    return handles, labels


def _best_so_far(sweep: SweepShown, measure: Measure) -> tuple[list[int], list[float]]:
    """The numbers of the finished trials that were better than those before, and their values."""
    numbers: list[int] = []
    values: list[float] = []
    for trial in sweep.trials:
        value = trial.value
        if trial.status != "finished" or value is None or not measure.shows(value):
            continue
        if not values or sweep.loss(value) < sweep.loss(values[-1]):
            numbers.append(trial.number)
            values.append(value)
    return numbers, values


def _number_ticks(axes: Axes, trials: Sequence[TrialShown]) -> None:
    """The numbers of some trials, and below them the epochs that were spent until then."""
    scale = Scale.of_epochs([trials[0].number, trials[-1].number])
    spent = dict(zip([t.number for t in trials], accumulate(t.epochs for t in trials), strict=True))
    ticks = [int(number) for number in scale.ticks(7, whole=True) if number in spent]
    axes.set_xticks(ticks, [f"{number}\n{compact(spent[number])}" for number in ticks])


def _draw_rungs(axes: Axes, sweep: SweepShown, measure: Measure) -> None:
    """A line a trial, from rung to rung to its end; the winner's is strong."""
    thin = 0.9 if len(sweep.trials) < CROWD else 0.5
    reached = [0] * (len(sweep.rungs) + 1)
    for trial in sweep.trials:
        epochs = sorted(trial.results)
        across = [_rung_of(sweep, trial, epoch) for epoch in epochs]
        for at in across:
            reached[at] += 1
        best = trial.number == sweep.winner
        look: dict[str, Any] = (
            {"color": BLUE, "linewidth": 2.2, "zorder": 4} if best
            else {"color": GREY, "linewidth": thin, "alpha": 0.5, "zorder": 2}
        )  # fmt: skip
        axes.plot(across, measure.within([trial.results[epoch] for epoch in epochs]), marker="o",
                  markersize=4 if best else 2.5, markeredgewidth=0, **look)  # fmt: skip
    names = [*map(compact, sweep.rungs), _end_of(sweep)]
    shown = range(0, len(names) if reached[-1] else len(names) - 1, -(-len(names) // LABELS))
    for at in shown:
        axes.text(at, 1.01, compact(reached[at]), fontsize=8, color=GREY, ha="center",
                  va="bottom", transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_xticks(shown, [names[at] for at in shown])
    axes.set_xlim(-0.3, len(names) - (0.7 if reached[-1] else 1.7) + 0.01)
    measure.draw(axes)
    axes.set_xlabel("epochs")
    axes.set_title("trials at each rung", pad=16)


def _rung_of(sweep: SweepShown, trial: TrialShown, epoch: int) -> int:
    """Which rung a result is of, from 0; that of a trial's end comes after all rungs."""
    if trial.status == "finished" and epoch == trial.reached:
        return len(sweep.rungs)
    return bisect_left(sweep.rungs, epoch)


def _end_of(sweep: SweepShown) -> str:
    """What the end of finished trials is called: an epoch, unless some ended before others."""
    ends = {trial.reached for trial in sweep.trials if trial.status == "finished"}
    return compact(ends.pop()) if len(ends) == 1 else "end"
