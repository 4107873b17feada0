"""Standard output and standard error: full, closed, narrow, and what a terminal would obey."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import APART, WriteSpec
from rich.text import Text

from trainer.cli.streams import Stream, binary_output, console, print_json, safe_streams, told_of
from trainer.cli.tables import Column, Output, table
from trainer.errors import Problem, visible

HOSTILE = "a\x1b]0;owned\x07\x1b[31m\r\x9b\u202e\ud800z"
SHOWN = r"a\x1b]0;owned\x07\x1b[31m\r\x9b\u202e\ud800z"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has something print to a terminal of an encoding; what came there."""

    def run(task: Any, encoding: str = "utf-8") -> str:
        terminal = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding))
        with safe_streams():
            task()
        return terminal.getvalue().decode(encoding)

    return run


def test_control_characters_are_written_out(printed: Any) -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("naïve — 表 🙂\n\t") == "naïve — 表 🙂\n\t"
    assert printed(lambda: print(HOSTILE)) == SHOWN + "\n"
    assert printed(lambda: console().print(Text("\x1b[2J\x9b"))) == "\\x1b[2J\\x9b\n"
    assert printed(lambda: Output().show(HOSTILE)) == SHOWN + "\n"
    assert json.loads(printed(lambda: print_json({HOSTILE: "\x7f"}))) == {HOSTILE: "\x7f"}


def test_our_own_colours_stay() -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]  # the point of this stand-in
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        with safe_streams():
            console().print(Text("\x1b[2J", "bold"))
    assert terminal.getvalue() == "\x1b[1m\\x1b[2J\x1b[0m\n"


def test_tables_are_as_wide_as_what_is_shown() -> None:
    lines, _ = table([Column("n\x1b", ["\x1b[2J", "ab"]), Column("v", ["1", "2"])], None)
    assert [line.plain for line in lines] == ["n\\x1b    v", "\\x1b[2J  1", "ab       2"]


def test_the_caret_stands_below_a_fault_behind_control_characters() -> None:
    problem = Problem("p", "m", None, "f", 1, 3, "\x1b\x1bxy", 2)
    assert problem.render().splitlines()[1:] == [r"    1 | \x1b\x1bxy", "      |         ^^"]


@pytest.mark.parametrize(("encoding", "expected"), [
    ("ascii", r"- ... +- -> | ** \xe9 \u8868"), ("latin-1", r"- ... ± -> | ** é \u8868"),
    ("utf-8", "— … ± → │ ⣀⢀ é 表"),
])  # fmt: skip
def test_narrow_terminals_get_replacements(printed: Any, encoding: str, expected: str) -> None:
    assert printed(lambda: print("— … ± → │ ⣀⢀ é 表"), encoding) == expected + "\n"
    assert json.loads(printed(lambda: print_json(["é"]), encoding)) == ["é"]


def test_a_stream_that_was_closed_before_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with safe_streams() as (out, _):
        assert told_of(out) is None  # nothing was printed yet
        assert not sys.stdout.isatty()
        print("x")
        assert (
            str(told_of(out)) == "standard output cannot be written: Bad file descriptor [TR-M003]"
        )


def test_what_fails_once_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        tries = 0

        def write(self, text: str) -> int:
            Full.tries += 1
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    with safe_streams() as (_, err):
        for _ in range(3):
            print("x", file=sys.stderr)
        assert (Full.tries, told_of(err) is not None) == (1, True)


def test_a_reader_that_has_gone_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        with safe_streams() as (out, _):
            print("x", flush=True)
            assert isinstance(sys.stdout, Stream)
            assert isinstance(out.failure, BrokenPipeError)
            assert told_of(out) is None


def test_a_training_outlives_both_streams(write_spec: WriteSpec, store: str) -> None:
    """And what is printed of it last is told to be lost, where it is."""
    path = write_spec({"sgd.epochs": 20})
    command = [*APART, str(path), "--engine", "reference"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=full, check=False)
    assert done.returncode == 7
    (outcome,) = Path("runs").glob("*/result.json")
    assert json.loads(outcome.read_text())["status"] == "FINISHED"


def test_schema_to_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trainer", "schema"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    message = "train: standard output cannot be written: No space left on device [TR-M003]\n"
    assert (done.returncode, done.stderr) == (7, message)


def test_data_go_to_pipes_as_they_are_and_to_people_written_out(printed: Any) -> None:
    def print_data() -> None:
        with binary_output() as output:
            output.write("é\x1b\n".encode())

    assert printed(print_data) == "é\x1b\n"
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        with safe_streams():
            print_data()
    assert shown.getvalue() == "é\\x1b\n"


def test_no_thread_outlives_the_command() -> None:
    """What a library still does there would abort Python where it ends as usual, or hold it."""
    code = (
        "import atexit, sys, threading, time; from trainer.cli import main\n"
        "threading.Thread(target=time.sleep, args=[60]).start()\n"
        "atexit.register(print, 'the end', flush=True); sys.argv[1:] = ['--version']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines()[1:] == ["the end"]
