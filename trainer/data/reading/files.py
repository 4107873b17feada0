"""Files that the spec names: patterns, reading, decompression."""

from __future__ import annotations

import glob
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import DataError, Problem
from trainer.spec.document import Path as Place
from trainer.spec.messages import near

COMPRESSED: Final = {".gz": "gzip", ".zst": "zstd"}
"""Suffixes of compressed text files, and what pyarrow calls the way they are compressed."""


def find_files(patterns: Sequence[str], folder: Path, place: Place, kind: str) -> list[Path]:
    """The files that the patterns name, relative to the folder; those of one pattern by name.

    `place` is where the spec names them, and `kind` what they are, for messages. Raises
    `MisfitError` for a path that is no regular file, a pattern without files, and a file that is
    named twice.
    """
    found: list[Path] = []
    for i, pattern in enumerate(patterns):
        at = place if len(patterns) == 1 else (*place, i)
        for path in _matches(folder, pattern, at):
            _check_file(path, at, kind)
            if path in found:
                hint = "its rows would count twice"
                raise MisfitError(DataError, Misfit(at, f"'{path}' is named twice", hint))
            found.append(path)
    return found


def _matches(folder: Path, pattern: str, place: Place) -> list[Path]:
    plain = folder / pattern
    if not glob.has_magic(pattern):
        return [plain]
    with suppress(OSError, ValueError):
        if plain.exists():
            return [plain]
    names = glob.glob(str(Path(glob.escape(str(folder))) / pattern), recursive=True)
    paths = sorted(Path(name) for name in names)
    files = [path for path in paths if not path.is_dir()]
    if not files:
        hint = "the pattern is relative to the spec file, and * stands for any part of a name"
        raise MisfitError(DataError, Misfit(place, f"no file is called '{plain}'", hint))
    return files


def _check_file(path: Path, place: Place, kind: str) -> None:
    """Raises `MisfitError` for what is no regular file."""

    def fail(message: str, hint: str | None = None) -> MisfitError:
        return MisfitError(DataError, Misfit(place, message, hint))

    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise fail(f"there is no file '{path}'", _near_file(path)) from None
    except (OSError, ValueError) as error:
        raise fail(f"'{path}' cannot be read: {reason(error)}") from None
    if stat.S_ISDIR(mode):
        raise fail(f"'{path}' is a directory", f"give the path of a {kind} file")
    if not stat.S_ISREG(mode):
        raise fail(f"'{path}' is no regular file", f"give the path of a {kind} file")


def _near_file(path: Path) -> str:
    """What to do about a file that does not exist."""
    if not path.parent.is_dir():
        return f"there is no directory '{path.parent}'"
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        names = []
    return near(path.name, names) or "the path is relative to the spec file"


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, decompressed. Raises `DataError` where it cannot be read."""
    try:
        data = path.read_bytes()
        if path.suffix.lower() not in COMPRESSED:
            return data
        import pyarrow as pa

        with _decompressor(pa.BufferReader(data), path) as stream:
            decompressed: bytes = stream.read()
            return decompressed
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error)) from None


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes as a stream that decompresses them. It raises `OSError` for damaged ones."""
    if path.suffix.lower() not in COMPRESSED:
        return path.open("rb")
    import pyarrow as pa

    stream: IO[bytes] = _decompressor(pa.OSFile(str(path)), path)
    return stream


def _decompressor(source: Any, path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(source, COMPRESSED[path.suffix.lower()])


def suffix_of(path: Path) -> str:
    """The suffix that tells the kind of a table: `.csv` for `day.csv.gz`."""
    suffixes: Iterable[str] = (suffix.lower() for suffix in reversed(path.suffixes))
    return next((suffix for suffix in suffixes if suffix not in COMPRESSED), "")


def unreadable(path: Path, error: Exception, kind: str | None = None) -> Problem:
    """The problem of a file that the system or a library refused, in the first line of its words.

    `kind` says what the file should have been, where it is readable but something else.
    """
    what = f" as {kind}" if kind else ""
    hint = None
    if path.suffix.lower() in COMPRESSED:
        hint = "is it whole, and compressed as its name says?"
    return Problem("", f"this file cannot be read{what}: {reason(error)}", hint, str(path))


def reason(error: Exception) -> str:
    """The words of an error: its first line, or those of the system."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).splitlines()[0]
