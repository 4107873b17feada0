"""Files as streams of bytes, which decompress them where their names say so."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

from trainer.data.reading.contents import MAGIC
from trainer.errors import DataError, Problem
from trainer.inputs import open_regular

COMPRESSED: Final = (".gz", ".zst", ".bz2", ".xz", ".zip")
"""Suffixes of compressed text files."""
DAMAGED: Final = (OSError, ValueError)
"""What reading a stream of damaged bytes may raise."""
_MORE: Final = {".zst": tuple(bytes([0x50 + i]) + b"\x2a\x4d\x18" for i in range(16))}
"""Further starts: frames to be skipped, which some of zstd's programs write first."""
_ARROW: Final = {".gz": "gzip", ".zst": "zstd"}


def is_packed(path: Path) -> bool:
    """Whether the name of a file says that it is compressed."""
    return path.suffix.lower() in COMPRESSED


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed. Raises `DataError` where they are not compressed as the name
    says; the stream raises one of `DAMAGED`.
    """
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        file = stack.enter_context(open_regular(path))
        if suffix not in COMPRESSED:
            yield file
            return
        start = file.read(len(MAGIC[suffix]))
        file.seek(0)
        if start and not start.startswith((MAGIC[suffix], *_MORE.get(suffix, ()))):
            message = f"its name ends in {path.suffix}, but it is not compressed so"
            hint = f"call it by what it is, as {path.stem}"
            raise DataError(Problem("", message, hint, str(path), code="TR-D005"))
        yield cast("IO[bytes]", stack.enter_context(_decompressed(file, suffix, path)))


def _decompressed(file: IO[bytes], suffix: str, path: Path) -> Any:
    """A stream of what a compressed file holds."""
    if suffix in _ARROW:
        import pyarrow as pa

        return pa.CompressedInputStream(pa.OSFile(os.fsencode(path)), _ARROW[suffix])
    return io.BufferedReader(_Unpacked(_unpacker(file, suffix, path)), 2**16)


def _unpacker(file: IO[bytes], suffix: str, path: Path) -> IO[bytes]:
    if suffix == ".bz2":
        return bz2.open(file)
    if suffix == ".xz":
        return lzma.open(file)
    with _told():
        archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if not _is_beside(name)]
    if len(names) != 1:
        what = f"{len(names)} files, such as '{names[0][:60]}'" if names else "no file"
        hint = "unpack it, and name the file that is meant"
        raise DataError(
            Problem("", f"this zip archive holds {what}", hint, str(path), code="TR-D005")
        )
    with _told():
        return archive.open(names[0])


class _Unpacked(io.RawIOBase):
    """A stream that raises `OSError` for everything that is wrong with it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer; 0 at the end."""
        with _told():
            piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def _told() -> Iterator[None]:
    """`OSError` for what the unpackers raise."""
    try:
        yield
    except (EOFError, RuntimeError, lzma.LZMAError, zipfile.BadZipFile, zlib.error) as error:
        raise OSError(str(error)) from None


def _is_beside(name: str) -> bool:
    """Whether a member of an archive is a folder, or what macOS leaves beside files."""
    return name.endswith(("/", ".DS_Store")) or name.startswith("__MACOSX/")
