"""Files that the spec names: paths, patterns, folders; and what is said of those that are none."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final
from urllib.parse import unquote

from trainer.data.misfits import Misfit, MisfitError
from trainer.data.reading.contents import Contents, contents_of, looks_like_text
from trainer.data.reading.packed import COMPRESSED, DAMAGED, is_packed, opened
from trainer.errors import DataError, Problem, UsageError
from trainer.inputs import NotAFileError, check_regular, remark_on
from trainer.spec.document import Path as Place
from trainer.spec.document import show_text
from trainer.spec.messages import near


@dataclass(frozen=True)
class FileKind:
    """What files of a source are called, and how their names end; one is enough."""

    title: str
    suffixes: tuple[str, ...]


KINDS: Final[Mapping[str, FileKind]] = {
    "csv": FileKind("CSV", (".csv", ".tsv", ".txt")),
    "jsonl": FileKind("JSON lines", (".jsonl", ".ndjson")),
    "excel": FileKind("Excel", (".xlsx", ".xlsm")),
    "parquet": FileKind("Parquet", (".parquet", ".pq")),
    "arrow": FileKind("Arrow", (".arrow", ".feather", ".ipc")),
    "npz": FileKind("NumPy", (".npz",)),
    "npy": FileKind("NumPy", (".npy",)),
}
"""Every source of files, by its key."""

_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class FoundFile:
    """A file, and what its folders say of every row, as `year=2024` of a column `year`."""

    path: Path
    keys: Mapping[str, str | None] = field(default_factory=dict)


def find_files(patterns: Sequence[str], folder: Path, place: Place, kind: str) -> list[FoundFile]:
    """The files that the patterns name, relative to the folder; those of one pattern, or in one
    folder, by name.

    `place` is where the spec names them, and `kind` the key of their source. Raises `MisfitError`
    for a path that is no file or folder, one without files, and a file that is named twice.
    """
    found: dict[Path, FoundFile] = {}
    for i, pattern in enumerate(patterns):
        at = place if len(patterns) == 1 else (*place, i)
        for file in _Pattern(pattern, folder, at, kind).files():
            if file.path in found:
                hint = "its rows would count twice"
                raise MisfitError(
                    DataError, Misfit(at, f"'{file.path}' is named twice", hint, code="TR-D017")
                )
            found[file.path] = file
    return list(found.values())


@dataclass(frozen=True)
class _Pattern:
    """A path, or a pattern of paths, as it stands in the spec."""

    text: str
    folder: Path
    place: Place
    kind: str

    def files(self) -> Iterator[FoundFile]:
        plain = self.folder / self.text
        if not glob.has_magic(self.text) or _is_there(plain):
            yield from self._at(plain, plain)
            return
        names = glob.glob(str(Path(glob.escape(str(self.folder))) / self.text), recursive=True)
        paths = sorted(Path(name) for name in names)
        files = [path for path in paths if not path.is_dir()] or paths
        if not files:
            remark = remark_on(self.text, self._option)
            hint = "the pattern is relative to the spec file, and * stands for any part of a name"
            raise self._fail(*(remark or (f"no file is called '{plain}'", hint)))
        parts = list(self._fixed())
        for path in files:
            yield from self._at(path, self.folder.joinpath(*parts))

    def _fixed(self) -> Iterator[str]:
        """The folders before the first part of the pattern that stands for several."""
        for part in PurePath(self.text).parts:
            if glob.has_magic(part):
                return
            yield part

    def _at(self, path: Path, base: Path) -> Iterator[FoundFile]:
        """The file, or the files in the folder; folders below `base` may tell of columns."""
        try:
            check_regular(path)
            yield FoundFile(path, keys_of(path.relative_to(base)) if path != base else {})
        except NotAFileError as error:
            if error.what != "a directory":
                hint = "write what comes out of it to a file" if "pipe" in error.what else None
                message = f"'{path}' is {error.what}, which is not read"
                raise self._fail(message, hint, "TR-D002") from None
            yield from self._within(path, base)
        except FileNotFoundError:
            remark = remark_on(self.text, self._option)
            raise self._fail(
                *(remark or (f"there is no file '{path}'", _near_file(path)))
            ) from None
        except (OSError, ValueError) as error:
            message = f"'{path}' cannot be read: {reason(error)}"
            raise self._fail(message, code="TR-D002") from None

    def _within(self, folder: Path, base: Path) -> Iterator[FoundFile]:
        """The files of the kind in a folder and in those below it."""
        kind, seen = KINDS[self.kind], sorted(_below(folder))
        files = [path for path in seen if suffix_of(path) in kind.suffixes]
        if not files:
            message = f"the folder '{folder}' holds no {kind.title} files"
            endings = ", ".join(kind.suffixes)
            hint = f"their names end in {endings}"
            raise self._fail(message, f"{hint}; it holds {seen[0].name}" if seen else hint)
        for path in files:
            yield FoundFile(path, keys_of(path.relative_to(base)))

    @property
    def _option(self) -> str:
        names = [name for name in self.place if isinstance(name, str)]
        return f"--set {'.'.join(names)}"

    def _fail(self, message: str, hint: str | None = None, code: str = "TR-D001") -> MisfitError:
        return MisfitError(DataError, Misfit(self.place, message, hint, code=code))


def _is_there(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.exists()
    return False


def _below(folder: Path) -> Iterator[Path]:
    """All files in a folder and those below it, without hidden ones and those called `_…`, which
    tools leave beside their tables. A folder is entered once, whatever links lead to it.
    """
    entered = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in entered else [name for name in folders if name[0] not in "._"]
        if real not in entered:
            yield from (Path(place, name) for name in names if name[0] not in "._")
        entered.add(real)


def keys_of(path: PurePath) -> dict[str, str | None]:
    """What the folders of a path say, as in `year=2024/town=New%20York/part-0.parquet`."""
    pairs = (part.split("=", 1) for part in path.parts[:-1] if "=" in part[1:])
    return {unquote(key): None if value == _NO_VALUE else unquote(value) for key, value in pairs}


def _near_file(path: Path) -> str:
    """What to do about a file that does not exist."""
    if not path.parent.is_dir():
        return f"there is no directory '{path.parent}'"
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        names = []
    return near(path.name, names) or "the path is relative to the spec file"


def check_named(path: Path) -> None:
    """Raises `DataError` where a path on the command line names no regular file, and `UsageError`
    for `-`, which names none.
    """
    if str(path) == "-":
        raise UsageError(
            "'-': standard input is not read; write the rows to a file and name it", code="TR-U007"
        )
    try:
        check_regular(path)
    except NotAFileError as error:
        raise DataError(
            Problem("", f"this is {error.what}, not a file", None, str(path), code="TR-D002")
        ) from None
    except FileNotFoundError:
        remark = remark_on(str(path), "--data")
        message, hint = remark or ("the file is not there", _near_name(path))
        raise DataError(Problem("", message, hint, str(path), code="TR-D001")) from None
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error)) from None


def _near_name(path: Path) -> str | None:
    hint = _near_file(path)
    return hint if hint.startswith(("did", "there")) else None


# Reading -----------------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, decompressed. Raises `DataError` where it cannot be read."""
    try:
        with opened(path) as file:
            return file.read()
    except DAMAGED as error:
        raise DataError(unreadable(path, error)) from None


