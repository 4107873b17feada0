"""Object files that are kept: found again, made again where they are not what was written."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from trainer.engine.compiled import objects
from trainer.engine.compiled.objects import SEAL, load_code
from trainer.engine.compiled.target import Target, host_target

TWICE = """
define i64 @scaled(i64 %x) {{
  %y = mul i64 %x, {factor}
  ret i64 %y
}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "kernels"
    monkeypatch.setenv("TRAINER_CACHE", str(folder))
    return folder


def made(factor: int, **options) -> bool:
    """Whether the code of a multiplication had to be made; it is what it should be."""
    with patch.object(objects, "make_object", wraps=objects.make_object) as making:
        code = load_code(TWICE.format(factor=factor), host_target(), **options)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(code.address("scaled"))
    assert function(4) == 4 * factor
    return making.called


def test_what_was_made_is_found_again(folder: Path) -> None:
    assert [made(2), made(3), made(2)] == [True, True, False]
    assert len(list(folder.iterdir())) == 2


def test_a_process_loads_the_same_text_once() -> None:
    text = TWICE.format(factor=5)
    assert load_code(text, host_target()) is load_code(text, host_target())


def test_all_that_decides_the_bytes_is_in_the_name(folder: Path) -> None:
    host = host_target()
    code = TWICE.format(factor=2)
    keys = [
        objects._key(code, host, (), 1),
        objects._key(code + "\n", host, (), 1),
        objects._key(code, Target(host.triple, "haswell", "+64bit"), (), 1),
        objects._key(code, host, ("sroa",), 1),
        objects._key(code, host, (), 2),
    ]
    assert len({*keys}) == len(keys)
    assert made(2)
    assert made(2, level=2)
    assert not made(2)


DAMAGE = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:100]),
    "changed": lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"),
    "bad seal": lambda file: file.write_bytes(bytes(SEAL) + file.read_bytes()[SEAL:]),
    "gone": lambda file: file.unlink(),
    "link": lambda file: (file.rename(file.parent.parent / "x"), file.symlink_to("../x")),
    "pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "open to others": lambda file: file.chmod(0o666),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_made_again(folder: Path, damage: str) -> None:
    assert made(2)
    [file] = folder.iterdir()
    assert made(3)
    DAMAGE[damage](file)
    assert [made(2), made(3), made(2)] == [True, False, False]
    assert file.is_file()
    assert not file.is_symlink()


def test_a_folder_in_the_way_is_left_alone(folder: Path) -> None:
    assert made(2)
    [file] = folder.iterdir()
    file.unlink()
    file.mkdir()
    assert [made(2), made(2)] == [True, True]
    assert [path.name for path in folder.iterdir()] == [file.name], "nothing half written is left"


def test_the_least_recently_used_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [made(2), made(3)] == [True, True]
    first, second = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    assert not made(2)
    monkeypatch.setattr(objects, "MAX_BYTES", int(2.5 * first.stat().st_size))
    assert made(4)
    assert [made(2), made(4)] == [False, False]
    assert not second.exists()


def test_folders_of_earlier_editions_go_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "kernel.py").write_text("#" * 5000)
    monkeypatch.setattr(objects, "MAX_BYTES", 5000)
    assert made(2)
    assert not (folder / "old").exists()


def test_others_can_neither_read_nor_write(folder: Path) -> None:
    assert made(2)
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0, 0]
    folder.chmod(0o770)
    assert made(2), "what another user may have put there is not run"


@pytest.mark.parametrize("reason", ["no folder", "full disk"])
def test_where_nothing_can_be_kept_code_is_made_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    if reason == "no folder":
        folder.write_text("")
    else:
        monkeypatch.setattr(objects, "ROOM", 2**60)
    assert [made(2), made(2)] == [True, True]
    assert folder.is_file() or not list(folder.iterdir())


PROGRAM = """
from trainer.engine.compiled.objects import load_code
from trainer.engine.compiled.target import host_target
for factor in range(2, 12):
    load_code({text!r}.format(factor=factor), host_target())
"""


def test_processes_at_once(folder: Path) -> None:
    command = [sys.executable, "-c", PROGRAM.format(text=TWICE)]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert not any(made(factor) for factor in range(2, 12))
    assert len(list(folder.iterdir())) == 10
