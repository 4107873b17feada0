"""`docs/contributing.md`: its diffs are applied to a copy of the sources and run; its drawing."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_api import ROOMS
from test_docs import BLOCK

PAGE = ROOT / "docs" / "contributing.md"
DIFFS = [text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == "diff"]
CHANGED = re.compile(r"^\+\+\+ b/(.+)$", re.MULTILINE)
LEFT_OUT = shutil.ignore_patterns("page", "faults", "browser", "images", "_build")
ROWS = (
    "ops", "new_op", "compiled", "export", "equations", "layers", "losses", "metrics", "schedules",
    "data", "cli",
)  # fmt: skip
"""The files whose tables have a row for what is added, or walk a table that has one."""
OF_THEM = (
    "swish or (abs and (gradient or ops_agree or written or each_example)) or log_cosh or inverse "
    "or rings or (scale and (gradients or within or checked)) or a_number or the_table or a_row "
    "or has_a_case or are_the_rows or list_of_commands"
)


def run(folder: Path, *command: object) -> None:
    """Runs a program in the folder, with the packages that lie there."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with all of the page's diffs."""
    folder = tmp_path_factory.mktemp("added")
    for name in ("trainer", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
    for name in ("configs", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "all.diff").write_text("".join(DIFFS))
    run(folder, "git", "apply", "all.diff")
    return folder


def test_what_the_page_adds_works(copy: Path) -> None:
    """In one process: trainings with what is added, and the rows of the tests."""
    files = ["tests/added.py", *(f"tests/test_{name}.py" for name in ROWS)]
    selected = f"added or {OF_THEM}"
    run(
        copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", selected, *files
    )


def test_what_the_page_adds_is_in_style(copy: Path) -> None:
    files = sorted({name for text in DIFFS for name in CHANGED.findall(text) if name[-3:] == ".py"})
    ruff = Path(sys.executable).with_name("ruff")
    run(copy, ruff, "check", "--no-cache", *files)
    run(copy, ruff, "format", "--no-cache", "--check", *files)


def test_an_activation_is_two_rows() -> None:
    """One of the table of ops, and one of the tests."""
    text = next(text for text in DIFFS if "swish" in text)
    assert CHANGED.findall(text) == ["trainer/graph/ops/elementwise.py", "tests/test_ops.py"]
    assert len(re.findall("^@@", text, re.MULTILINE)) == 2
    assert not re.findall(r"^-(?!-- a/)", text, re.MULTILINE)


def test_a_diff_that_no_longer_fits_is_noticed(copy: Path) -> None:
    """What stands around the lines must be there."""
    (copy / "old.diff").write_text(DIFFS[0].replace('"softplus({0})"', '"softmax({0})"'))
    with pytest.raises(AssertionError, match=r"elementwise\.py: patch does not apply"):
        run(copy, "git", "apply", "old.diff")


def test_the_drawing_has_the_rooms_in_their_order() -> None:
    house = runpy.run_path(str(ROOT / "docs" / "house.py"))
    assert tuple(name for _, rooms in house["FLOORS"] for name, _ in rooms) == ROOMS
    assert {name for step in house["WAY"] for name, _ in step} - {"YAML"} <= set(ROOMS)
