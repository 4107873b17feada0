"""Text files as bytes in UTF-8, one delimiter between cells, however they were written."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from trainer.data.reading.packed import opened
from trainer.errors import DataError, Problem
from trainer.spec.sources import CsvSource

_SIZE: Final = 2**20
"""Bytes that are taken at a time."""
_ENDS: Final = re.compile(rb"\r\n|\r|\n")
_EDGES: Final = re.compile(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)")
_BLANKS: Final = re.compile(rb"[ \t]+")

Pieces = Iterator[bytes]


def is_as_read(form: CsvSource) -> bool:
    """Whether a file that is written so is text in UTF-8, one delimiter between cells, as it is."""
    plain = form.encoding in ("utf-8", "ascii")
    return plain and form.comment is None and form.delimiter != "blanks"


@contextmanager
def text_of(path: Path, form: CsvSource) -> Iterator[IO[bytes]]:
    """The text of a file in UTF-8, decompressed, with as many lines as the file has.

    Lines that are comments are empty, and runs of blanks are a tab where they delimit cells.
    Raises `DataError`; the stream does where a byte means nothing in the encoding, and raises what
    reading damaged bytes raises (`packed.DAMAGED`).
    """
    with opened(path) as file:
        pieces: Pieces | None = None
        if form.encoding not in ("utf-8", "ascii"):
            pieces = _recoded(file, form.encoding, path)
        if form.comment or form.delimiter == "blanks":
            pieces = _whole_lines(pieces or _pieces(file))
        if form.comment:
            assert pieces is not None
            pieces = _without_comments(pieces, form)
        if form.delimiter == "blanks":
            assert pieces is not None
            pieces = _with_tabs(pieces, form)
        yield file if pieces is None else io.BufferedReader(_Joined(pieces), _SIZE)


class _Joined(io.RawIOBase):
    """Pieces one after the other as a stream."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # one of many kinds
        """Fills the buffer as far as the next piece goes; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _pieces(file: IO[bytes]) -> Pieces:
    return iter(lambda: file.read(_SIZE), b"")


def _recoded(file: IO[bytes], encoding: str, path: Path) -> Pieces:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    for piece in _pieces_and_end(file):
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            before = getattr(error, "object", b"")[:start].decode(encoding, "ignore")
            line = lines + len(_ENDS.findall(before.encode("utf-8", "replace")))
            byte = getattr(error, "object", b"?")[start : start + 1].hex()
            message = f"the byte 0x{byte} means nothing in {encoding}"
            hint = "write how the file is encoded, as in `encoding: cp1252`"
            raise DataError(Problem("", message, hint, str(path), line, code="TR-D006")) from None
        data = text.encode("utf-8", "surrogatepass")
        lines += len(_ENDS.findall(data))
        yield data


def _pieces_and_end(file: IO[bytes]) -> Pieces:
    yield from _pieces(file)
    yield b""


def _whole_lines(pieces: Pieces) -> Pieces:
    """The same bytes in pieces that end where lines end."""
    held: list[bytes] = []
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if not cut:
            held.append(piece)
            continue
        yield b"".join((*held, piece[:cut]))
        held = [piece[cut:]]
    yield b"".join(held)


def _without_comments(pieces: Pieces, form: CsvSource) -> Pieces:
    """Lines that begin with the mark are empty, unless they stand within a quoted cell."""
    mark, quote = (form.comment or "").encode(), form.quote.encode()
    within = False
    for piece in pieces:
        if mark not in piece:
            within ^= form.quote != "none" and bool(piece.count(quote) % 2)
            yield piece
            continue
        lines = piece.splitlines(keepends=True) if b"\r" in piece else _lines(piece)
        for i, line in enumerate(lines):
            if not within and line.startswith(mark):
                lines[i] = line[len(line.rstrip(b"\r\n")) :]
            elif form.quote != "none":
                within ^= bool(line.count(quote) % 2)
        yield b"".join(lines)


def _lines(piece: bytes) -> list[bytes]:
    """The lines of a piece with their ends."""
    lines = [line + b"\n" for line in piece.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines


def _with_tabs(pieces: Pieces, form: CsvSource) -> Pieces:
    """Runs of blanks and tabs outside quoted cells as one tab, none at the ends of lines."""
    quote = re.escape(form.quote.encode())
    cells = re.compile(rb"(" + quote + rb"[^\r\n" + quote + rb"]*" + quote + rb")|[ \t]+")
    for piece in pieces:
        trimmed = _EDGES.sub(b"", piece)
        if form.quote == "none" or form.quote.encode() not in trimmed:
            yield _BLANKS.sub(b"\t", trimmed)
        else:
            yield cells.sub(lambda match: match[1] or b"\t", trimmed)
