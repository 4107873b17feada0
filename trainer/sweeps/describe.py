"""What a sweep says of itself: its page in MLflow, its metrics and tags, and what it leaves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from trainer.checkpoints.facts import WINNER_TAG, Outcome
from trainer.report.choices import written
from trainer.report.recorded import DIVERGED_TAG, OBJECTIVE_TAG
from trainer.report.style import short
from trainer.report.sweeps import TABLE, SweepShown, TrialShown, write_sweep
from trainer.sweeps.standing import Objective, Sweep, Trial
from trainer.sweeps.winner import leave_winner

if TYPE_CHECKING:
    from trainer.checkpoints.folder import RunFolder
    from trainer.sweeps.declaration import SweepSpec

BEST: Final = 10
"""Trials that a table shows."""
DECISIONS_TAG: Final = "trainer.decisions_sha256"
KEYS: Final = 8  # of a table of trials, for which a page has room
ROOM: Final = 3000  # characters of the rows of a table: MLflow cuts a tag of more than 8000
VALUE: Final = 40  # characters of a value
STATES: Final[Mapping[str, str]] = {
    "finished": "finished", "waiting": "stopped at a rung", "diverged": "diverged",
    "failed": "failed", "running": "running", "queued": "to come",
}  # fmt: skip
"""The statuses of trials, in words for people."""


# What it leaves ---------------------------------------------------------------------------------


def leave_sweep(folder: RunFolder, found: Sweep, spec: SweepSpec) -> None:
    """Writes the winner's model and files, the table of trials and the pictures into the folder of
    a sweep that is held. Raises what `leave_winner` raises, and whatever a picture meets.
    """
    try:
        if found.winner is not None:
            leave_winner(folder, folder.path.parent / found.winner.id)
    finally:
        write_sweep(shown(found, spec), folder.files)


def shown(found: Sweep, spec: SweepSpec | None = None) -> SweepShown:
    """The sweep as its pictures and tables need it."""
    winner = found.winner
    return SweepShown(
        name=found.name,
        metric=found.objective.metric,
        maximise=found.objective.maximise,
        space=found.space,
        trials=[_trial_shown(trial) for trial in found.trials],
        winner=None if winner is None else winner.number,
        whole=spec.rungs[-1] if spec is not None else 0,
    )


def _trial_shown(trial: Trial) -> TrialShown:
    return TrialShown(
        trial.number, trial.id, trial.status, trial.values, trial.epochs, trial.results,
        trial.reason,
    )  # fmt: skip


# What it says -----------------------------------------------------------------------------------


def describe_sweep(found: Sweep, spec: SweepSpec, reason: str = "") -> Outcome:
    """How the sweep ended: its description, metrics, the series of the best by trial, its tags."""
    numbers, values = _bests(found)
    tags = {OBJECTIVE_TAG: objective_tag(found.objective), DECISIONS_TAG: found.decisions_sha256}
    if found.winner is not None:
        tags |= _winner_tags(found.winner)
    if found.status == "DIVERGED":
        tags[DIVERGED_TAG] = reason[:5000] or "no trial came to a good end"
    return Outcome(
        found.status, 0, 0, reason, _metrics(found, spec),
        parameters_sha256=found.winner.parameters_sha256 or None if found.winner else None,
        description=list(page(found, spec)), tags=tags, seconds=found.seconds,
        curves={best_name(found.objective): [numbers, values]} if numbers else {},
    )  # fmt: skip


def objective_tag(objective: Objective) -> str:
    """What trials are compared by, as the tag of a sweep says it from its start on."""
    return f"{'maximise' if objective.maximise else 'minimise'} {objective.metric}"


def best_name(objective: Objective) -> str:
    """The metric of a sweep that has its best: `best_val_loss`."""
    return f"best_{objective.metric.removeprefix('best_')}"


def _bests(found: Sweep) -> tuple[list[float], list[float]]:
    """The best value after each trial that finished, by its number."""
    numbers: list[float] = []
    values: list[float] = []
    loss = found.objective.loss
    for trial in found.trials:
        value = trial.value
        if trial.status == "finished" and value is not None and math.isfinite(value):
            numbers.append(float(trial.number))
            values.append(min([*values[-1:], value], key=loss))
    return numbers, values


def _winner_tags(winner: Trial) -> dict[str, str]:
    """Which trial it is, and what it chose."""
    own = {WINNER_TAG: winner.id, f"{WINNER_TAG}.trial": str(winner.number)}
    return own | {f"{WINNER_TAG}.{key}": short(written(v), 500) for key, v in winner.values.items()}


def _metrics(found: Sweep, spec: SweepSpec) -> dict[str, float]:
    """The winner's metrics, of how many trials became what, and what was spent."""
    metrics: dict[str, float] = {}
    if found.winner is not None:
        best = best_name(found.objective)
        metrics |= {n: v for n, v in found.winner.metrics.items() if n != best}
    counts: Counter[str] = Counter(trial.status for trial in found.trials)
    metrics |= {f"trials/{status}": float(counts[status]) for status in STATES if counts[status]}
    metrics |= {"trials/planned": float(found.planned), "epochs/spent": float(found.epochs)}
    return metrics | {"epochs/whole": float(found.planned * spec.rungs[-1])}


