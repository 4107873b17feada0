"""Everything that can go wrong for a user, as one family, with its exit code.

    TrainerError
    ├── SpecError            2    the spec: its YAML, its keys and values, its graph
    │   └── GraphError       2    a graph whose nodes do not fit together
    ├── UsageError           2    the command line or an argument of the Python interface
    ├── DataError            3    the data that the spec names
    ├── CheckpointError      6    what is kept of a run on disk: held, refused, not to be resumed
    │   ├── DamagedError     6    it is not what the run has written
    │   ├── NoRoomError      6    the disk is full
    │   └── OtherBitsError   6    it would not go on to the bits of an untouched run
    ├── MachineError          7    what was asked for cannot be written: a file, standard output
    ├── ServiceError          8    the training service: away, refuses its token, or fails
    └── RunError                  a run that did not come to a good end; it carries the run
        ├── DivergedError    4    a loss or a gradient stopped being finite
        ├── TrackingError    5    the MLflow store
        └── InterruptedRun   130  it was stopped (by SIGTERM: 143); what was trained is kept

The command line catches `TrainerError` once and prints it; nothing else of the package
prints an error or exits.

Each has a code, such as TR-D012, with which the first line of its text ends. What the codes mean
stands in `trainer/codes/`; `train help TR-D012` shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from unicodedata import east_asian_width

from trainer.addresses import without_secrets

_CODES: Final = re.compile(r" \[(TR-[A-Z][0-9]{3})\]$", re.MULTILINE)


def is_code(text: str) -> bool:
    """Whether a text has the form of a code."""
    return _CODES.fullmatch(f" [{text}]") is not None


def coded(text: str, code: str | None) -> str:
    """The text with the code of its error at the end of the first line."""
    first, line_break, rest = text.partition("\n")
    return f"{first} [{code}]{line_break}{rest}" if code else text


def uncoded(text: str, code: str | None = None) -> tuple[str, str | None]:
    """A text without the code at the end of its first line, where it is that of an error from
    elsewhere; and that code, or the one that is given where there is none.
    """
    first, line_break, rest = text.partition("\n")
    found = _CODES.search(first)
    if found is None:
        return text, code
    return f"{first[: found.start()]}{line_break}{rest}", found[1]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a spec: where it is, what was expected and found, what to do.

    `line` and `column` count from 1; they are None for a spec that was not read from a file.
    `source` is the line of the file and `width` the number of characters at fault in it. `code`
    is that of its entry in `trainer/codes/`.
    """

    path: str
    message: str
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    source: str = ""
    width: int = 1
    code: str | None = None

    def render(self) -> str:
        """The problem as people read it: place, message, code, the source line with a caret, a
        hint.
        """
        place = [self.file or "", str(self.line or ""), str(self.column or "")]
        head = ":".join([part for part in place if part])
        message = coded(self.message, self.code)
        lines = [": ".join(part for part in (head, self.path, message) if part)]
        if self.source and self.line is not None and self.column is not None:
            whole = without_secrets(self.source)
            before = without_secrets(self.source[: self.column - 1])
            column = self.column if whole == self.source else len(before) + 1
            source, column = _window(whole, column)
            gutter = f"{self.line:>5} | "
            before = visible(source[: column - 1])
            fault = visible(source[column - 1 : column - 1 + self.width])
            lines.append(gutter + visible(source))
            caret = " " * _cells(before) + "^" * max(1, _cells(fault))
            lines.append(" " * (len(gutter) - 2) + "| " + caret)
        if self.hint:
            lines.append(f"      hint: {self.hint}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, str | int | None]:
        """The stable JSON form of `train check --json`."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "code": self.code,
            "message": without_secrets(self.message),
            "hint": self.hint and without_secrets(self.hint),
        }


def visible(text: str, keep: str = "\n\t") -> str:
    """The text with all that a terminal would obey, or not show at all, written out as in Python.

    The characters of `keep` stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _written(c) for c in text)


