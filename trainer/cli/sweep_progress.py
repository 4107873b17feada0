"""How far a sweep is: a live table on a terminal, plain lines elsewhere, on standard error."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from trainer.cli.hints import warn
from trainer.cli.showing import duration, number
from trainer.cli.streams import console
from trainer.cli.sweep_result import headline, values
from trainer.cli.tables import Column, table
from trainer.errors import visible
from trainer.report.style import short
from trainer.sweeps.describe import STATES
from trainer.sweeps.standing import Standing, Sweep, SweepEvent, Trial

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_LINES: Final = 10
"""Of how many trials are done, where there is no terminal; each better one has its own."""
REFRESH_SECONDS: Final = 0.25
BUSY: Final = 8
"""Trials in training that the table has room for."""


class SweepProgress:
    """A listener that shows how far a sweep is, or if `silent` what went wrong alone."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent
        self._live: Any = None
        self._console: Any = None
        self.begun = False
        """Whether anything was heard of a sweep that goes on."""
        self._drawn = 0.0
        self._done = 0
        self._best: tuple[int, float | None] | None = None

    def on(self, event: SweepEvent) -> None:
        """Shows one event."""
        if not isinstance(event, Standing):
            warn(_briefly(event.message))
            return
        first, self.begun = not self.begun, True
        if self._silent:
            return
        if first:
            self._begin(event)
        self._stand(event)

    def stop(self) -> None:
        """Takes the table away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _stand(self, event: Standing) -> None:
        if self._live is None:
            self._lines(event)
        elif time.monotonic() - self._drawn >= REFRESH_SECONDS:
            self._drawn = time.monotonic()
            self._live.update(picture(event, self._console.width), refresh=True)

    def _begin(self, event: Standing) -> None:
        found = event.sweep
        keys, workers = len(found.space), event.workers
        print(visible(
            f"{found.name}: {found.planned} trials of {keys} key{'s' * (keys != 1)}, "
            f"{workers} worker{'s' * (workers != 1)}"
        ), file=sys.stderr)  # fmt: skip
        if sys.stderr.isatty():
            from rich.live import Live

            self._console = console(stderr=True)
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()

    # Plain lines ---------------------------------------------------------------------------

    def _lines(self, event: Standing) -> None:
        """A line where a better trial is there, and some of how many are done."""
        found = event.sweep
        best, done = found.best, settled(found)
        if best is not None and (best.number, best.value) != self._best:
            self._best = best.number, best.value
            _say(f"best so far: {headline(best, found)}: {values(best)}")
        planned = max(found.planned, 1)
        if done * PLAIN_LINES // planned > self._done * PLAIN_LINES // planned:
            self._done = done
            _say(f"{done}/{found.planned} trials: {told(found)}{left(event)}")


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr)


def _briefly(message: str) -> str:
    """What is told of a trial that came to no good end, in a line: there may be many."""
    return message.splitlines()[0] if message.startswith("trial ") else message


def settled(found: Sweep) -> int:
    """How many trials have a result."""
    return sum(bool(trial.results) or trial.ended for trial in found.trials)


def told(found: Sweep) -> str:
    """How many trials are what, and the epochs that were spent."""
    counts: Counter[str] = Counter(trial.status for trial in found.trials)
    counts["queued"] += found.planned - len(found.trials)
    parts = [f"{counts[status]} {words}" for status, words in STATES.items() if counts[status]]
    return ", ".join([*parts, f"{found.epochs:,} epochs"])


def left(event: Standing) -> str:
    """The time until the end, if it can be told."""
    return "" if event.left is None else f", about {duration(event.left)} left"


# The live table ---------------------------------------------------------------------------------


def picture(event: Standing, width: int) -> RenderableType:
    """What runs, how many are what, the best so far, and the time that is left, so many characters
    wide.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    found = event.sweep
    running = [trial for trial in found.trials if trial.status == "running"]
    shown = [("running", trial) for trial in running[:BUSY]]
    if found.best is not None:
        shown.append(("best", found.best))
    part = found.seconds / (found.seconds + event.left) if event.left is not None else 0.0
    lines = [Text(short(f"{told(found)}{left(event)}", width))]
    if shown:
        lines += table(_columns(shown), width)[0]
    if len(running) > BUSY:
        lines.append(Text(f"and {len(running) - BUSY} more that run", "dim"))
    bar = ProgressBar(total=1.0, completed=part, width=width)
    return Group(Padding(bar), *lines)


def _columns(shown: Sequence[tuple[str, Trial]]) -> list[Column]:
    """Trials with where they are and what they chose."""
    styles = ["bold green" if what == "best" else "cyan" for what, _ in shown]
    places = [
        f"to epoch {t.rung}" if what == "running" else f"after {t.epochs} epochs"
        for what, t in shown
    ]
    return [
        Column("", [what for what, _ in shown], styles=styles),
        Column("trial", [str(trial.number) for _, trial in shown], right=True),
        Column("result", [number(trial.value) for _, trial in shown], right=True),
        Column("", places, rank=1),
        Column("values", [values(trial, 1000) for _, trial in shown], least=20),
    ]