def suffix_of(path: Path) -> str:
    """The suffix that tells the kind of a table: `.csv` for `day.csv.gz`."""
    suffixes = (suffix.lower() for suffix in reversed(path.suffixes))
    return next((suffix for suffix in suffixes if suffix not in COMPRESSED), "")


def refuse(contents: Contents | None, path: Path) -> None:
    """Raises `DataError` for contents that are no plain text."""
    if contents is not None:
        raise DataError(
            Problem("", f"this is {contents.what}", contents.hint, str(path), code="TR-D003")
        )


def unreadable(path: Path, error: Exception, kind: str | None = None) -> Problem:
    """The problem of a file that the system or a library refused, in the first line of its words.

    `kind` says what the file should have been, where it is readable but something else; what it
    is instead is told where that is known.
    """
    what = f" as {kind}" if kind else ""
    hint = None
    if kind:
        with suppress(OSError, ValueError):
            contents = contents_of(path)
            if contents is not None and not {kind, "whole"} & {*contents.what.split()}:
                message = f"this is {contents.what}"
                return Problem("", message, contents.hint, str(path), code="TR-D003")
            if looks_like_text(path):
                hint = "write `source: {csv: …}`"
                return Problem("", "this is text", hint, str(path), code="TR-D003")
    if is_packed(path):
        hint = "is it whole, and compressed as its name says?"
    message = f"this file cannot be read{what}: {reason(error)}"
    refused = isinstance(error, OSError) and error.errno is not None
    return Problem("", message, hint, str(path), code="TR-D002" if refused else "TR-D004")


def reason(error: Exception) -> str:
    """The words of an error: its first line, or those of the system."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return show_text(str(words).splitlines()[0], 200)
