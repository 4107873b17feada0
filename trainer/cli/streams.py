"""Standard output and standard error: what the commands print passes through here.

A stream never fails: what it cannot write is dropped, so that neither a full disk nor a reader that
has gone ends a training, and its `failure` says what happened. Control characters, which a name or
a server's words may hold, are written out (`visible`), and what a terminal's encoding lacks is
replaced. Only rich's colours, which are ours, go as they are (`console`).
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

import typer

from trainer.errors import MachineError, visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult

PLAIN: Final = {
    "—": "-", "–": "-", "−": "-", "─": "-", "│": "|", "┤": "+", "└": "+", "┬": "+", "━": "-",
    "…": "...", "±": "+-", "→": "->", "·": ".", "×": "x", "≥": ">=", "≤": "<=", "’": "'",
    "√": "sqrt", "•": "*", "✓": "+", "✗": "x",
}  # fmt: skip
"""What is printed for our own signs where an encoding lacks them."""
REPLACE: Final = "trainer.replace"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """The handler of what cannot be encoded: a plain sign for ours, dots of a chart as `*`, and
    anything else, which is a part of some name, written out.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(_plain(character) for character in found), error.end


def _plain(character: str) -> str:
    if "\u2801" <= character <= "\u28ff":
        return "*"
    escaped = character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return PLAIN.get(character, escaped)


codecs.register_error(REPLACE, _replaced)


class _Sink:
    """Where a stream's text goes: the system's stream, or nowhere once that has failed."""

    def __init__(self, inner: TextIO | None) -> None:
        self.inner = inner
        self.failure: OSError | None = None
        if isinstance(inner, io.TextIOWrapper):
            inner.reconfigure(errors=REPLACE)

    def attempt(self, task: Callable[[TextIO], object]) -> None:
        """Does something with the system's stream, if that is of use."""
        if self.failure is not None:
            return
        try:
            if self.inner is None:  # it was closed before this process began
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            task(self.inner)
        except OSError as error:
            self.fail(error)
        except ValueError:  # it is closed
            self.fail(OSError(errno.EBADF, os.strerror(errno.EBADF)))

    def fail(self, error: OSError) -> None:
        """Lets all that follows, and what is still held back, go nowhere."""
        self.failure = error
        with suppress(OSError, ValueError):
            if self.inner is not None:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.inner.fileno())
                os.close(nowhere)


class Stream(io.TextIOBase):
    """Text to a sink, its control characters written out, unless it `obeys` them."""

    def __init__(self, sink: _Sink, obeys: bool = False) -> None:
        self.sink = sink
        self._obeys = obeys

    @property
    def encoding(self) -> str:  # type: ignore[override]  # fixed, where Python lets it be set
        """That of the terminal."""
        return getattr(self.sink.inner, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Writes the text, if that can be."""
        shown = text if self._obeys else visible(text)
        self.sink.attempt(lambda inner: inner.write(shown))
        return len(text)

    def flush(self) -> None:
        """Hands on what was written, if that can be."""
        if self.sink.inner is not None:
            self.sink.attempt(lambda inner: inner.flush())

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        with suppress(ValueError):
            return self.sink.inner is not None and self.sink.inner.isatty()
        return False

    def fileno(self) -> int:
        """The system's number of it. Raises `OSError` where there is none."""
        if self.sink.inner is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self.sink.inner.fileno()


def keep_descriptors() -> None:
    """Has something stand where a standard stream is closed, else a file that is opened next would
    take its number, and what libraries print with it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the least number that is free


@contextmanager
def safe_streams() -> Iterator[tuple[_Sink, _Sink]]:
    """Has standard output and standard error go through streams that do not fail; their sinks."""
    before = sys.stdout, sys.stderr
    out, err = _Sink(sys.stdout), _Sink(sys.stderr)
    sys.stdout, sys.stderr = Stream(out), Stream(err)
    try:
        yield out, err
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def told_of(sink: _Sink) -> MachineError | None:
    """What is to be said of standard output that did not take all. A reader that has gone, as
    `head` goes when it has its lines, wants no more, and that is no fault.
    """
    failure = sink.failure
    if failure is None or isinstance(failure, BrokenPipeError):
        return None
    return MachineError(f"standard output cannot be written: {failure.strerror}", code="TR-M003")


def print_json(value: object, indent: int | None = None) -> None:
    """Prints a value as JSON, in ASCII where the terminal has no more."""
    wide = sys.stdout.encoding.lower().startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=not wide)
    print(text if text.replace("\n", "").isprintable() else json.dumps(value, indent=indent))


# Bytes ------------------------------------------------------------------------------------------


class Bytes(Protocol):
    """What takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Writes them."""


class _Shown:
    """Bytes of UTF-8 that a person is to look at."""

    def write(self, data: bytes) -> None:
        sys.stdout.write(data.decode(errors="replace"))


@contextmanager
def binary_output() -> Iterator[Bytes]:
    """Standard output for data, which go to other programs as they are. Raises `MachineError` where
    it cannot be written. Where nobody reads on, the command ends as the system's own do.
    """
    stream = sys.stdout
    sink = stream.sink if isinstance(stream, Stream) else _Sink(stream)
    inner = getattr(sink.inner, "buffer", None)
    if stream.isatty() or (inner is None and sink.inner is not None):
        yield _Shown()
        return
    try:
        if inner is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield inner
        inner.flush()
    except OSError as error:
        sink.fail(error)
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(128 + signal.SIGPIPE) from None
        raise MachineError(
            f"standard output cannot be written: {error.strerror}", code="TR-M003"
        ) from None


# Rich -------------------------------------------------------------------------------------------


class _Safe:
    """Something that rich shows, with the control characters of its texts written out."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for text, style, control in console.render(self._inner, options):
            yield Segment(text if control else visible(text), style, control)


class _Hook:
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Safe(each) for each in renderables]


@contextmanager
def waiting(text: str, silent: bool = False) -> Iterator[Callable[[str], None]]:
    """Shows what takes long while it does, on a terminal alone; what is given changes the text."""
    if silent or not sys.stderr.isatty():
        yield lambda _: None
        return
    with console(stderr=True).status(text) as status:
        yield status.update


def console(stderr: bool = False) -> Console:
    """A console of rich, whose colours and moves of the cursor go through as they are."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    raw: Any = Stream(stream.sink, obeys=True) if isinstance(stream, Stream) else stream
    made = Console(file=raw, highlight=False, markup=False, emoji=False)
    made.push_render_hook(_Hook())  # type: ignore[arg-type]  # by its one method
    return made
