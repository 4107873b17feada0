"""The options that say which service a command asks, and what it may."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.hints import warn
from trainer.errors import UsageError

if TYPE_CHECKING:
    from trainer.client import Client

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="The service. [default: $TRAINER_SERVER]"),
]
Secret = Annotated[
    str | None,
    typer.Option(
        "--token", metavar="TOKEN", help="Better in $TRAINER_TOKEN, which no list of commands has."
    ),
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME|FILE",
        help="Says server and token. [default: profile]",
    ),
]
JobReference = Annotated[
    str, typer.Argument(metavar="JOB", help="The id of a job, or the beginning of one.")
]
WATCHING_SECONDS: Final = 300.0
"""For so long a service may be away while a job is watched."""
QUEUE: Final = "service.db"
"""In a folder of runs it says that they are a service's."""
_ID: Final = re.compile("[0-9a-f]{6,32}")


def connect(
    server: str | None, token: str | None, profile: str | None, patience: float = 30.0
) -> Client:
    """A client of the service that the options name, or variables or a profile do."""
    from trainer.client import Client

    client = Client(server, token, profile=profile, patience=patience)
    if client.access.in_the_clear:
        warn(f"the token can be read on its way to {client.access.server}: use https://")
    return client


def is_elsewhere(run: str, runs: Path, server: str | None, profile: str | None) -> bool:
    """Whether `train resume` is for a job of a service: one is named; or there is one by the
    variables or the default profile, and no run here is called so but those of a service itself.
    """
    if server or profile or not _ID.fullmatch(run):
        return bool(server or profile)
    from trainer.checkpoints.folder import find_folder

    try:
        find_folder(runs, run)
        own = not (runs / QUEUE).exists()
    except UsageError:
        own = False
    if own:
        return False
    from trainer.client import known_access

    return known_access() is not None


def names_a_job(reference: str) -> str:
    """The reference, if a job may have it as its id. Raises `UsageError`."""
    if not _ID.fullmatch(reference):
        hint = "the ids are those of `train jobs`, of which six characters are enough"
        raise UsageError(f"'{reference}' is no id of a job\n  hint: {hint}", code="TR-V006")
    return reference
