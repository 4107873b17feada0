"""What a person sees of a run: a live bar on a terminal, plain lines elsewhere, a summary."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from trainer.cli.hints import show_store, ui_command, warn
from trainer.cli.streams import console
from trainer.metrics import METRICS
from trainer.training import (
    Ended,
    EpochDone,
    Event,
    Reading,
    Run,
    Started,
    StepsDone,
    Trained,
    Warned,
)

PLAIN_LINES: Final = 10
REFRESH_SECONDS: Final = 0.1
READING_SECONDS: Final = 5.0
SHOWN: Final = {"train_loss": "loss", "val_loss": "val", "grad_norm": "|grad|"}
"""What is shown while it trains, by the name of its series."""


class Progress:
    """A listener that shows how far training is, on standard error, and with `results` what came
    out, on standard output.
    """

    def __init__(self, results: bool = True) -> None:
        self._results = results
        self._started: Started
        self._bar: Any = None
        self._task: Any = None
        self._shown: dict[str, float] = {}
        self._rows = 0
        self._began = time.monotonic()
        self._drawn = 0.0

    def on(self, event: Event) -> None:
        """Shows one event."""
        match event:
            case StepsDone():
                self._steps(event)
            case EpochDone():
                self._epoch(event)
            case Reading():
                self._reading(event)
            case Started():
                self._start(event)
            case Warned():
                only_warnings(event)
            case Ended():
                self.stop()
            case Trained() if self._results:
                print(summarise(event.run), flush=True)

    def _reading(self, event: Reading) -> None:
        """Says what is read, and every few seconds how much of a table that stays on disk."""
        if not event.rows:
            print(event.what, file=sys.stderr)
        elif time.monotonic() - self._began >= READING_SECONDS:
            self._began = time.monotonic()
            print(f"{event.rows:,} rows {event.what}", file=sys.stderr)

    def _start(self, event: Started) -> None:
        """Says what is about to be trained and shows the bar."""
        self._started = event
        self._began = time.monotonic()
        self._rows = 0
        print(
            f"{event.name}: {event.parameters:,} parameters, {event.rows:,} training rows, "
            f"{event.epochs} epochs of {event.steps_per_epoch} steps",
            file=sys.stderr,
        )
        if sys.stderr.isatty():
            self._start_bar()

    def _start_bar(self) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console(stderr=True),
            transient=True,
        )
        total = self._started.steps_per_epoch * self._started.epochs
        self._task = self._bar.add_task("", total=total, epoch="1", numbers="")
        self._bar.start()

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _steps(self, event: StepsDone) -> None:
        self._rows += event.steps.rows
        self._shown["loss"] = float(event.steps.losses[-1])
        self._shown["|grad|"] = float(event.steps.grad_norms[-1])
        now = time.monotonic()
        if self._bar is not None and now - self._drawn > REFRESH_SECONDS:
            self._drawn = now
            self._draw(event.epoch, event.first + len(event.steps.losses) - 1)

    def _epoch(self, event: EpochDone) -> None:
        for metric, label in SHOWN.items():
            if metric in event.metrics:
                self._shown[label] = event.metrics[metric]
        if self._bar is None and event.epoch:
            self._line(event.epoch)

    def _numbers(self) -> str:
        parts = [f"{k} {self._shown[k]:.4g}" for k in ("loss", "val", "|grad|") if k in self._shown]
        speed = self._rows / max(time.monotonic() - self._began, 1e-9)
        return "  ".join([*parts, f"{speed:,.0f} examples/s"])

    def _draw(self, epoch: int, done: int) -> None:
        epochs = f"{epoch}/{self._started.epochs}"
        self._bar.update(self._task, completed=done, epoch=epochs, numbers=self._numbers())

    def _line(self, epoch: int) -> None:
        epochs = self._started.epochs
        if epoch * PLAIN_LINES // epochs != (epoch - 1) * PLAIN_LINES // epochs:
            left = (time.monotonic() - self._began) / epoch * (epochs - epoch)
            epoch_text = f"{epoch:>{len(str(epochs))}}/{epochs}"
            print(f"epoch {epoch_text}  {self._numbers()}  {left:.0f} s left", file=sys.stderr)


def only_warnings(event: Event) -> None:
    """Shows what went wrong beside the training, and nothing else."""
    if isinstance(event, Warned):
        warn(event.message)


def summarise(run: Run) -> str:
    """The table of results, where the run is, and what to type next."""
    lines = ["", *result_lines(run.metrics)]
    best = next((name for name in run.metrics if name.startswith("best_val_")), None)
    if best is not None:
        name, epoch = best.removeprefix("best_val_"), int(run.metrics["best_epoch"])
        lines.append(f"best validation {name} {run.metrics[best]:.5g} after epoch {epoch}")
    lines += [f"note: {note}" for note in run.notes]
    lines += [f"finding: {finding}" for finding in run.findings]
    known = "; trained before, --again trains it anew" if run.known else ""
    done = f"{run.epochs} epochs, {run.steps} steps{known}"
    lines += ["", f"{run.status} in {run.seconds:.1f} s: {done}"]
    if run.folder is not None and run.tracking_uri is None:
        lines.append(f"run {run.id} in {os.path.relpath(run.folder.parent)}")
    elif run.folder is not None and run.tracking_uri is not None:
        place = show_store(run.tracking_uri)
        experiment = f"experiment '{run.experiment}', " if run.experiment else ""
        lines.append(f"run {run.id} in {experiment}{place}")
        if look := ui_command(run.tracking_uri):
            lines.append(f"next: {look}")
    return "\n".join(lines)


def result_lines(metrics: Mapping[str, float]) -> Iterator[str]:
    """The last values of the loss and the scores, a line each, by the parts of the data."""
    titles = {"train": "train", "val": "validation", "test": "test"}
    columns = [part for part in titles if f"{part}_loss" in metrics]
    rows: dict[str, list[str]] = {}
    for score in ("loss", *METRICS):
        cells = [metrics.get(f"{column}_{score}") for column in columns]
        shown = ["" if cell is None else f"{cell:.5g}" for cell in cells]
        if any(shown) and not _repeats(score, shown, rows):
            rows[score] = shown
    width = max([10, *(len(score) + 2 for score in rows)])
    yield " " * width + "".join(f"{titles[column]:>12}" for column in columns)
    for score, shown in rows.items():
        yield f"{score:<{width}}" + "".join(f"{cell:>12}" for cell in shown).rstrip()


def _repeats(score: str, shown: Sequence[str], rows: Mapping[str, Sequence[str]]) -> bool:
    """Whether a log loss is what the loss says already."""
    pairs = zip(shown, rows.get("loss", shown), strict=True)
    return score == "log_loss" and all(cell in ("", loss) for cell, loss in pairs)
