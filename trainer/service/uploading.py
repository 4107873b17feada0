"""Files that are sent to the service, to be named by specs: in pieces, each from where the last one
ended, kept under the SHA-256 of the whole.

    uploads/<sha256>                 a file that is whole and has this hash
    uploads/.<sha256>.<user>.part    what is here of one, sent by a user (a hash of the name)

What is here of a part is its size on disk: a piece counts as far as it was written, whatever ended
it. Nobody comes by a file by its hash: each user sends all of it, though it lies on disk once.
"""

from __future__ import annotations

import errno
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from trainer.checkpoints.disk import flush, flush_folder, hash_within, is_regular, open_within
from trainer.errors import DataError, MachineError, UsageError
from trainer.service.records import Upload, User
from trainer.service.refusals import Conflict, Forbidden, Missing, Quota, TooLarge
from trainer.service.sending import UPLOADS, drop_names
from trainer.service.settings import Settings
from trainer.service.store import Store

_SHA256: Final = re.compile("[0-9a-f]{64}")


class Piece:
    """Some of a file's bytes, as they come in. Who begins to send the same file anew takes it over:
    the connection of the first may have died without anybody being told.
    """

    def __init__(self, file: IO[bytes], place: int, size: int) -> None:
        self._file, self._size = file, size
        self.place = place
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Adds bytes. Raises `Conflict` where another request has taken over, `UsageError` for more
        than the file is to have, `MachineError` where the disk has no room.
        """
        with self._lock:
            if self._file.closed:
                raise Conflict("the file is being sent by another request", seconds=1)
            if self.place + len(data) > self._size:
                raise UsageError(
                    f"Upload-Length: more than its {self._size:,} bytes came", code="TR-V018"
                )
            with told():
                self._file.write(data)
            self.place += len(data)

    def close(self) -> None:
        """Has what came lie on the disk. Raises `MachineError`."""
        with self._lock:
            if not self._file.closed:
                with told():
                    self._finish()

    def _finish(self) -> None:
        try:
            self._file.flush()
            flush(self._file.fileno())
        finally:
            with suppress(OSError):
                self._file.close()


class Uploads:
    """The files that users have sent, or begun to send, below the folder of runs."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], float]) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self.folder: Path = settings.runs / UPLOADS
        self._lock = threading.Lock()
        self._pieces: dict[str, Piece] = {}

    # Looking ------------------------------------------------------------------------------------

    def sent(self, user: User) -> list[Upload]:
        """What a user has sent, and begun to send."""
        return [self._as_it_is(upload) for upload in self._store.uploads(user.name)]

    def one(self, user: User, sha256: str) -> Upload:
        """A file that the user has sent, or begun to. Raises `Missing`."""
        upload = self._store.upload(check_name(sha256), user.name)
        if upload is None:
            raise Missing(f"{user.name} has sent no file {sha256}")
        return self._as_it_is(upload)

    def _as_it_is(self, upload: Upload) -> Upload:
        """With as many bytes as there are on the disk."""
        if upload.whole and is_regular(self.folder / upload.sha256):
            return upload
        part = self.folder / _part(upload)
        size = part.lstat().st_size if is_regular(part) else 0
        return replace(upload, received=min(size, max(upload.size - 1, 0)))

    # Sending ------------------------------------------------------------------------------------

    def begin(self, user: User, sha256: str, size: int, offset: int) -> tuple[Upload, Piece | None]:
        """Takes in a file of so many bytes, from the one at `offset`; no piece where it is whole.

        Raises `Conflict` for an offset beyond what is here, `TooLarge`, and `Quota`.
        """
        if not user.may("submitter"):
            raise Forbidden(f"this needs the role submitter, and {user.name} is a {user.role}")
        if size > self._settings.upload_bytes:
            raise TooLarge(f"a file has at most {self._settings.upload_bytes:,} bytes")
        if not 0 <= offset <= size:
            raise UsageError(
                f"Upload-Offset: expected 0 to {size:,}, found {offset:,}", code="TR-V012"
            )
        with self._lock, told():
            self.folder.mkdir(parents=True, exist_ok=True)
            upload = self._noted(user, check_name(sha256), size, offset)
            if upload.whole and is_regular(self.folder / sha256):
                return upload, None
            return upload, self._piece(upload, offset)

    def _noted(self, user: User, sha256: str, size: int, offset: int) -> Upload:
        """What is known of the file; it is noted where nothing is."""
        kept = self._store.upload(sha256, user.name)
        if kept is not None and kept.size != size:
            if offset or (kept.whole and is_regular(self.folder / sha256)):
                raise Conflict(f"Upload-Length: the file was said to have {kept.size:,} bytes")
            self._store.drop_upload(sha256, user.name)
            kept = None
        if kept is None:
            self._check_room(user, sha256, size)
            kept = self._store.add_upload(Upload(sha256, user.name, size, 0, self._clock()))
        return kept

    def _check_room(self, user: User, sha256: str, size: int) -> None:
        """Raises `Quota`. What is still to come of other files counts as if it were here."""
        most = self._settings.data_per_user
        others = [each for each in self._store.uploads(user.name) if each.sha256 != sha256]
        if most is not None and sum(each.size for each in others) + size > most:
            raise Quota(f"{user.name} may hold {most:,} bytes of files", seconds=60)

    def _piece(self, upload: Upload, offset: int) -> Piece:
        name = _part(upload)
        if (other := self._pieces.pop(name, None)) is not None:
            other.close()
        file = open_within(self.folder, name, "a+b")
        there = file.seek(0, 2)
        if offset > there:
            file.close()
            raise Conflict(f"Upload-Offset: {there:,} bytes are here, not {offset:,}")
        file.truncate(offset)
        self._pieces[name] = piece = Piece(file, offset, upload.size)
        return piece

    def end(self, upload: Upload, piece: Piece) -> Upload:
        """The file as it is after a piece: if all of it is here, it is looked at, and has its name.

        Raises `DataError` where it is another file than its name says; it is dropped then.
        """
        name = _part(upload)
        piece.close()
        with self._lock:
            self._check_ours(name, piece)
            if piece.place < upload.size:
                del self._pieces[name]
                self._store.received(upload.sha256, piece.place, upload.user)
                return replace(upload, received=piece.place)
        with told():
            found = hash_within(self.folder, name)
        with self._lock, told():
            self._check_ours(name, piece)
            del self._pieces[name]
            if found != upload.sha256:
                self._forget(upload)
                raise DataError(
                    f"what came has the SHA-256 {found}, and not {upload.sha256}", code="TR-V018"
                )
            self._settle(upload, name)
        return replace(upload, received=upload.size)

    def _check_ours(self, name: str, piece: Piece) -> None:
        """Raises `Conflict` where another request has taken the file over."""
        if self._pieces.get(name) is not piece:
            raise Conflict("the file is being sent by another request", seconds=1)

    def leave(self, upload: Upload, piece: Piece) -> None:
        """Ends a piece whose sender has gone; what came of it is kept."""
        with suppress(MachineError):
            piece.close()
        with self._lock:
            if self._pieces.get(_part(upload)) is piece:
                del self._pieces[_part(upload)]

    def _settle(self, upload: Upload, name: str) -> None:
        whole = self.folder / upload.sha256
        if is_regular(whole) and whole.lstat().st_size == upload.size:
            (self.folder / name).unlink()
        else:
            (self.folder / name).replace(whole)
            flush_folder(self.folder)
        self._store.received(upload.sha256, upload.size, upload.user)

    # Dropping -----------------------------------------------------------------------------------

    def drop(self, user: User, sha256: str) -> None:
        """Forgets a user's file; from the disk it goes with the last user who has it. A job that
        needs it and has not read it yet fails.
        """
        if not user.may("submitter"):
            raise Forbidden(f"this needs the role submitter, and {user.name} is a {user.role}")
        upload = self.one(user, sha256)
        with self._lock, told():
            if (piece := self._pieces.pop(_part(upload), None)) is not None:
                piece.close()
            self._forget(upload)
            if self._store.upload(sha256) is None:
                (self.folder / sha256).unlink(missing_ok=True)
                drop_names(self.folder, sha256)

    def _forget(self, upload: Upload) -> None:
        (self.folder / _part(upload)).unlink(missing_ok=True)
        self._store.drop_upload(upload.sha256, upload.user)


def check_name(sha256: str) -> str:
    """The name, if it is a hash: nothing else becomes a part of a path. Raises `UsageError`."""
    if _SHA256.fullmatch(sha256) is None:
        raise UsageError("expected the SHA-256 of a file in 64 hexadecimal digits", code="TR-V012")
    return sha256


def _part(upload: Upload) -> str:
    who = hashlib.sha256(upload.user.encode()).hexdigest()[:16]
    return f".{upload.sha256}.{who}.part"


@contextmanager
def told() -> Iterator[None]:
    """An `OSError` within it becomes a `MachineError`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "has no room left" if full else f"cannot be used: {error.strerror}"
        raise MachineError(f"the disk of uploads {what}", code="TR-M001") from None
