"""The audit log: who did what, as a chain.

The hash of a line is that of the line before and of all of its own. How many there are, and the
hash of the last one, stand beside it: so also lines that are missing at the end are missed. Whoever
may write all of the database can make up another chain, but none with a hash that was kept
elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from trainer.service.records import Entry
from trainer.service.store.columns import storable
from trainer.service.store.part import Part, new_mark
from trainer.service.store.refusals import Broken
from trainer.service.store.tables import audit, audit_head

PIECE: Final = 1000
"""Lines that are read at a time."""
_HEAD: Final = select(audit_head.c.lines, audit_head.c.hash).with_for_update()
_MARKED: Final = select(audit.c.number).where(audit.c.mark == bindparam("with_mark"))


class Audit(Part):
    """The audit log."""

    def audit(self, user: str, action: str, target: str, detail: Mapping[str, Any]) -> None:
        """Writes a line."""
        self.auditing(user, action, target, detail).result()

    def auditing(
        self, user: str, action: str, target: str, detail: Mapping[str, Any]
    ) -> Future[None]:
        """Begins to write a line: for who waits for it without a thread."""
        time, mark = self._clock(), new_mark()
        said = storable({"user": user, "action": action, "target": target, "detail": detail})

        def write(connection: Connection) -> None:
            if connection.execute(_MARKED, {"with_mark": mark}).first() is not None:
                return
            head = connection.execute(_HEAD).one()
            number = head.lines + 1
            hash_ = _chained(head.hash, number, time, said)
            row = {"number": number, "time": time, "hash": hash_, "mark": mark} | said
            connection.execute(insert(audit), row)
            connection.execute(update(audit_head).values(lines=number, hash=hash_))

        return self._db.writing(write)

    def entries(self, after: int = 0, limit: int = 500) -> list[Entry]:
        """The first lines behind the number `after`."""
        return self._db.read(lambda connection: _entries(connection, after, limit))

    def verify(self) -> int:
        """The number of lines, if all of them are as they were written. Raises `Broken`, which
        names the first that is not.
        """
        return self._db.read(_verify)


def _verify(connection: Connection) -> int:
    number, hash_ = 0, ""
    while lines := _entries(connection, number, PIECE):
        for line in lines:
            number += 1
            if line.number != number:
                raise Broken(number, f"line {number} of the audit log is missing")
            said = {
                "user": line.user, "action": line.action, "target": line.target,
                "detail": line.detail,
            }  # fmt: skip
            if _chained(hash_, number, line.time, said) != line.hash:
                raise Broken(number, f"line {number} of the audit log is not what was written")
            hash_ = line.hash
    head = connection.execute(select(audit_head.c.lines, audit_head.c.hash)).first()
    if head is None or (head.lines, head.hash) != (number, hash_):
        missing = number + 1 if head is None or head.lines > number else number
        raise Broken(missing, f"the audit log does not end where it was written to, after {number}")
    return number


def _entries(connection: Connection, after: int, limit: int) -> list[Entry]:
    query = select(audit).where(audit.c.number > after).order_by(audit.c.number)
    return [
        Entry(row.number, row.time, row.user, row.action, row.target, row.detail, row.hash)
        for row in connection.execute(query.limit(max(1, limit)))
    ]


def _chained(before: str, number: int, time: float, said: Mapping[str, Any]) -> str:
    line = json.dumps({"number": number, "time": time, **said}, sort_keys=True)
    return hashlib.sha256(f"{before}\n{line}".encode()).hexdigest()
