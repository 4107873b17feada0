"""What an error of a database means, and how it is said."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from trainer.errors import MachineError
from trainer.service.store.refusals import StoreAway, StoreFull

# SQLSTATEs of PostgreSQL, or the classes that they begin with.
_AWAY: Final = ("08", "57", "53300", "40001", "40P01", "55P03", "25006")
_FULL: Final = "53100"
_DAMAGED: Final = ("XX001", "XX002")
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_ENDS: Final = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
)  # fmt: skip


def is_away(error: DBAPIError) -> bool:
    """Whether the same may well succeed a moment later: the connection was lost, the server is
    away or starts anew, someone holds a lock.
    """
    if error.connection_invalidated:
        return True
    if (code := _sqlite_code(error)) is not None:
        return code in _BUSY
    state = _state(error)
    if state is None:  # it has not come to a server
        return isinstance(error, OperationalError | InterfaceError)
    return state.startswith(_AWAY)


def ends_transaction(error: DBAPIError) -> bool:
    """Whether nothing of the transaction can be kept: it is of no one statement's making."""
    return is_away(error) or _sqlite_code(error) in _ENDS or _state(error) == _FULL


def told(error: DBAPIError, shown: str) -> MachineError:
    """The error in words. `shown` is the database's address without its password."""
    why = " ".join(str(error.orig).split())
    if _sqlite_code(error) == sqlite3.SQLITE_FULL or _state(error) == _FULL:
        return StoreFull(f"the disk of the database {shown} is full: nothing was written")
    if is_away(error):
        return StoreAway(f"the database {shown} does not answer: {why}")
    if is_damaged(error):
        return MachineError(f"the database {shown} is damaged: {why}", code="TR-A006")
    return MachineError(f"the database {shown}: {why}", code="TR-A006")


def is_damaged(error: DBAPIError) -> bool:
    """Whether the database's files are not what was written."""
    return _sqlite_code(error) == sqlite3.SQLITE_CORRUPT or _state(error) in _DAMAGED


def is_foreign(error: DBAPIError) -> bool:
    """Whether the file is none of SQLite at all."""
    return _sqlite_code(error) == sqlite3.SQLITE_NOTADB


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _state(error: DBAPIError) -> str | None:
    state = getattr(error.orig, "sqlstate", None)
    return None if state is None else str(state)
