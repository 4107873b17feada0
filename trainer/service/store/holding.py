"""One server at a time has the database.

With SQLite a file beside it is locked. With PostgreSQL the connection that writes holds a lock of
the server: who lost that connection may have lost the database to another, and writes nothing
before it has the lock again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from sqlalchemy import URL, Connection, text

from trainer.checkpoints.folder import Lock
from trainer.errors import MachineError, UsageError
from trainer.service.store.connections import file_of, shown

KEY: Final = 0x7261696E
"""What the lock is called on the server; its second half is the schema."""
PATIENCE: Final = 5.0
"""Seconds in which a server notices that the one before has ended."""
_TAKE: Final = text("SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))")
# Of a server whose machine is gone the lock is soon free: it would have it for hours otherwise.
_NOTICE: Final = text(
    "SELECT set_config('tcp_keepalives_idle', '10', false),"
    " set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)
_WHO: Final = text(
    "SELECT client_addr, client_hostname, backend_start FROM pg_stat_activity JOIN pg_locks"
    " USING (pid) WHERE locktype = 'advisory' AND classid = :key"
    " AND objid = hashtext(current_schema())::oid"
)


class HeldError(UsageError):
    """Another server has the database."""

    code = "TR-A004"


def hold_file(url: URL) -> Callable[[], None]:
    """Locks the database that is a file; what gives it back. Raises `HeldError`, and `MachineError`
    where the folder cannot be written.
    """
    file = file_of(url)
    if file is None:
        return lambda: None
    path = file.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Lock(path).release
    except BlockingIOError:
        holder = ""
        with suppress(OSError):
            holder = path.read_text(errors="replace").strip()
        raise HeldError(_held(shown(url), holder)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(f"cannot write the database {file}: {reason}", code="TR-A006") from None


def hold_server(connection: Connection, name: str, patience: float = 0.0) -> None:
    """Has this connection hold the database `name`, as long as it lives. Raises `HeldError` where
    another one does for so many seconds.
    """
    until = time.monotonic() + patience
    while not connection.execute(_TAKE, {"key": KEY}).scalar():
        if time.monotonic() >= until:
            holder = _holder(connection)
            connection.rollback()
            raise HeldError(_held(name, holder))
        connection.rollback()
        time.sleep(0.1)
    connection.execute(_NOTICE)
    connection.commit()


def _holder(connection: Connection) -> str:
    row = connection.execute(_WHO, {"key": KEY}).first()
    if row is None:
        return ""
    where = row.client_hostname or row.client_addr or "this machine"
    return f"one at {where}, since {row.backend_start:%Y-%m-%d %H:%M:%S}"


def _held(name: str, holder: str) -> str:
    other = f": {holder}" if holder else ""
    return (
        f"another server of the service has the database {name}{other}\n"
        "  hint: stop it first, or give this one a database of its own"
    )
