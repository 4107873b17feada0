"""Every command that writes, where what it writes to is full, closed, special, contended, narrow or
must not be written, and while the clock moves.

A file that is named is in the end what it was or what the command writes; nothing else is left, the
exit code is the one of the documentation, and nobody sees a traceback.
"""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import count, product
from pathlib import Path
from typing import Any, Final, TextIO
from unittest.mock import patch

from trainer import Profile, load_spec
from trainer import train as begin
from trainer.cli import main

from .tally import Tally

ROWS: Final = "a,b,y\n" + "".join(f"{i},{'xyz'[i % 3]},{i % 5}\n" for i in range(40))
SPEC: Final = """\
name: outputs
data: {source: {csv: rows.csv}, target: y, split: {validation: 0.2, test: 0.2}}
model: {layers: [{units: 3, activation: tanh}, {units: 1}], loss: squared}
sgd: {learning_rate: 0.01, batch_size: 8, epochs: 2}
"""
RUN: Final = ("last", "--runs", "runs")
FILES: Final[dict[str, tuple[str, ...]]] = {
    "csv": ("predict", *RUN, "--data", "rows.csv", "--out"),
    "parquet": ("predict", *RUN, "--data", "rows.csv", "--out"),
    "py": ("export", *RUN, "--to", "numpy", "--out"),
    "safetensors": ("export", *RUN, "--to", "safetensors", "--out"),
    "html": ("explain", "spec.yaml", "--html"),
    "svg": ("explain", "spec.yaml", "--svg"),
    "tex": ("explain", "spec.yaml", "--latex"),
    "png": ("check", "spec.yaml", "--png"),
}
"""Commands that write a file, by its ending."""
PRINTED: Final[tuple[tuple[str, ...], ...]] = (
    ("check", "spec.yaml"), ("check", "spec.yaml", "--json"), ("check", "spec.yaml", "--kernel"),
    ("check", "spec.yaml", "--plot-schedule"), ("check", "wrong.yaml"), ("schema",), ("--help",),
    ("explain", "spec.yaml"), ("explain", "spec.yaml", "--json"), ("gradcheck", "spec.yaml"),
    ("predict", *RUN, "--data", "rows.csv"), ("predict", *RUN, "--data", "wrong.csv"),
    ("evaluate", *RUN, "--data", "rows.csv"), ("evaluate", *RUN, "--data", "rows.csv", "--json"),
    ("lr-find", "spec.yaml", "--no-track", "--json"), ("nothing",),
)  # fmt: skip
"""Commands that print; `wrong.csv` is wrong in its last row, and nothing of it is printed."""
USAGE, MACHINE, PIPE = 2, 7, 141


@dataclass
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str = ""
    err: str = ""


@contextmanager
def _place(folder: Path) -> Iterator[None]:
    """A folder with a run, where the commands are called."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("rows.csv").write_text(ROWS)
        Path("wrong.csv").write_text(ROWS + "none,x,1\n")
        Path("spec.yaml").write_text(SPEC)
        Path("wrong.yaml").write_text(SPEC.replace("units: 3", "units: \x1b[2J"))
        profile = Profile("reference", record=False)
        begin(load_spec("spec.yaml"), profile=profile, again=True)
        yield
    finally:
        os.chdir(before)


def run(arguments: Sequence[str]) -> Ended:
    """A command, in this process. A traceback is what it would print of an error that comes out."""
    out, err = io.StringIO(), io.StringIO()
    with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
        code = _code(arguments)
    return Ended(code, out.getvalue(), err.getvalue())


def _code(arguments: Sequence[str]) -> int:
    try:
        main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)


# Files ------------------------------------------------------------------------------------------


@contextmanager
def _room(size: int) -> Iterator[None]:
    """Files may have so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _unwritable() -> Iterator[None]:
    """No file can be made here, as for those who are not root in a folder of others."""
    real = os.open

    def refuse(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(Path.cwd())):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *rest, **named)

    with patch.object(os, "open", refuse):
        yield


