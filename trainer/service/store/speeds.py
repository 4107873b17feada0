"""How soon workers were, for telling how long a job will take."""

from __future__ import annotations

import math
from typing import Final

from sqlalchemy import Connection, select

from trainer.service.store.part import Part, put
from trainer.service.store.tables import speeds

REMEMBERED: Final = 0.9
"""What of the jobs before counts at each new one: some ten jobs decide."""


class Speeds(Part):
    """Speeds of workers."""

    def learn_speed(self, kind: str, operations: int, seconds: float) -> None:
        """Takes in that a worker of this kind took so many seconds for so many operations. (Where
        it is written twice as a connection was lost, it counts twice: that does no harm.)
        """
        if operations <= 0 or not (seconds > 0 and math.isfinite(seconds)):
            return

        def write(connection: Connection) -> None:
            query = select(speeds.c.operations, speeds.c.seconds).where(speeds.c.kind == kind)
            row = connection.execute(query).first()
            before = (0.0, 0.0) if row is None else (row.operations, row.seconds)
            values = {
                "operations": REMEMBERED * before[0] + operations,
                "seconds": REMEMBERED * before[1] + seconds,
            }
            put(connection, speeds, {"kind": kind}, values)

        self._db.write(write)

    def speed(self, kind: str) -> float | None:
        """Operations a second of such workers; None where none has told."""
        query = select(speeds.c.operations, speeds.c.seconds).where(speeds.c.kind == kind)
        row = self._db.read(lambda connection: connection.execute(query).first())
        return None if row is None else float(row.operations / row.seconds)
