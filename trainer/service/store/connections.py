"""Where the database is, and how it is spoken to.

With SQLite whoever writes begins by saying so (`BEGIN IMMEDIATE`), and each commit is on the disk;
who reads has a connection that cannot write. With PostgreSQL a read sees one moment of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from trainer.addresses import shown_address
from trainer.errors import UsageError
from trainer.extras import install

DEFAULT: Final = "service.db"
BUSY_SECONDS: Final = 30
READERS: Final = 8
MORE_READERS: Final = 56
"""Beside the readers that stay: each request may read, and there are at most so many at once."""
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")
# A server that is gone is noticed within half a minute.
_PATIENCE: Final = {
    "connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5",
    "keepalives_count": "4", "tcp_user_timeout": "30000", "application_name": "trainer",
}  # fmt: skip


def url_of(address: str | None, folder: Path) -> URL:
    """The database's address as SQLAlchemy has it; by default it is a file of SQLite in the folder.

    Raises `UsageError`.
    """
    if address is None:
        return URL.create("sqlite", database=str((folder / DEFAULT).absolute()))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise _no_address(address) from None
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        path = Path(str(url.database))
        return URL.create("sqlite", database=str(path.absolute()))
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg").update_query_dict(
            {name: value for name, value in _PATIENCE.items() if name not in url.query}
        )
    raise _no_address(address)


def _no_address(address: str) -> UsageError:
    return UsageError(
        f"'{shown_address(address)}' is no address of a database for the service\n"
        "  hint: sqlite:///runs/service.db or postgresql://user:password@host/name",
        code="TR-A002",
    )


def file_of(url: URL) -> Path | None:
    """The file of SQLite; None for a server."""
    return Path(str(url.database)) if url.drivername == "sqlite" else None


def engine_of(url: URL, *, writing: bool) -> Engine:
    """Connections to the database: one that writes, or several that read. Raises `UsageError` where
    the driver is missing.
    """
    size = (1, 0) if writing else (READERS, MORE_READERS)
    options: dict[str, Any] = {"pool_size": size[0], "max_overflow": size[1]}
    if url.drivername == "sqlite":
        return _sqlite(url, writing, options)
    try:
        engine = create_engine(
            url,
            isolation_level="READ COMMITTED" if writing else "REPEATABLE READ",
            hide_parameters=True,
            **options,
        )
    except ImportError:
        raise UsageError(
            f"the database {shown(url)} needs the package psycopg\n  hint: {install('postgres')}",
            code="TR-E005",
        ) from None
    return engine if writing else engine.execution_options(postgresql_readonly=True)


def _sqlite(url: URL, writing: bool, options: dict[str, Any]) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,
        **options,
    )
    begin = "BEGIN IMMEDIATE" if writing else "BEGIN"

    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where this file says so
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA cache_size = -16384")  # KiB
        cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.execute("PRAGMA journal_mode = WAL" if writing else "PRAGMA query_only = ON")
        cursor.close()

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", start)
    return engine


def shown(url: URL) -> str:
    """The address as people may see it."""
    if (path := file_of(url)) is not None:
        return str(path)
    plain = url.set(drivername="postgresql", query={})
    return shown_address(plain.render_as_string(hide_password=True))
