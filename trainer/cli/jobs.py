"""The commands that look at the service's jobs and steer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trainer.cli.access import JobReference, ProfileName, Secret, Server, connect, names_a_job
from trainer.cli.options import Json, Quiet
from trainer.cli.streams import print_json

if TYPE_CHECKING:
    from trainer.cli.tables import Column
    from trainer.client import RemoteJob
    from trainer.service.states import State

STYLES: Final = {
    "finished": "green", "running": "cyan", "queued": "", "waiting": "yellow", "paused": "yellow",
    "cancelled": "yellow",
}  # fmt: skip
_NAME_LENGTH: Final = 40
_REASON_LENGTH: Final = 60


class StateChoice(StrEnum):
    """What `--state` takes."""

    queued = "queued"
    waiting = "waiting"
    running = "running"
    paused = "paused"
    finished = "finished"
    diverged = "diverged"
    failed = "failed"
    cancelled = "cancelled"


def jobs(
    state: Annotated[
        list[StateChoice] | None,
        typer.Option("--state", help="Only those in this state; repeatable."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those of this user.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="In the name or the id.")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(metavar="KEY", help="As name or metrics.val_loss; -KEY: the largest first."),
    ] = "-number",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show so many.")] = 20,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    json_: Json = False,
) -> None:
    """List the jobs of a service, the latest first.

    Example: train jobs --state running --state queued
    """
    client = connect(server, token, profile)
    states: list[State] = [each.value for each in state or ()]
    found = list(client.jobs(state=states, user=user, text=text, sort=sort, limit=limit + 1))
    if json_:
        print_json({"jobs": [as_json(job) for job in found[:limit]]})
    elif not found:
        print(f"There are no such jobs at {client.access.server}")
    else:
        _show(found, limit)


def cancel(
    job: JobReference,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """End a job of a service. What it has trained so far is kept.

    Example: train cancel 4f1c2a
    """
    _tell(connect(server, token, profile).cancel(names_a_job(job)), quiet, json_)


def pause(
    job: JobReference,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Have a job of a service wait, saved, until it is resumed.

    Example: train pause 4f1c2a
    """
    _tell(connect(server, token, profile).pause(names_a_job(job)), quiet, json_)


def resume_job(
    job: str, server: str | None, token: str | None, profile: str | None, quiet: bool, json_: bool
) -> None:
    """Goes on with a job of a service, as `train resume` has it."""
    _tell(connect(server, token, profile).resume(names_a_job(job)), quiet, json_)


# What is shown ----------------------------------------------------------------------------------


def as_json(job: RemoteJob) -> dict[str, Any]:
    """A job as `--json` prints it."""
    return asdict(job)


def described(job: RemoteJob) -> str:
    """A job in a line: which, how it is, and what it still waits for."""
    line = f"job {job.id[:8]} '{job.name}' is {job.state}"
    if job.wish is not None:
        doing = {"cancel": "cancelled", "pause": "paused"}[job.wish]
        line += f", and will be {doing} once its worker has saved it"
    elif job.place is not None and job.state == "queued":
        line += f", {job.place - 1} before it" if job.place > 1 else ", next in line"
    elif job.reason:
        line += f": {job.reason}"
    return line


def _tell(job: RemoteJob, quiet: bool, json_: bool) -> None:
    if json_:
        print_json(as_json(job))
    elif not quiet:
        print(described(job))


def _show(found: Sequence[RemoteJob], limit: int) -> None:
    from trainer.cli.tables import Output, table

    output, shown = Output(), found[:limit]
    lines, dropped = table(_columns(shown, output.width), output.width)
    output.show(*lines)
    if dropped:
        output.show(f"(no room for {', '.join(dropped)})")
    if len(found) > limit:
        output.show(f"There are more jobs: show them with --limit {2 * limit}")


def _columns(found: Sequence[RemoteJob], width: int | None) -> list[Column]:
    """What jobs are, and what differs between them. Ids are short on a terminal alone."""
    from trainer.cli.showing import duration, when
    from trainer.cli.tables import Column
    from trainer.report.style import short

    columns = [
        Column("id", [job.id if width is None else job.id[:8] for job in found]),
        Column("name", [short(job.name, _NAME_LENGTH) for job in found], least=12),
        Column("state", [_state(job) for job in found],
               styles=[STYLES.get(job.state, "red") for job in found]),
        Column("done", [_done(job) for job in found], right=True, rank=2),
        Column("submitted", [when(datetime.fromtimestamp(job.created)) for job in found], rank=4),
        Column("trained", [duration(job.seconds) for job in found], right=True, rank=5),
        *_metrics(found),
    ]  # fmt: skip
    others: dict[str, tuple[list[str], int]] = {
        "kind": ([job.kind for job in found], 6),
        "user": ([job.user for job in found], 3),
        "priority": ([str(job.priority) for job in found], 7),
    }
    columns += [Column(k, cells, rank=r) for k, (cells, r) in others.items() if len(set(cells)) > 1]
    if any(job.reason for job in found):
        reasons = [short(job.reason, _REASON_LENGTH) for job in found]
        columns.append(Column("why", reasons, least=16, rank=8))
    return columns


def _state(job: RemoteJob) -> str:
    place = f" ({job.place})" if job.place is not None and job.state == "queued" else ""
    return f"{job.state}{place}{' (known)' * job.known}"


def _done(job: RemoteJob) -> str:
    return f"{job.epoch}/{job.epochs}" if job.epochs else str(job.epoch or "")


def _metrics(found: Sequence[RemoteJob]) -> list[Column]:
    from trainer.cli.showing import number
    from trainer.cli.tables import Column

    names = ("val_loss", "train_loss", "val_accuracy", "test_accuracy")
    return [
        Column(name, [number(job.metrics.get(name)) for job in found], right=True, rank=9 + i)
        for i, name in enumerate(names)
        if any(name in job.metrics for job in found)
    ]
