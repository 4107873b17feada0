"""What a person sees of a run: a live bar on a terminal, plain lines elsewhere, a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from trainer.cli.hints import show_store, ui_command
from trainer.metrics import METRICS
from trainer.training import EpochDone, Event, Job, StepsDone

if TYPE_CHECKING:
    from trainer.training.result import Run

PLAIN_LINES: Final = 10
REFRESH_SECONDS: Final = 0.1
READING_SECONDS: Final = 5.0
_SHOWN: Final = {"train_loss": "loss", "val_loss": "val", "grad_norm": "|grad|"}


class Progress:
    """A listener that shows how far training is, on standard error."""

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        self._job: Job
        self._bar: Any = None
        self._task: Any = None
        self._shown: dict[str, float] = {}
        self._rows = 0
        self._began = time.monotonic()
        self._drawn = 0.0

    def reading(self, what: str, rows: int) -> None:
        """Says, every few seconds, how much of a table that stays on disk is read."""
        if time.monotonic() - self._began >= READING_SECONDS:
            self._began = time.monotonic()
            print(f"{rows:,} rows {what}", file=sys.stderr)

    def start(self, job: Job) -> None:
        """Says what is about to be trained and shows the bar."""
        self._job = job
        self.notes = job.dataset.notes
        self._began = time.monotonic()
        spec, data = job.spec, job.dataset
        numbers = sum(value.size for value in job.initial.values())
        print(
            f"{spec.name}: {numbers:,} parameters, {len(data.train):,} training rows, "
            f"{spec.sgd.epochs} epochs of {job.steps_per_epoch} steps",
            file=sys.stderr,
        )
        if sys.stderr.isatty():
            self._start_bar()

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        total = self._job.steps_per_epoch * self._job.spec.sgd.epochs
        self._task = self._bar.add_task("", total=total, epoch="1", numbers="")
        self._bar.start()

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on(self, event: Event) -> None:
        """Shows one event."""
        if isinstance(event, StepsDone):
            self._rows += event.steps.rows
            self._shown["loss"] = float(event.steps.losses[-1])
            self._shown["|grad|"] = float(event.steps.grad_norms[-1])
            now = time.monotonic()
            if self._bar is not None and now - self._drawn > REFRESH_SECONDS:
                self._drawn = now
                self._draw(event.epoch, event.first + len(event.steps.losses) - 1)
        elif isinstance(event, EpochDone):
            for metric, label in _SHOWN.items():
                if metric in event.metrics:
                    self._shown[label] = event.metrics[metric]
            if self._bar is None and event.epoch:
                self._line(event.epoch)
        elif event.status == "FINISHED" and event.reason:
            self.notes = (*self.notes, event.reason)

    def _numbers(self) -> str:
        parts = [f"{k} {self._shown[k]:.4g}" for k in ("loss", "val", "|grad|") if k in self._shown]
        speed = self._rows / max(time.monotonic() - self._began, 1e-9)
        return "  ".join([*parts, f"{speed:,.0f} examples/s"])

    def _draw(self, epoch: int, done: int) -> None:
        epochs = f"{epoch}/{self._job.spec.sgd.epochs}"
        self._bar.update(self._task, completed=done, epoch=epochs, numbers=self._numbers())

    def _line(self, epoch: int) -> None:
        epochs = self._job.spec.sgd.epochs
        if epoch * PLAIN_LINES // epochs != (epoch - 1) * PLAIN_LINES // epochs:
            left = (time.monotonic() - self._began) / epoch * (epochs - epoch)
            epoch_text = f"{epoch:>{len(str(epochs))}}/{epochs}"
            print(f"epoch {epoch_text}  {self._numbers()}  {left:.0f} s left", file=sys.stderr)


def summarise(run: Run, notes: tuple[str, ...]) -> str:
    """The table of results, where the run is, and what to type next."""
    lines = ["", *_results(run.metrics)]
    best = next((name for name in run.metrics if name.startswith("best_val_")), None)
    if best is not None:
        name, epoch = best.removeprefix("best_val_"), int(run.metrics["best_epoch"])
        lines.append(f"best validation {name} {run.metrics[best]:.5g} after epoch {epoch}")
    lines += [f"note: {note}" for note in notes]
    lines += [f"gradients: {finding}" for finding in run.findings]
    lines.append("")
    lines.append(f"{run.status} in {run.seconds:.1f} s: {run.epochs} epochs, {run.steps} steps")
    if run.run_id is not None:
        place = show_store(run.tracking_uri or "")
        lines.append(f"run {run.run_id} in experiment '{run.experiment}', {place}")
        lines.append(f"next: {ui_command(run.tracking_uri or '')}")
    return "\n".join(lines)


def _results(metrics: Mapping[str, float]) -> Iterator[str]:
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
