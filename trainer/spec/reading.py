"""The text of a file of YAML, and its tree; and files that are named in others."""

from __future__ import annotations

import codecs
import os
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Final, NamedTuple

from trainer.errors import Problem, SpecError
from trainer.inputs import NotAFileError, check_regular, open_regular
from trainer.spec.changes import Changes, with_changes
from trainer.spec.declaration import in_order
from trainer.spec.document import Map, Mark, Source, parse, plain, show_path
from trainer.spec.document import Path as Place
from trainer.spec.messages import describe, near

MAX_BYTES: Final = 2**20


class Document(NamedTuple):
    """What a file holds: its tree, what is wrong in it so far, its text, and its path."""

    root: Map
    problems: list[Problem]
    text: str
    file: str


def read_root(
    text: str, file: str, overrides: Changes | None, named: Mark | None = None
) -> tuple[Map, list[Problem]]:
    """The tree with the overrides in it, and its problems; `named` is as that of `Source`. Raises
    `SpecError` where there are no keys to check.
    """
    root, problems = parse(text, file, named)
    hint = "begin with `name: …`"
    if isinstance(root, Map):
        root, found = with_changes(root, overrides)
        return root, problems + found
    if root is not None:
        message = f"expected a mapping of keys, found {describe(plain(root))}"
        problems.append(root.mark.problem("", message, hint, code="TR-S010"))
    elif not problems:
        start = Source.of(file, text).after("")
        problems.append(start.problem("", "the file is empty", hint, code="TR-S010"))
    raise SpecError(in_order(problems, file))


def beside(file: str | None, path: str) -> FilePath:
    """The place of a path that is relative to a file."""
    return FilePath(shortened(str(FilePath(file).parent / path if file else FilePath(path))))


def shortened(path: str, folder: str = "") -> str:
    """A path that is relative to a folder, without the `..` that lead nowhere else."""
    short = os.path.normpath(path)
    with suppress(ValueError):  # of what can be no path
        places = (os.path.realpath(os.path.join(folder, each)) for each in (short, path))
        return short if len({*places}) == 1 else path
    return path


def read_named(file: FilePath, mark: Mark, place: Place, *, below: bool = False) -> Document:
    """What a file holds that is named in another one, there at `mark` as the value of `place`.

    What is wrong with all of the file is told where it is named. With `below`, what its mappings
    lack is told there, too. Raises `SpecError` where there are no keys to check.
    """
    try:
        text = read_text(file)
        return Document(*read_root(text, str(file), None, mark if below else None), text, str(file))
    except SpecError as error:
        shown = show_path(place)
        raise SpecError([
            each if each.line else mark.problem(
                shown, f"{file}: {each.message}", each.hint, code=each.code
            )
            for each in error.problems
        ]) from None  # fmt: skip


def read_text(file: FilePath) -> str:
    """The file's text, or a `SpecError` that says why it cannot be had."""

    def fail(message: str, hint: str | None = None, code: str = "TR-S002") -> SpecError:
        return SpecError(Problem("", message, hint, file=str(file), code=code))

    try:
        status = check_regular(file)
        if status.st_size > MAX_BYTES:
            size = f"{status.st_size / 2**20:.1f} MiB"
            raise fail(f"a spec of {size} is too large (at most {MAX_BYTES // 2**20} MiB)",
                       "keep data in a file of its own: `source: {csv: …}`", "TR-S003")  # fmt: skip
        with open_regular(file) as opened:
            data = opened.read()
    except NotAFileError as error:
        hint = _specs_in(file) if error.what == "a directory" else "give the path of a YAML file"
        raise fail(f"this is {error.what}", hint) from None
    except FileNotFoundError:
        raise fail("no such file", _near_file(file), "TR-S001") from None
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the path, or what the file system cannot encode
        raise fail("no file can have this name") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail("this file is UTF-16", "save it as UTF-8", "TR-S004")
    return _decode(data.removeprefix(codecs.BOM_UTF8), str(file))


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        source = Source.of(file, data.decode(errors="replace"))
        mark = source.after(data[: error.start].decode())
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise SpecError(
            mark.problem("", message, "save the file as UTF-8", code="TR-S004")
        ) from None


def _near_file(file: FilePath) -> str | None:
    if not file.parent.is_dir():
        return f"there is no directory '{file.parent}'"
    known = [path.name for path in file.parent.glob("*.y*ml") if path.name != file.name]
    return near(file.name, known) or near(f"{file.name}.yaml", known)


def _specs_in(folder: FilePath) -> str:
    names = sorted(path.name for path in folder.glob("*.yaml"))
    return f"it holds {', '.join(names[:5])}" if names else "give the path of a YAML file"
