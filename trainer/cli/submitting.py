"""The commands that hand work to a service: a spec, and the files that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.access import WATCHING_SECONDS, ProfileName, Secret, Server, connect
from trainer.cli.jobs import as_json, described
from trainer.cli.options import Again, Config, Json, Quiet, Set
from trainer.cli.streams import console, print_json
from trainer.errors import DataError, SpecError

if TYPE_CHECKING:
    from trainer.client import Client, RemoteJob

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file to send.")]


def submit(
    config: Config,
    set_: Set = None,
    upload_files: Annotated[
        bool, typer.Option("--upload", help="Send the files that the spec names, too.")
    ] = False,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Cross-validate by so many folds.")
    ] = None,
    priority: Annotated[
        int, typer.Option(metavar="N", help="Before your jobs of less; 0 is usual.")
    ] = 0,
    again: Again = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Watch it to its end, and exit as its run would.")
    ] = False,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Queue a spec or a sweep at a service that trains it.

    What was trained before is not trained again: its job is finished at once.

    Example: train submit configs/iris.yaml --set sgd.epochs=200 --wait
    """
    client = connect(server, token, profile, WATCHING_SECONDS if wait else 30.0)
    silent = quiet or json_
    from trainer.cli.outgoing import outgoing

    send = (lambda file: send_file(client, file, silent)) if upload_files else None
    with _advised(upload_files):
        job = client.submit(
            outgoing(config, set_, send), kind="crossval" if folds else None, folds=folds,
            priority=priority, again=again,
        )  # fmt: skip
    if wait:
        from trainer.cli.watching import follow

        follow(client, job, quiet, json_)
    elif json_:
        print_json(as_json(job))
    elif not quiet:
        print(_told(job))


def upload(
    file: File,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Send a file to a service, for specs to name it by its hash.

    What the service has is not sent again, nor what a lost connection has sent already.

    Example: train upload flats.csv
    """
    sha256 = send_file(connect(server, token, profile), file, quiet or json_)
    ending = "".join(file.suffixes[-2:] if file.suffix in (".gz", ".zst", ".bz2", ".xz", ".zip")
                     else file.suffixes[-1:]).removeprefix(".") or "csv"  # fmt: skip
    if json_:
        print_json({"upload": sha256, "as": ending, "bytes": file.stat().st_size})
    elif not quiet:
        print(f"source: {{upload: {sha256}, as: {ending}}}")


def send_file(client: Client, file: Path, silent: bool) -> str:
    """Sends a file, with a bar on a terminal where that takes a while; its hash."""
    with _bar(file, silent) as told:
        return client.upload(file, told)


@contextmanager
def _bar(file: Path, silent: bool) -> Iterator[Callable[[int, int], None] | None]:
    shown = console(stderr=True)
    if silent or not shown.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), DownloadColumn())
    with Progress(*columns, console=shown, transient=True) as bar:
        task = bar.add_task(file.name, total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


@contextmanager
def _advised(upload_files: bool) -> Iterator[None]:
    """Adds to mistakes about files that the service has not what `--upload` is for."""
    try:
        yield
    except (SpecError, DataError) as error:
        if upload_files:
            raise
        hint = "submit it with --upload, which sends the files that it names"
        raise type(error)([
            replace(each, hint=hint) if each.hint and "train upload" in each.hint else each
            for each in error.problems
        ]) from None  # fmt: skip


def _told(job: RemoteJob) -> str:
    """What became of a spec, and what to type next."""
    lines = [described(job)]
    if job.cost.seconds is not None and not job.over:
        lines[0] += f"; it takes about {_seconds(job.cost.seconds)}"
    lines.append(f"id {job.id}")
    if not job.over:
        lines.append(f"next: train watch {job.id[:8]}")
    elif job.known:
        lines.append("next: --again trains it anew")
    return "\n".join(lines)


def _seconds(seconds: float) -> str:
    from trainer.cli.showing import duration

    return duration(seconds)