def _written(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _cells(text: str) -> int:
    """How many cells of a terminal a text takes: wide characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _window(source: str, column: int, size: int = 100) -> tuple[str, int]:
    """The part of a long line around `column`, and the column within that part."""
    source = source.replace("\t", " ")
    start = max(0, min(column - 1 - size // 2, len(source) - size))
    return source[start : start + size], column - start


class TrainerError(Exception):
    """Base of all errors that are a user's to solve. `str()` of it is the whole text, with the
    code.

    No password, token or key of an address is in it, whoever wrote the message. A text that comes
    from an error, here or on another machine, brings its code along.
    """

    exit_code = 1
    kind = "error"
    code: str | None = None

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        message, code = uncoded(message, code)
        self.code = code or self.code
        super().__init__(without_secrets(coded(message, self.code)))

    @property
    def message(self) -> str:
        """The text without codes."""
        return _CODES.sub("", str(self))

    def reword(self, message: str) -> None:
        """Says it in other words, with the same code."""
        self.args = (without_secrets(coded(message, self.code)),)

    def as_json(self) -> dict[str, object]:
        """The error as `--json` prints it."""
        return {
            "error": self.kind,
            "exit_code": self.exit_code,
            "code": self.code,
            "message": self.message,
        }


class _LocatedError(TrainerError):
    """An error made of problems that may have a place in the spec. Its code is that of the first;
    `code` is for a text.
    """

    def __init__(
        self, problems: Problem | Iterable[Problem] | str, *, code: str | None = None
    ) -> None:
        if isinstance(problems, str):
            message, code = uncoded(problems, code)
            problems = Problem(path="", message=message, code=code)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))

    def as_json(self) -> dict[str, object]:
        return super().as_json() | {"errors": [problem.as_json() for problem in self.problems]}


class SpecError(_LocatedError):
    """The spec is wrong. `problems` holds every mistake found, in the order of the file."""

    exit_code = 2
    kind = "spec"


class GraphError(SpecError):
    """Nodes of a graph do not fit together; the message names them and their shapes."""

    kind = "graph"


class UsageError(TrainerError):
    """A command or function was called in a way that it does not take."""

    exit_code = 2
    kind = "usage"


class DataError(_LocatedError):
    """The data cannot be read or does not fit the spec."""

    exit_code = 3
    kind = "data"


class CheckpointError(TrainerError):
    """A run on disk cannot be written or gone on with."""

    exit_code = 6
    kind = "checkpoint"


class DamagedError(CheckpointError):
    """What is kept of a run is not what it has written."""

    code = "TR-R003"


class NoRoomError(CheckpointError):
    """The disk has no room for what is kept of a run."""

    code = "TR-M001"


class OtherBitsError(CheckpointError):
    """A run cannot go on here to the bits that an untouched one would have."""

    code = "TR-R005"


class MachineError(TrainerError):
    """The machine refuses what was asked for: no room or no right to write it, or no memory."""

    exit_code = 7
    kind = "machine"


class ServiceError(TrainerError):
    """The training service cannot be reached, refuses who asks, or fails."""

    exit_code = 8
    kind = "service"


class Result(Protocol):
    """What was trained, as far as an error needs to know it: a run, or several."""

    @property
    def status(self) -> str:
        """How it ended."""

    def as_json(self) -> dict[str, Any]:
        """What it prints with `--json`."""


class RunError(TrainerError):
    """A run did not come to a good end; `run` is what was trained, None where nothing was."""

    run: Result | None = None


class DivergedError(RunError):
    """A value that must be finite is not. The run keeps the last good parameters."""

    exit_code = 4
    kind = "diverged"
    code = "TR-X001"


class TrackingError(RunError):
    """The tracking store cannot be reached, or refused what was sent."""

    exit_code = 5
    kind = "tracking"


class InterruptedRun(RunError):  # noqa: N818 (an interruption is no fault)
    """Someone stopped the run between two steps."""

    exit_code = 130
    kind = "interrupted"
    code = "TR-X002"