@contextmanager
def _clock() -> Iterator[None]:
    """The time of day jumps back by a day at each look, and then forward by two."""
    real, looks = time.time, iter(range(10**9))
    with patch.object(time, "time", lambda: real() + (-86_400 if next(looks) % 2 else 172_800)):
        yield


@contextmanager
def _contended(arguments: Sequence[str]) -> Iterator[None]:
    """The same command writes the same file, from beginning to end, before the first gives it."""
    real, begun = os.fsync, iter([True])

    def meanwhile(handle: int) -> None:
        if next(begun, False):
            _code(arguments)
        real(handle)

    with patch.object(os, "fsync", meanwhile):
        yield


def files(folder: Path, every: int) -> Tally:
    """All commands that write a file, in one case of so many, with and without a file before."""
    tally, numbers = Tally("files that are written"), count(1)
    with _place(folder):
        for ending, command in FILES.items():
            name = f"out.{ending}"
            arguments, usual = [*command, name], cache(partial(_usual, name, (*command, name)))
            for case, make, within, code in _conditions(arguments, usual):
                for old in (b"old", None):
                    if next(numbers) % every:
                        continue
                    expected = old, usual()
                    _clear(name, old)
                    make(name)
                    fault = _fault(name, arguments, within, code, expected)
                    tally.case(f"{name}, {case}, {'there' if old else 'not there'}", fault)
    return tally


def _usual(name: str, arguments: Sequence[str]) -> bytes:
    """What the command writes where nothing is in its way."""
    assert run(arguments).code == 0
    return Path(name).read_bytes()


Make = Callable[[str], object]


def _conditions(
    arguments: Sequence[str], usual: Callable[[], bytes]
) -> Iterator[tuple[str, Make, Callable[[], Any], int]]:
    """What a case is called, how the place is made, what goes on meanwhile, and the exit code."""

    def nothing(name: str) -> None:
        return None

    for room in (0, 1, 50):
        yield f"room for {room} bytes", nothing, partial(_room, room), MACHINE
    yield "room for all but a byte", nothing, lambda: _room(len(usual()) - 1), MACHINE
    yield "unwritable", nothing, _unwritable, MACHINE
    yield "the clock moves", nothing, _clock, 0
    yield "contended", nothing, lambda: _contended(arguments), 0
    for kind, make in SPECIAL.items():
        yield kind, make, ExitStack, 0 if kind == "a link" else USAGE


def _moved(name: str) -> None:
    """A link to a file where there is one, or where one would be."""
    if Path(name).exists():
        Path(name).rename(f"there-{name}")
    Path(name).symlink_to(f"there-{name}")


def _replaced(make: Make) -> Make:
    def made(name: str) -> None:
        Path(name).unlink(missing_ok=True)
        make(name)

    return made


SPECIAL: Final[dict[str, Make]] = {
    "a link": _moved,
    "a pipe": _replaced(os.mkfifo),
    "a folder": _replaced(os.mkdir),
    "a link to a device": _replaced(lambda name: Path(name).symlink_to("/dev/null")),
    "a link to itself": _replaced(lambda name: Path(name).symlink_to(name)),
}


def _clear(name: str, old: bytes | None) -> None:
    for path in (Path(name), Path(f"there-{name}")):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
    if old is not None:
        Path(name).write_bytes(old)


