"""What a file holds by its first bytes, whatever its name says."""

from __future__ import annotations

import codecs
import json
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from trainer.inputs import open_regular

START: Final = 4096
"""The bytes at the start of a file by which it is known."""


@dataclass(frozen=True)
class Contents:
    """What a file is, such as `a zip archive`, and what to do about it; and the key of the source
    that reads it, if there is one.
    """

    what: str
    hint: str
    kind: str | None = None


_UNPACK: Final = "unpack it, and name the file that was in it"
_SAVE: Final = "save the table as CSV, or as Parquet"
_SPREADSHEET: Final = "save the sheet as CSV or .xlsx"


def _table(what: str, kind: str) -> Contents:
    """A table, which a source of this key reads."""
    more = ", y: …" if kind == "npy" else ""
    return Contents(what, f"write `source: {{{kind}: …{more}}}`", kind)


MAGIC: Final = {
    ".gz": b"\x1f\x8b",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\0",
    ".zip": b"PK",
}
"""How compressed files begin, by the suffix that says how they are."""
_PACKED: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}
_TABLES: Final = (
    (b"PAR1", "a Parquet file", "parquet"),
    (b"ARROW1", "an Arrow file", "arrow"),
    (b"\xff\xff\xff\xff", "an Arrow stream", "arrow"),
    (b"\x93NUMPY", "a NumPy array", "npy"),
)
"""Starts of files that a source reads."""
_BINARY: Final = (
    (b"\x04\x22\x4d\x18", "compressed with LZ4", _UNPACK),
    (b"\x1f\x9d", "compressed with compress", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"PARE", "an encrypted Parquet file", "decrypt it first"),
    (b"FEA1", "a Feather file of version 1, which no longer is written", "write it as version 2"),
    (b"SQLite format 3\0", "an SQLite database", _SAVE),
    (b"\x89HDF\r\n", "an HDF5 file", _SAVE),
    (b"MATLAB 5.0", "a MATLAB file", _SAVE),
    (b"ORC", "an ORC file", _SAVE),
    (b"Obj\x01", "an Avro file", _SAVE),
    (b"RDX", "an R data file", _SAVE),
    (b"$FL2", "an SPSS file", _SAVE),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Office file, as of .xls, or one with a password",
        _SPREADSHEET,
    ),
    (b"\x89PNG", "a picture (PNG)", _SAVE),
    (b"\xff\xd8\xff", "a picture (JPEG)", _SAVE),
    (b"GIF8", "a picture (GIF)", _SAVE),
    (b"\x7fELF", "a program", _SAVE),
    *(
        (
            b"\x80" + bytes([protocol]),
            "a Python pickle, which may run anything when it is read",
            _SAVE,
        )
        for protocol in range(2, 6)
    ),
)
"""Starts of files that hold bytes which no text has."""
_TEXTS: Final = (
    (b"%PDF-", "a PDF", _SAVE),
    (b"{\\rtf", "a text of a word processor (RTF)", _SAVE),
    (b"<stata_dta>", "a Stata file", _SAVE),
    (b"version https://git-lfs", "a pointer of Git LFS, not the table itself",
     "fetch the table with `git lfs pull`"),
)  # fmt: skip
_CONTROL: Final = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1c\x1d\x1e\x1f"))
_LINES: Final = _table("JSON lines", "jsonl")
_JSON: Final = Contents("JSON", "write an object a line, and `source: {jsonl: …}`")
_PAGE: Final = Contents("an HTML page, not a table", "is it a page to sign in, or an error?")


def contents_of(path: Path) -> Contents | None:
    """What a file holds, where that is no plain text and known; None for all else.

    Raises `OSError` where it cannot be read.
    """
    with open_regular(path) as file:
        return known_contents(file.read(START), path.name, file)


def looks_like_text(path: Path) -> bool:
    """Whether a file begins with some lines in UTF-8. Raises `OSError` where it cannot be read."""
    with open_regular(path) as file:
        start = file.read(START)
    try:
        start[: start.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError:
        return False
    return b"\n" in start and start.translate(None, _CONTROL) == start


def known_contents(start: bytes, name: str, file: IO[bytes] | None = None) -> Contents | None:
    """The same of a file of this name that starts with these bytes; `file`, where it is given, says
    what is in an archive.
    """
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_archive(file)
    if start[257:262] == b"ustar":
        return Contents("a tar archive", _UNPACK)
    if start.translate(None, _CONTROL) != start or not start.isascii():
        for suffix, what in _PACKED.items():
            if start.startswith(MAGIC[suffix]):
                return Contents(f"compressed with {what}", f"call it {name}{suffix}, or unpack it")
        for magic, what, kind in _TABLES:
            if start.startswith(magic):
                return _table(what, kind)
        for magic, what, hint in _BINARY:
            if start.startswith(magic):
                return Contents(what, hint)
    for magic, what, hint in _TEXTS:
        if start.startswith(magic):
            return Contents(what, hint)
    return _of_text(start)


def _of_archive(file: IO[bytes] | None) -> Contents:
    plain = Contents("a zip archive", _UNPACK)
    if file is None:
        return plain
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return Contents("a zip archive that is not whole", "fetch it again")
    if any(name.startswith("xl/") for name in names):
        if "xl/workbook.bin" in names:
            return Contents("a binary Excel workbook, as of .xlsb", _SPREADSHEET)
        return _table("an Excel workbook", "excel")
    if "mimetype" in names or "[Content_Types].xml" in names:
        return Contents("a document of an office program", _SPREADSHEET)
    if names and all(name.endswith(".npy") for name in names):
        return _table("an archive of NumPy arrays", "npz")
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return Contents(f"a zip archive, which holds '{names[0][:60]}'{more}", _UNPACK)
    return Contents("an empty zip archive", _UNPACK)


def _of_text(start: bytes) -> Contents | None:
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    head = text[:64].lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _PAGE
    if head.startswith(b"<?xml"):
        return _PAGE if b"<html" in text.lower() else Contents("XML", _SAVE)
    if text[:1] in (b"{", b"["):
        return _of_json(text)
    return None


def _of_json(text: bytes) -> Contents | None:
    line, end, _ = text.partition(b"\n")
    if text[:1] == b"{":
        with suppress(ValueError):  # also for what is no UTF-8
            return _LINES if isinstance(json.loads(line), dict) and end else _JSON
    second = text[1:].lstrip()[:1]
    like = second in (b'"', b"}") if text[:1] == b"{" else second in (b"{", b"[")
    return _JSON if like else None
