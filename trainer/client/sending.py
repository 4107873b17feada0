"""Files on their way: to the service in pieces, which a lost connection does not begin anew, and
from it, whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from trainer.client.answers import LostError
from trainer.client.wire import Request, Wire
from trainer.errors import ServiceError, UsageError
from trainer.inputs import open_regular
from trainer.outputs import replacing

PIECE: Final = 2**23
"""Bytes that are sent at a time: so much at most is sent again."""
Told = Callable[[int, int], None]
"""Is told how many bytes of how many are there."""


def hash_of(file: Path) -> str:
    """The SHA-256 of a file, by which the service knows it. Raises `UsageError`."""
    found = hashlib.sha256()
    with opened(file) as data:
        while piece := data.read(PIECE):
            found.update(piece)
    return found.hexdigest()


def opened(file: Path) -> IO[bytes]:
    """The file, to be read. Raises `UsageError` where there is none."""
    try:
        return open_regular(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"'{file}' cannot be read: {reason}", code="TR-V018") from None


def send(wire: Wire, file: Path, told: Told | None = None) -> str:
    """Has the service keep the file, unless it does; its hash."""
    sha256, patience = hash_of(file), wire.waiting()
    with opened(file) as data:
        size, there = data.seek(0, 2), _received(wire, sha256)
        while there is None or there < size:
            before, failure = there or 0, None
            try:
                there = _send_piece(wire, data, sha256, before, size)
            except LostError as error:  # a part of the piece may be there
                failure, there = error, _received(wire, sha256)
            if failure is None or (there or 0) > before:
                patience.begin()
            else:
                patience.wait(failure)
            if told is not None:
                told(min(there or 0, size), size)
    return sha256


def _received(wire: Wire, sha256: str) -> int | None:
    """How many bytes of the file the service has; None where it was never sent."""
    answer = wire.head(f"/data/{sha256}")
    return None if answer is None else _offset(answer.get("Upload-Offset"))


def _send_piece(wire: Wire, data: IO[bytes], sha256: str, offset: int, size: int) -> int:
    """Sends a piece; how many bytes the service has then."""
    data.seek(offset)
    body = data.read(PIECE)
    if not body and size:
        raise UsageError("the file became shorter while it was sent", code="TR-V018")
    headers = {
        "Content-Type": "application/octet-stream",
        "Upload-Offset": str(offset),
        "Upload-Length": str(size),
    }
    request = Request("PUT", f"/data/{sha256}", body=body, headers=headers, again=False)
    answer = wire.ask(request)
    if answer.status_code == 201:
        return size
    there = _offset(answer.headers.get("Upload-Offset", str(offset + len(body))))
    if there <= offset:
        raise ServiceError("the service takes nothing of the file", code="TR-V003")
    return there


def _offset(text: str | None) -> int:
    if text is None or not text.isdecimal():
        raise ServiceError("the service does not say how much of the file it has", code="TR-V003")
    return int(text)


def fetch(wire: Wire, path: str, to: Path) -> Path:
    """Writes what the service has there to a file, whole or not at all; a lost connection begins it
    anew. Raises `MachineError` where it cannot be written.
    """
    with replacing(to) as fresh:
        patience = wire.waiting()
        while True:
            try:
                _fetch_once(wire, path, fresh)
                return to
            except LostError as error:
                patience.wait(error)


def _fetch_once(wire: Wire, path: str, fresh: Path) -> None:
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    with wire.open(Request("GET", path, headers=headers)) as response, fresh.open("wb") as file:
        pieces = response.iter_content(PIECE)
        while True:
            with wire.told():
                piece = next(pieces, None)
            if piece is None:
                return
            file.write(piece)