def _fault(
    name: str,
    arguments: Sequence[str],
    within: Callable[[], Any],
    code: int,
    contents: tuple[bytes | None, bytes],
) -> str | None:
    """What is wrong after the command; None where all is right."""
    before, stood = set(os.listdir()) | {f"there-{name}"}, _kind(name)
    with within():
        ended = run(arguments)
    if ended.code != code or (code and not ended.err.startswith("train: ")):
        return f"code {ended.code} instead of {code}: {ended.err or ended.out}"
    more = set(os.listdir()) - before - {name}
    if more:
        return f"{', '.join(more)} is left"
    if code == USAGE:
        return None if _kind(name) == stood else "the place is another thing now"
    if stood == "link" != _kind(name):
        return "the link is gone"
    found = Path(name).read_bytes() if Path(name).exists() else None
    same = _same(name, found, contents[code == 0])
    return None if same else f"it holds {found and len(found)} bytes"


def _same(name: str, found: bytes | None, expected: bytes | None) -> bool:
    """Whether a file is the expected one; the facts at the head of tensors have no order."""
    if found and expected and name.endswith(".safetensors") and found != expected:
        sizes = [8 + int.from_bytes(data[:8], "little") for data in (found, expected)]
        heads = [
            json.loads(data[8:size]) for data, size in zip((found, expected), sizes, strict=True)
        ]
        return heads[0] == heads[1] and found[sizes[0] :] == expected[sizes[1] :]
    return found == expected


def _kind(name: str) -> str:
    path = Path(name)
    return "link" if path.is_symlink() else oct(path.lstat().st_mode) if path.exists() else "none"


# Streams ----------------------------------------------------------------------------------------


def _gone() -> TextIO:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


def _narrow(encoding: str) -> Callable[[], TextIO]:
    return lambda: io.TextIOWrapper(io.BytesIO(), encoding)


STREAMS: Final[dict[str, Callable[[], TextIO | None]]] = {
    "full": lambda: Path("/dev/full").open("w"),  # noqa: SIM115 (closed by `_text`)
    "closed": lambda: None,
    "without a reader": _gone,
    "ascii": _narrow("ascii"),
    "latin-1": _narrow("latin-1"),
}


def streams(folder: Path, every: int) -> Tally:
    """All commands that print, with one case of so many of a stream that is not as usual."""
    tally, numbers = Tally("streams that are printed to"), count(1)
    with _place(folder):
        for command in PRINTED:
            usual: Ended | None = None
            for name, which in product(STREAMS, ("stdout", "stderr", "both")):
                if next(numbers) % every:
                    continue
                usual = usual or run(command)
                fault = _lost(command, usual, name, which)
                tally.case(f"{' '.join(command)}: {which} {name}", fault)
    return tally


def _lost(command: Sequence[str], usual: Ended, name: str, which: str) -> str | None:
    """What is wrong with the command there; None where all is right."""
    made: dict[str, TextIO | None] = {
        each: STREAMS[name]() if which in (each, "both") else io.StringIO()
        for each in ("stdout", "stderr")
    }
    with patch.object(sys, "stdout", made["stdout"]), patch.object(sys, "stderr", made["stderr"]):
        code = _code(command)
    said = {each: _text(stream) for each, stream in made.items()}
    lost = which != "stderr" and bool(usual.out) and usual.code == 0
    expected = {usual.code}
    if lost and name in ("full", "closed"):
        expected = {MACHINE}
    elif lost and name == "without a reader":
        expected = {0, PIPE}
    if code not in expected:
        return f"code {code} instead of {expected}: {said['stderr']}"
    if "wrong.csv" in command and said["stdout"]:
        return "predictions are printed, and not all"
    if "\x1b" in "".join(said.values()):
        return "a terminal would obey it"
    if which == "stderr" and said["stdout"] != usual.out and "lr-find" not in command:
        return "standard output is another one"
    if "--json" in command and name in ("ascii", "latin-1") and which == "stdout":
        json.loads(said["stdout"])
    return None


def _text(stream: TextIO | None) -> str:
    """What came to the stream, as far as that is known."""
    if isinstance(stream, io.StringIO):
        return stream.getvalue()
    if isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, io.BytesIO):
        return stream.buffer.getvalue().decode(stream.encoding)
    if stream is not None:
        stream.close()
    return ""
