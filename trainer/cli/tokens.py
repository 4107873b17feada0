"""The commands that make tokens for users of a service, and the check of its audit log.

They work on the service's database, on its machine; or ask a server that runs, by the token of an
administrator, where `--server` or `--profile` names one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import typer

from trainer.cli.access import ProfileName, Secret, Server, connect
from trainer.cli.commands import STYLE
from trainer.cli.options import Json, Runs
from trainer.cli.places import RUNS
from trainer.cli.streams import print_json
from trainer.errors import UsageError

if TYPE_CHECKING:
    from trainer.service.records import Role, Token
    from trainer.service.store import Store

DAY: Final = 86_400.0


class RoleChoice(StrEnum):
    """What `--role` takes."""

    reader = "reader"
    submitter = "submitter"
    admin = "admin"


Database = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="The service's database. [default: service.db in --runs]"),
]
TokenName = Annotated[str, typer.Argument(metavar="NAME", help="What the token is called.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    **STYLE,
)


@app.callback()
def token() -> None:
    """Make, list and revoke the tokens by which users come in to a service.

    They work on the service's database on its machine, also before it first starts; or through a
    server that runs, if --server or --profile names one, by an administrator's token.

    Example: train token add laptop --user ada --role submitter
    """


@app.command("add")
def add(
    name: TokenName,
    user: Annotated[str, typer.Option(metavar="NAME", help="Whose jobs are submitted by it.")],
    role: Annotated[RoleChoice, typer.Option(help="What it may.")] = RoleChoice.submitter,
    all_: Annotated[
        bool, typer.Option("--all", help="It sees, and by its role steers, the jobs of all.")
    ] = False,
    days: Annotated[
        float | None, typer.Option(min=0, metavar="N", help="For so long. [default: for ever]")
    ] = None,
    runs: Runs = RUNS,
    database: Database = None,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    json_: Json = False,
) -> None:
    """Make a token. Its secret is printed once, and kept nowhere.

    Example: train token add laptop --user ada --role submitter --days 90
    """
    with _tokens(runs, database, server, token, profile) as tokens:
        secret = tokens.add(name, user, role.value, all_, days)
    if json_:
        print_json({"name": name, "user": user, "role": role.value, "token": secret})
    else:
        print(secret)


@app.command("list")
def list_tokens(
    runs: Runs = RUNS,
    database: Database = None,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
    json_: Json = False,
) -> None:
    """List the tokens, without their secrets.

    Example: train token list
    """
    with _tokens(runs, database, server, token, profile) as tokens:
        found = tokens.all()
    if json_:
        print_json({"tokens": [vars(each) for each in found]})
    elif not found:
        print("There are no tokens yet. Make one: train token add NAME --user NAME --role admin")
    else:
        _show(found)


@app.command("revoke")
def revoke(
    name: TokenName,
    runs: Runs = RUNS,
    database: Database = None,
    server: Server = None,
    token: Secret = None,
    profile: ProfileName = None,
) -> None:
    """Have a token let nobody in any more. Jobs that it submitted go on.

    Example: train token revoke laptop
    """
    with _tokens(runs, database, server, token, profile) as tokens:
        tokens.revoke(name)
    print(f"the token '{name}' lets nobody in any more")


def verify(runs: Runs = RUNS, database: Database = None) -> None:
    """Check that no line of the audit log was changed, or taken out of its middle.

    Exits with 7 where one was.

    Example: train service verify
    """
    with _store(runs, database) as store:
        lines = store.verify()
    print(f"the audit log is whole: {lines:,} lines")


# Where tokens are kept --------------------------------------------------------------------------


class Tokens(Protocol):
    """The tokens of a service, wherever they are reached."""

    def add(self, name: str, user: str, role: Role, all_: bool, days: float | None) -> str:
        """Makes one; its secret."""

    def all(self) -> Sequence[Token]:
        """All of them."""

    def revoke(self, name: str) -> None:
        """Has one let nobody in any more."""


class _OfStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, name: str, user: str, role: Role, all_: bool, days: float | None) -> str:
        expires = None if days is None else time.time() + days * DAY
        return self._store.add_token(name, user, role, all_, expires)

    def all(self) -> Sequence[Token]:
        return self._store.tokens()

    def revoke(self, name: str) -> None:
        self._store.revoke(name)


class _OfServer:
    def __init__(self, client: Any) -> None:
        self._client = client

    def add(self, name: str, user: str, role: Role, all_: bool, days: float | None) -> str:
        secret: str = self._client.add_token(name, user, role, sees_all=all_, days=days)
        return secret

    def all(self) -> Sequence[Token]:
        found: Sequence[Token] = self._client.tokens()
        return found

    def revoke(self, name: str) -> None:
        self._client.revoke_token(name)


@contextmanager
def _tokens(
    runs: Path, database: str | None, server: str | None, token: str | None, profile: str | None
) -> Iterator[Tokens]:
    if server or profile:
        if database is not None:
            raise UsageError(
                "--database is for this machine, --server for another: give one", code="TR-U002"
            )
        yield _OfServer(connect(server, token, profile))
        return
    with _store(runs, database) as store:
        yield _OfStore(store)


@contextmanager
def _store(runs: Path, database: str | None) -> Iterator[Store]:
    """The service's records, whether or not a server has them."""
    from trainer.service.store import Database as Opened
    from trainer.service.store import Store

    opened = Opened.open_beside(database, runs)
    try:
        yield Store(opened)
    finally:
        opened.close()


def _show(found: Sequence[Token]) -> None:
    from trainer.cli.tables import Column, Output, table

    output = Output()
    columns = [
        Column("name", [each.name for each in found], least=8),
        Column("user", [each.user for each in found], least=8),
        Column("role", [each.role + " (all)" * each.all for each in found]),
        Column("made", [_day(each.created) for each in found], rank=2),
        Column("used", [_day(each.used) for each in found], rank=1),
        Column("until", [_until(each) for each in found]),
    ]
    output.show(*table(columns, output.width)[0])


def _day(seconds: float | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")


def _until(token: Token) -> str:
    if token.revoked is not None:
        return f"revoked {_day(token.revoked)}"
    return "for ever" if token.expires is None else _day(token.expires)
