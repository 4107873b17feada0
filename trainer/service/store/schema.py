"""The database's tables are made, or brought to what this version needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from trainer.errors import UsageError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSION_TABLE: Final = "trainer_version"
"""The table that says of which version the others are."""
_version: Final = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))


def migrate(connection: Connection, name: str) -> None:
    """Makes the tables, or changes those of an older version, in the connection's transaction.

    Raises `UsageError` for a database `name` that a later version made, or another program.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    _check(connection, name, {revision.revision for revision in script.walk_revisions()})
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check(connection: Connection, name: str, known: set[str]) -> None:
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            raise UsageError(
                f"the database {name} holds the tables of something else: "
                f"{', '.join(sorted(tables)[:3])}{', …' if len(tables) > 3 else ''}\n"
                "  hint: give the service a database of its own",
                code="TR-A003",
            )
        return
    for version in connection.execute(select(_version.c.version_num)).scalars():
        if version not in known:
            raise UsageError(
                f"the database {name} was made by a later version of trainer: its tables are "
                f"those of '{version}'\n  hint: install that version, or use another database",
                code="TR-A003",
            )
