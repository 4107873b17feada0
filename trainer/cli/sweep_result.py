"""A sweep that has ended, as a person sees it on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from trainer.cli.hints import command, program, show_store, ui_command
from trainer.cli.showing import NONE, duration, number
from trainer.cli.tables import Column, Output, table
from trainer.report.choices import brief, written
from trainer.report.style import short
from trainer.report.sweeps import TrialShown
from trainer.sweeps.describe import BEST, shown, spent, states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.sweeps.standing import Sweep, Trial

KEYS: Final = 8
VALUE: Final = 24  # characters of a value
HEADLINES: Final = 4  # metrics of the winner
_STYLES: Final = {"finished": "green", "waiting": "yellow"}


def show_sweep(found: Sweep, before: bool = False) -> None:
    """Prints the best trials, how it ended, where it is, and what to do next; and that it was
    carried out `before`, and only found.
    """
    output = Output()
    view = shown(found)
    best = view.ranked[:BEST]
    if best:
        columns = _columns(best, found, view.first_keys(KEYS))
        lines, dropped = table(columns, output.width)
        output.show("", *lines)
        if dropped:
            output.show(f"(no room for {', '.join(dropped)})")
    output.show("", *_ending(found, before))


def _columns(best: Sequence[TrialShown], found: Sweep, keys: Sequence[str]) -> list[Column]:
    """The trials in their rank, with their values. Where there is no room the last keys go."""
    names = brief(found.space)
    styles = [_STYLES.get(trial.status, "") for trial in best]
    return [
        Column("trial", [str(trial.number) for trial in best], right=True),
        Column("status", [trial.status for trial in best], styles=styles),
        Column("epochs", [str(trial.epochs) for trial in best], right=True, rank=1),
        Column(short(found.objective.metric, 20), [number(trial.value) for trial in best],
               right=True),
        *(
            Column(names[key], [_value(trial, key) for trial in best], least=8, rank=2 + place)
            for place, key in enumerate(keys)
        ),
    ]  # fmt: skip


def _value(trial: TrialShown, key: str) -> str:
    return short(written(trial.values[key]), VALUE) if key in trial.values else NONE


def _ending(found: Sweep, before: bool) -> Iterator[str]:
    yield from (f"note: {note}" for note in found.notes)
    best = found.best
    if best is not None:
        yield f"best{'' if found.winner else ' so far'}: {headline(best, found)}"
        yield f"  {values(best)}"
    known = sum(trial.known for trial in found.trials)
    notes = [f"; {known} trained before"] * bool(known)
    notes += ["; carried out before, --again does it anew"] * before
    done = ", ".join(states(found)) or "no trial yet"
    yield f"{found.status} in {duration(found.seconds)}: {done}{''.join(notes)}"
    yield f"spent {spent(found, found.whole)}"
    if found.folder is None:
        return
    place = show_store(found.tracking_uri) if found.tracking_uri else str(found.folder.parent)
    experiment = f"experiment '{found.experiment}', " if found.experiment else ""
    yield f"sweep {found.id} in {experiment}{place}"
    yield from _next(found)


def _next(found: Sweep) -> Iterator[str]:
    """What to type next."""
    if found.status in ("KILLED", "FAILED"):
        yield f"go on: {program()} resume {found.id and found.id[:8]}"
        return
    if found.winner is not None:
        yield f"next: {command('predict', found.name)} --data FILE"
    if found.tracking_uri and (look := ui_command(found.tracking_uri)):
        yield f"next: {look}"


def headline(trial: Trial, found: Sweep) -> str:
    """Which trial it is, and how good: `trial 22, val_loss 0.058 after 45 epochs`."""
    metric = found.objective.metric
    others = [
        f"{name} {value:.5g}"
        for name, value in trial.metrics.items()
        if name != metric and name.startswith("test_") and "/" not in name
    ]
    text = f"trial {trial.number}, {metric} {number(trial.value)} after {trial.epochs} epochs"
    return ", ".join([text, *others[:HEADLINES]])


def values(trial: Trial, most: int = 200) -> str:
    """What a trial chose, in a line of so many characters or a few more: `learning_rate 0.1,
    momentum 0.9`.
    """
    parts: list[str] = []
    names = brief(trial.values)
    for key, value in trial.values.items():
        parts.append(f"{names[key]} {short(written(value), VALUE)}")
        if sum(map(len, parts)) > most and len(parts) < len(trial.values):
            return ", ".join([*parts, f"and {len(trial.values) - len(parts)} more"])
    return ", ".join(parts)