# The page ---------------------------------------------------------------------------------------


def page(found: Sweep, spec: SweepSpec) -> Iterator[str]:
    """The description in Markdown: what came out, how to use it, the best trials, the space."""
    keys, best = len(found.space), found.best
    yield f"**{found.name}**: {found.planned} trials of {keys} key{'s' * (keys != 1)}"
    yield ""
    if best is not None and best.value is not None:
        word = "Best" if found.winner else f"Best so far, after {best.epochs} epochs"
        yield f"- {word}: trial {best.number}, {found.objective.metric} {best.value:.5g}"
    how = "" if found.status == "FINISHED" else f"{found.status.lower()}; "
    yield f"- Trials: {how}{', '.join(states(found)) or 'none yet'}"
    yield f"- Spent: {spent(found, spec.rungs[-1])}"
    for command in _commands(found):
        yield f"- {command}"
    if best is not None:
        yield from ("", "### The best trials", "", *_best_trials(found))
    yield from ("", "### The space", "", *_space(found))


def states(found: Sweep) -> list[str]:
    """How many trials became what, in words."""
    counts: Counter[str] = Counter(trial.status for trial in found.trials)
    coming = found.planned - len(found.trials)
    counts["queued"] += coming if found.status in ("KILLED", "PAUSED") else 0
    return [f"{counts[status]} {words}" for status, words in STATES.items() if counts[status]]


def spent(found: Sweep, whole: int) -> str:
    """The epochs that were spent, against those that all trials would take whole."""
    most = found.planned * whole
    share = f", {found.epochs / most:.0%} of the {most:,} that all whole would take" if most else ""
    return f"{found.epochs:,} epoch{'s' * (found.epochs != 1)}{share}"


def _commands(found: Sweep) -> Iterator[str]:
    if found.winner is not None:
        yield f"Predict: `train predict {found.name} --data rows.csv`"
        yield f"Compare: `train compare --sweep {found.name} --best 5`"
    if found.status in ("KILLED", "FAILED", "PAUSED"):
        yield f"Go on: `train resume {found.name}`"
    else:
        yield f"Reproduce: `train reproduce {found.name}`"


def _best_trials(found: Sweep) -> Iterator[str]:
    """A row a trial, the best first."""
    view = shown(found)
    keys = view.first_keys(KEYS)
    yield from _table(
        ["trial", "status", "epochs", found.objective.metric, *keys],
        [
            [str(trial.number), STATES[trial.status], str(trial.epochs), f"{trial.value:.5g}",
             *(_cell(trial.values.get(key)) for key in keys)]
            for trial in view.ranked[:BEST]
        ],
        len(found.trials) - len(view.ranked[:BEST]), TABLE,
    )  # fmt: skip


def _space(found: Sweep) -> Iterator[str]:
    """A row a key: what was declared, and what the winner chose."""
    best = found.best
    keys = list(found.space)
    rows = [
        [f"`{key}`", _cell(declared(found.space[key])),
         "" if best is None or key not in best.values else _cell(best.values[key])]
        for key in keys
    ]  # fmt: skip
    yield from _table(["key", "values", "the best"], rows, 0, "config/resolved.yaml")


def declared(dimension: Any) -> str:
    """What was declared of a key: `0.0001 … 0.3, log`, `8, 16, 32`."""
    if not isinstance(dimension, Mapping):
        return written(dimension)
    if "values" in dimension:
        return ", ".join(map(written, dimension["values"]))
    for kind in ("log", "uniform", "integers"):
        ends = dimension.get(kind)
        if isinstance(ends, list | tuple) and len(ends) == 2:
            log = ", log" if kind == "log" or dimension.get("log") else ""
            whole = ", whole" if kind == "integers" else ""
            return f"{written(ends[0])} … {written(ends[1])}{log}{whole}"
    return written(dimension)


def _cell(value: Any) -> str:
    """A value in a cell of a table in Markdown."""
    text = short(value if isinstance(value, str) else written(value), VALUE)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], more: int, where: str
) -> Iterator[str]:
    """A table with as many rows as there is room for, and how many `more` there are in all."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    room = ROOM
    for i, row in enumerate(rows):
        line = f"| {' | '.join(row)} |"
        room -= len(line)
        if room < 0:
            more += len(rows) - i
            break
        yield line
    if more:
        yield from ("", f"and {more} more, in `{where}`")
