"""Files that a user names: whole or absent, whatever stands there and whatever happens."""

from __future__ import annotations

import errno
import inspect
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import Train

from trainer.cli.commands import COMMANDS, load
from trainer.errors import MachineError, UsageError
from trainer.outputs import check_place, replacing

PLACES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folder": (Path.mkdir, "is a folder, where the name of a file is expected"),
    "pipe": (os.mkfifo, "is a pipe, where"),
    "link to a pipe": (lambda p: (os.mkfifo(f"{p}.p"), p.symlink_to(f"{p}.p")), "is a pipe, where"),
    "link to a device": (lambda p: p.symlink_to("/dev/null"), "is a device, where"),
    "link to a folder": (lambda p: p.symlink_to(p.parent), "is a folder, where"),
    "link to itself": (lambda p: p.symlink_to(p), "cannot be written: Too many levels of symbolic"),
    "socket": (lambda p: socket.socket(socket.AF_UNIX).bind(str(p)), "is a socket, where"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_only_regular_files_are_written(
    kind: str, folder: Path, recwarn: pytest.WarningsRecorder
) -> None:
    make, message = PLACES[kind]
    place = Path("x.csv")
    make(place)
    recwarn.clear()  # the socket is not closed
    before = os.lstat(place)
    with pytest.raises(UsageError, match=message), replacing(place, [".csv"]):
        raise AssertionError
    assert (os.lstat(place).st_ino, os.lstat(place).st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize(("name", "message"), [
    ("", "'.' is a folder"), (".", "'.' is a folder"), ("..", "'..' is a folder"),
    ("-", "expected a file's name that ends in .csv, .parquet or .pq, found '-'; standard output"),
    ("p", "ends in .csv, .parquet or .pq, found none"), (".csv", "found none"),
    ("p.xlsx", "found '.xlsx'"), ("p.csv.gz", "found '.gz'"), ("p.csv ", "found '.csv '"),
    ("no/p.csv", "there is no folder 'no' for the file 'p.csv'"),
    ("a.csv/p.csv", "cannot be written: Not a directory"), ("a\0.csv", "embedded null byte"),
    ("m" * 300 + ".csv", "cannot be written: File name too long"),
])  # fmt: skip
def test_names_that_are_no_files(name: str, message: str, folder: Path) -> None:
    Path("a.csv").touch()
    with pytest.raises(UsageError) as told:
        check_place(Path(name), (".csv", ".parquet", ".pq"))
    assert message in str(told.value)


def test_a_link_stays_and_its_file_is_replaced(folder: Path) -> None:
    """Also one that leads elsewhere, and one whose file is not there yet."""
    Path("there").mkdir()
    for name in ("old", "new"):
        target = Path("there", f"{name}.csv")
        Path(f"{name}.csv").symlink_to(target)
    Path("there/old.csv").write_text("before")
    for name in ("old", "new"):
        with replacing(Path(f"{name}.csv"), [".csv"]) as fresh:
            fresh.write_text(name)
        assert Path(f"{name}.csv").is_symlink()
        assert Path("there", f"{name}.csv").read_text() == name
    assert sorted(os.listdir("there")) == ["new.csv", "old.csv"]


def half_written(error: BaseException) -> None:
    with replacing(Path("p.csv"), [".csv"]) as fresh:
        fresh.write_text("half")
        raise error


@pytest.mark.parametrize(("error", "kind"), [
    (OSError(errno.ENOSPC, "No space left on device"), MachineError), (KeyboardInterrupt(), None),
    (ValueError("x"), None), (MemoryError(), None),
])  # fmt: skip
def test_a_failure_leaves_what_was_there(
    error: BaseException, kind: type[Exception] | None, folder: Path
) -> None:
    for before in ("old", None):
        if before:
            Path("p.csv").write_text(before)
        else:
            Path("p.csv").unlink()
        with pytest.raises(kind or type(error)):
            half_written(error)
        assert os.listdir() == (["p.csv"] if before else [])
        assert before is None or Path("p.csv").read_text() == before


def test_two_at_once_leave_the_file_of_one(folder: Path) -> None:
    with replacing(Path("p.csv")) as first, replacing(Path("p.csv")) as second:
        for part in ("a\n", "b\n"):
            for name, fresh in (("first ", first), ("second ", second)):
                with fresh.open("a") as file:
                    file.write(name + part)
    assert Path("p.csv").read_text() == "first a\nfirst b\n"
    assert os.listdir() == ["p.csv"]


def test_rights_are_those_of_the_file_that_was_there(folder: Path) -> None:
    old = os.umask(0o027)
    try:
        for mode in (0o640, 0o604):
            with replacing(Path("p.csv")) as fresh:
                fresh.write_text("x")
            assert stat.S_IMODE(Path("p.csv").stat().st_mode) == mode
            Path("p.csv").chmod(0o604)
    finally:
        os.umask(old)


def test_what_became_a_device_meanwhile_is_left(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a pipe"), replacing(Path("p.csv")):
        os.mkfifo("p.csv")
    assert os.listdir() == ["p.csv"]


# The commands -----------------------------------------------------------------------------------

WRITES = sorted(
    (command, name)
    for command, function in zip(COMMANDS, map(load, COMMANDS), strict=True)
    if inspect.isfunction(function)
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
    if Path in get_args(get_args(parameter.annotation)[0])
    and name not in ("config", "data", "kept", "runs")
)


def test_all_options_that_name_a_file_are_known() -> None:
    assert WRITES == [
        ("check", "html"), ("check", "png"), ("compare", "html"), ("explain", "html"),
        ("explain", "latex"), ("explain", "svg"), ("export", "out"), ("importance", "png"),
        ("init", "out"), ("lr-find", "png"), ("predict", "out"),
    ]  # fmt: skip


@pytest.mark.parametrize(("command", "option"), WRITES)
def test_a_place_that_cannot_be_is_told_before_anything_is_done(
    command: str, option: str, train: Train, folder: Path
) -> None:
    others = {"export": ["--to", "onnx"], "predict": ["--data", "rows.csv"]}.get(command, [])
    for place in ("x.docx", "", "."):
        code, out, err = train(command, "nothing", f"--{option}", place, *others)
        assert (code, out) == (2, "")
        assert "expected a file's name that ends in ." in err or "'.' is a folder" in err
    assert os.listdir() == []


def test_a_format_has_its_own_ending(train: Train, folder: Path) -> None:
    code, _, err = train("export", "last", "--to", "onnx", "--out", "model.py")
    assert (code, err.splitlines()[0]) == (
        2, "train: 'model.py': expected a file's name that ends in .onnx, found '.py' [TR-U004]",
    )  # fmt: skip
