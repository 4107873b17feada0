"""What the keys of a sweep did: the objective by each value, and how much each key explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from trainer.report.choices import Choice
from trainer.report.objective import KINDS, Measure, first_of, look_of, ring
from trainer.report.style import (
    BLUE,
    GREY,
    HEIGHT,
    PALE,
    WIDTH,
    key,
    new_figure,
    place,
    short,
    tail,
)
from trainer.report.sweeps import SweepShown, TrialShown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SLICES: Final = 8
COLUMNS: Final = 4
BARS: Final = 15
DENSE: Final = 200  # trials, of more the dots are small


def slices(sweep: SweepShown) -> Figure:
    """The objective against each key, a panel a key."""
    keys = sweep.first_keys(SLICES)
    measure = Measure.of(sweep)
    figure = new_figure(sweep.name, f"{short(sweep.metric, 30)} by value{first_of(sweep, keys)}")
    columns = min(len(keys), COLUMNS)
    rows = -(-len(keys) // columns)
    width, height = (WIDTH - 0.75) / columns, (HEIGHT - 0.75) / rows
    handles: list[Any] = []
    labels: list[str] = []
    for i, name in enumerate(keys):
        left = 0.75 + (i % columns) * width
        bottom = (rows - 1 - i // columns) * height + 0.4
        axes = place(figure, left, bottom, width - 0.2, height - 0.6)
        measure.draw(axes)
        if i % columns:
            axes.tick_params(axis="y", labelleft=False)
        elif rows > 1:
            axes.tick_params(axis="y", labelsize=8)
        _slice(axes, sweep, sweep.choices[name], measure, width)
        axes.set_title(tail(name, int(width * 12)), fontsize=10 if columns < COLUMNS else 8.5)
        handles, labels = _kinds(axes, handles, labels)
    key(figure, handles, labels)
    return figure


def _slice(axes: Axes, sweep: SweepShown, choice: Choice, measure: Measure, width: float) -> None:
    """The dots of one key; those of a category lie side by side, in the order of trials."""
    count = len(sweep.trials)
    small: dict[str, Any] = {"markersize": 3} if count > DENSE else {}
    for label, look in KINDS:
        some = [trial for trial in sweep.trials
                if choice.key in trial.values and look_of(trial, measure) is look]  # fmt: skip
        if some:
            across = [_across(choice, trial, count) for trial in some]
            shown = measure.within([trial.value for trial in some])
            axes.plot(across, shown, label=label, **{**look, **small})
    for mark in ring(axes, sweep, measure, lambda trial: _across(choice, trial, count)):
        mark.set_label("the best")
    _name_ticks(axes, choice, width - 0.2)
    axes.set_xlim(-0.04, 1.04)


def _across(choice: Choice, trial: TrialShown, count: int) -> float:
    where = choice.place(trial.values.get(choice.key))
    if choice.scale is not None:
        return where
    room = 0.5 / max(len(choice.categories), 1)
    return where + room * ((trial.number + 0.5) / max(count, trial.number + 1) - 0.5)


def _name_ticks(axes: Axes, choice: Choice, room: float) -> None:
    """The ticks of a choice on axes from 0 to 1, cut to the inches that there are."""
    categories = choice.scale is None
    ticks = choice.ticks(max(2, int(room / 0.45)) if not categories else int(room / 0.3))
    letters = max(3, int(room / max(len(ticks), 1) / 0.068))
    size = 8.5
    if categories and max(map(len, ticks.values()), default=0) > letters:
        size, letters = 7.5, max(3, int(room / len(ticks) / 0.06))
    names = [_wrapped(text, letters if categories else 12) for text in ticks.values()]
    axes.set_xticks(list(ticks), names, fontsize=size)


def _wrapped(text: str, letters: int) -> str:
    """A text in so many letters, in two lines where it has two parts."""
    if len(text) <= letters or ", " not in text:
        return short(text, letters)
    first, rest = text.split(", ", 1)
    return f"{short(first, letters - 1)},\n{short(rest, letters)}"


def _kinds(axes: Axes, handles: list[Any], labels: list[str]) -> tuple[list[Any], list[str]]:
    """The legend's entries, with those of these axes that it has not yet."""
    found = dict(zip(labels, handles, strict=True))
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        found.setdefault(label, handle)
    return list(found.values()), list(found)


# By each key ------------------------------------------------------------------------------------


def importance(sweep: SweepShown) -> Figure:
    """A bar a key: the share of the variance of ranks that it explains, and what chance would."""
    found = sweep.influences
    order = sorted(found, key=lambda name: -found[name].share)
    shown = order[:BARS]
    more = f", the first {len(shown)} of {len(order)}" if len(order) > len(shown) else ""
    judged = sum(bool(trial.results) for trial in sweep.trials)
    told = f"what each key explains of the ranks of {judged} trials{more}"
    figure = new_figure(sweep.name, told)
    axes = place(figure, 2.6, 0.6, 6.2, 3.2)
    clear = [found[name].share > found[name].chance for name in shown]
    shares = [100 * found[name].share for name in shown]
    axes.barh(range(len(shown)), shares, height=0.66,
              color=[BLUE if each else PALE for each in clear])  # fmt: skip
    for i, name in enumerate(shown):
        at = 100 * found[name].chance
        axes.plot([at, at], [i - 0.42, i + 0.42], color=GREY, linewidth=1.2, linestyle=(0, (2, 1)))
    size = max(7.0, min(10.0, 150 / len(shown)))
    axes.set_yticks(range(len(shown)), [tail(name, 28) for name in shown], fontsize=size)
    ends = [*shares, *(100 * found[name].chance for name in shown), 1.0]
    axes.set(xlim=(0, min(1.08 * max(ends), 100)), ylim=(max(len(shown), 4) - 0.4, -0.6))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("% of the variance of ranks, each key by itself")
    _key_of_bars(figure, clear)
    return figure


def _key_of_bars(figure: Figure, clear: Sequence[bool]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=BLUE)] if any(clear) else []
    labels = ["matters"] if any(clear) else []
    if not all(clear):
        handles.append(Patch(color=PALE))
        labels.append("not told from chance")
    handles.append(Line2D([], [], color=GREY, linewidth=1.2, linestyle=(0, (2, 1))))
    key(figure, handles, [*labels, "what one in 20 keys reaches by chance"])
