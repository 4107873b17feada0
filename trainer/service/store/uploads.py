"""Which files were sent, by whom, and how much of each is here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from trainer.service.records import Upload
from trainer.service.store.part import Part
from trainer.service.store.tables import uploads


class Uploads(Part):
    """Files that were sent. Each user has sent a file, or has not: without `user` that of any is
    meant.
    """

    def upload(self, sha256: str, user: str | None = None) -> Upload | None:
        """What is known of a file: of any user the one of whom most is here."""
        query = select(uploads).where(*_which(sha256, user))
        query = query.order_by(uploads.c.received.desc(), uploads.c.created, uploads.c.user)
        row = self._db.read(lambda connection: connection.execute(query).first())
        return None if row is None else _upload_of(row)

    def add_upload(self, upload: Upload) -> Upload:
        """Notes a file that is to come; the one that was noted before, if it was."""
        query = select(uploads).where(*_which(upload.sha256, upload.user))
        values = {
            "sha256": upload.sha256, "user": upload.user, "size": upload.size,
            "received": upload.received, "created": upload.created or self._clock(),
        }  # fmt: skip

        def write(connection: Connection) -> Upload:
            if connection.execute(query).first() is None:
                connection.execute(insert(uploads), values)
            return _upload_of(connection.execute(query).one())

        return self._db.write(write)

    def received(self, sha256: str, received: int, user: str | None = None) -> None:
        """Notes how many of its bytes are here."""
        asked = update(uploads).where(*_which(sha256, user)).values(received=received)
        self._db.write(lambda connection: connection.execute(asked).rowcount)

    def uploads(self, user: str | None = None) -> list[Upload]:
        """The files of a user, or of all, the first first."""
        query = select(uploads).order_by(uploads.c.created, uploads.c.sha256, uploads.c.user)
        if user is not None:
            query = query.where(uploads.c.user == user)
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return [_upload_of(row) for row in rows]

    def drop_upload(self, sha256: str, user: str | None = None) -> None:
        """Forgets a file."""
        asked = delete(uploads).where(*_which(sha256, user))
        self._db.write(lambda connection: connection.execute(asked).rowcount)


def _which(sha256: str, user: str | None) -> list[ColumnElement[bool]]:
    found = [uploads.c.sha256 == sha256]
    return found if user is None else [*found, uploads.c.user == user]


def _upload_of(row: Any) -> Upload:
    return Upload(row.sha256, row.user, row.size, row.received, row.created)
