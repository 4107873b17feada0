"""The command that watches a job of the service, and how what it does is shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trainer.cli.access import (
    WATCHING_SECONDS,
    JobReference,
    ProfileName,
    Secret,
    Server,
    connect,
    names_a_job,
)
from trainer.cli.hints import warn
from trainer.cli.jobs import as_json, described
from trainer.cli.options import Json, Quiet
from trainer.cli.progress import PLAIN_LINES, SHOWN, result_lines
from trainer.cli.signals import signals_caught
from trainer.cli.streams import console, print_json
from trainer.errors import DivergedError, InterruptedRun, RunError, UsageError, visible

if TYPE_CHECKING:
    from trainer.client import Client, RemoteJob
    from trainer.service.records import Event

COUNTED: Final = {"train": "epoch", "sweep": "trial", "crossval": "fold"}
"""What a job of each kind counts."""


def watch(
    job: JobReference,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Show how far a job of a service is, to its end, and exit as its run would.

    Ctrl-C stops the watching and not the job.

    Example: train watch 4f1c2a
    """
    client = connect(server, token, profile, WATCHING_SECONDS)
    follow(client, client.job(names_a_job(job)), quiet, json_)


def follow(client: Client, job: RemoteJob, quiet: bool, json_: bool) -> None:
    """Shows a job to its end. Raises a `RunError` for one that did not come to a good end."""
    with signals_caught(f"no longer watched; the job goes on: train watch {job.id[:8]}"):
        over = _shown(client, job, quiet or json_)
    ended = Watched(over, _outcome(client, over))
    if json_:
        print_json(ended.as_json())
    elif not quiet:
        print(summarise(ended, client.access.server), flush=True)
    error = _failure(over)
    if error is not None:
        error.run = ended
        raise error


@dataclass(frozen=True)
class Watched:
    """A job that is over, and what came out of its run."""

    job: RemoteJob
    outcome: Mapping[str, Any]

    @property
    def status(self) -> str:
        """How it ended."""
        return self.job.state

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints: the job, and under `outcome` what its run tells."""
        return {**as_json(self.job), "outcome": dict(self.outcome)}


def _shown(client: Client, job: RemoteJob, silent: bool) -> RemoteJob:
    if job.over:
        return job
    if silent:
        return client.wait(job)
    progress = WatchProgress(job)
    try:
        for event in client.events(job):
            progress.on(event)
    finally:
        progress.stop()
    return client.job(job)


def _outcome(client: Client, job: RemoteJob) -> Mapping[str, Any]:
    """What its run tells; nothing where it has none, or cannot be read."""
    with suppress(UsageError):
        return client.run(job)
    return {}


def _failure(job: RemoteJob) -> RunError | None:
    """How it ended, as the error that the run's own command would end with."""
    text = f"job {job.id[:8]} {job.state}" + f": {job.reason}" * bool(job.reason)
    if job.state == "diverged":
        return DivergedError(text)
    if job.state == "cancelled":
        return InterruptedRun(text, code="TR-V020")
    return RunError(text, code="TR-V020") if job.state == "failed" else None


class WatchProgress:
    """Shows the events of a job on standard error: a live bar on a terminal, elsewhere a line for
    each tenth of the way, as `train run` has it.
    """

    def __init__(self, job: RemoteJob) -> None:
        self._job = job
        self._counted = COUNTED[job.kind]
        self._begun: tuple[float, int] | None = None
        self._shown: dict[str, float] = {}
        self._done = 0
        self._bar: Any = None
        self._task: Any = None
        print(described(job), file=sys.stderr)

    def on(self, event: Event) -> None:
        """Shows one event."""
        if event.kind == "progress":
            self._progress(event)
        elif event.kind == "state":
            self._state(event)
        else:
            warn(str(event.data.get("text", "")))

    def stop(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _state(self, event: Event) -> None:
        state, reason = str(event.data.get("to")), str(event.data.get("reason") or "")
        self.stop()
        self._begun = (event.time, self._done) if state == "running" else None
        if state == "running" and sys.stderr.isatty():
            self._start_bar()
        line = state + f": {reason}" * bool(reason)
        if state == "paused":
            line += f"; go on with: train resume {self._job.id[:8]}"
        print(visible(line), file=sys.stderr)

    def _progress(self, event: Event) -> None:
        done, total = _count(event.data.get("epoch")), _count(event.data.get("epochs"))
        before, self._done = self._done, done
        for name, points in _points(event.data.get("series")):
            if name in SHOWN:
                self._shown[SHOWN[name]] = points
        total = total or self._job.epochs or 0
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, total=total or None, numbers=self._numbers(),
                count=f"{done}/{total}" if total else str(done),
            )  # fmt: skip
        elif total and done * PLAIN_LINES // total != before * PLAIN_LINES // total:
            print(self._line(event.time, done, total), file=sys.stderr)

    def _line(self, time: float, done: int, total: int) -> str:
        count = f"{done:>{len(str(total))}}/{total}"
        parts = [f"{self._counted} {count}", self._numbers()]
        if self._begun is not None and done > self._begun[1]:
            since, first = self._begun
            left = max(0.0, time - since) / (done - first) * (total - done)
            parts.append(f"{left:.0f} s left")
        return "  ".join(part for part in parts if part)

    def _numbers(self) -> str:
        return "  ".join(f"{label} {value:.4g}" for label, value in self._shown.items())

    def _start_bar(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn(f"{self._counted} {{task.fields[count]}}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console(stderr=True),
            transient=True,
        )
        total = self._job.epochs
        self._task = self._bar.add_task("", total=total, completed=self._done, count="", numbers="")
        self._bar.start()


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _points(series: object) -> list[tuple[str, float]]:
    """The last value of each series."""
    found = series if isinstance(series, dict) else {}
    return [
        (name, points[-1][1])
        for name, points in found.items()
        if points and isinstance(points[-1][1], int | float)
    ]


def summarise(ended: Watched, server: str) -> str:
    """The table of results, how it ended, and where its run is."""
    job, outcome = ended.job, ended.outcome
    measured = outcome.get("metrics") or job.metrics
    metrics = {name: value for name, value in measured.items() if isinstance(value, int | float)}
    if job.kind == "train":
        rows = list(result_lines(metrics)) if metrics else []
    else:
        rows = [f"{name:<24} {value:.5g}" for name, value in metrics.items() if "/" not in name]
    lines = ["", *rows] if rows else []
    for word in ("notes", "findings"):
        lines += [f"{word[:-1]}: {text}" for text in outcome.get(word) or ()]
    known = "; trained before, --again trains it anew" if job.known else ""
    counted = f"{job.epoch} {COUNTED[job.kind]}{'s' * (job.epoch != 1)}"
    steps = f", {job.step} steps" * (job.kind == "train")
    lines += ["", f"{job.state.upper()} in {job.seconds:.1f} s: {counted}{steps}{known}"]
    return "\n".join([*lines, f"job {job.id} at {server}"])
