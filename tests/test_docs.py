"""The README and the pages of docs/ are run: their commands, programs and figures.

`train …` is called in this process, but where the page goes on while it runs; other commands are
processes. What a command prints is compared with what the page shows, character by character. `…`
stands for anything within a line. Behind a number, as in 0.0019…, it stands for the digits in which
CPUs differ, since each adds sums up in its own order: the number must be there, and may be off by
one in the last digit that is shown. Where nothing is marked, every digit is the same on every CPU.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Train

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


OPEN = re.compile(r"(-?\d+\.\d*…|…)")
"""What is not shown in full: a number that goes on, or anything."""


def matches(shown: str, found: str) -> bool:
    """Whether the output is what the page shows, by the rules above."""
    parts = OPEN.split(shown.strip())
    numbers = [Decimal(part[:-1]) for part in parts[1::2] if part != "…"]
    pattern = [re.escape(part) for part in parts]
    pattern[1::2] = [r"[^\n]*" if part == "…" else r"(-?\d+\.\d+)" for part in parts[1::2]]
    match = re.fullmatch("".join(pattern), found.strip())
    return match is not None and all(
        abs(Decimal(text) - number) <= Decimal(1).scaleb(int(number.as_tuple().exponent))
        for text, number in zip(match.groups(), numbers, strict=True)
    )


COMMAND = re.compile(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", re.DOTALL)
"""A command, which goes on where a line ends with a backslash, and what it prints."""


OURS = re.compile(r"train ([^$|&;<>]*)(?:\| (.*))?", re.DOTALL)
"""A command of this project, and what its output goes through."""


@contextmanager
def console(folder: Path, train: Train) -> Iterator[Callable[[str], None]]:
    """What runs each line of a block after `$ ` and compares what it prints with the lines below
    it. A command that ends with `&` runs on until the page is done.
    """
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    how: dict[str, Any] = {"cwd": folder, "env": os.environ | {"PATH": tools}, "text": True}
    running: list[subprocess.Popen[str]] = []

    def printed(command: str) -> str:
        ours = OURS.fullmatch(command)
        text = None
        if ours is not None:
            code, text, told = train(*shlex.split(ours[1]))
            if code or ours[2] is None:
                return told if code else text
            command = ours[2]
        done = subprocess.run(
            ["bash", "-c", command], input=text, capture_output=True, check=False, **how
        )
        return str(done.stderr if done.returncode else done.stdout)

    def run(block: str) -> None:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            found_parts = COMMAND.fullmatch(part)
            assert found_parts is not None
            command, shown = found_parts.groups()
            if command.endswith("&"):
                with (folder / "said").open("w") as said:
                    shell = ["bash", "-c", f"exec {command[:-1]}"]
                    server = subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=said, **how)
                running.append(server)
                assert server.stdout is not None
                lines = [server.stdout.readline() for _ in shown.strip().splitlines()]
                found = "".join(lines) or (folder / "said").read_text()
            else:
                found = printed(command)
            assert matches(shown, found), f"$ {command}\n{found}"

    try:
        yield run
    finally:
        for server in running:
            server.terminate()
            server.communicate()


@pytest.mark.models
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, store: str, folder: Path, train: Train) -> None:
    """Blocks run in order: yaml and csv blocks that begin with a file name become files."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    with console(folder, train) as run:
        for kind, text in BLOCK.findall(page.read_text()):
            name = re.match(r"# ([\w.]+)\n", text)
            if kind in ("yaml", "csv") and name:
                (folder / name[1]).write_text(text[name.end() :] if kind == "csv" else text)
            elif kind == "console":
                run(text)
            elif kind == "python":
                exec(compile(text, page.name, "exec"), {"__name__": "page"})


def test_the_readme_shows_the_config_as_it_is() -> None:
    shown = next(text for kind, text in BLOCK.findall(PAGES[0].read_text()) if kind == "yaml")
    config = (ROOT / "configs" / "hidden_layer.yaml").read_text()
    assert yaml.safe_load(shown) == yaml.safe_load(config)


def test_a_wrong_figure_would_be_noticed(folder: Path, train: Train) -> None:
    with console(folder, train) as run:
        run("$ echo 0.98 in 3 s\n0.98 in … s\n$ train --version | tr a-z A-Z\nTRAIN …\n")
        others = ("echo 0.97 in 3 s", "echo 0.97 in 3 s &", "train --version", "train no.yaml")
        for command in others:
            with pytest.raises(AssertionError):
                run(f"$ {command}\n0.98 in … s\n")


@pytest.mark.parametrize(
    ("shown", "found", "same"),
    [
        ("[0.0019…, -0.5…]", "[0.00196, -0.412]", True),
        ("[0.0019…, -0.5…]", "[0.0018, -0.6]", True),
        ("[0.0019…, -0.5…]", "[0.00201, -0.5]", False),
        ("[0.0019…, -0.5…]", "[0.0019, 0.5]", False),
        ("[0.0019…, -0.5…]", "[0.0019, , -0.5]", False),
        ("[0.0019…]", "[0.0019, 0.0019]", False),
        ("99.9… s", "100.0 s", True),
        ("99.9… s", "100.1 s", False),
        ("0.…", "0.25", True),
        ("0.…", "none", False),
        ("0.25", "0.250001", False),
    ],
)
def test_an_open_number_is_compared_in_the_digits_shown(shown: str, found: str, same: bool) -> None:
    assert matches(shown, found) is same


def test_the_commands_for_a_fresh_machine_are_targets_of_make() -> None:
    shown = next(text for kind, text in BLOCK.findall(PAGES[0].read_text()) if kind == "sh")
    targets = re.findall(r"^make (\w+)", shown, re.MULTILINE)
    assert targets == ["train", "test"]
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_each_picture_is_shown_and_made_again_by_a_command() -> None:
    """Photographs by docs/pictures.py, of what tests see; drawings are compared by tests."""
    photographs = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["PHOTOGRAPHS"]
    pictures = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    assert pictures - {"house.svg", "network.svg", "two_paths.svg"} == {
        "folds.png", *(f"{name}.png" for name in photographs),
    }  # fmt: skip
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.]+)\)", page.read_text())}
    assert shown == pictures
    browser = "".join(path.read_text() for path in (ROOT / "tests" / "browser").glob("test_*.py"))
    for seen, _, _ in photographs.values():
        assert f'"{seen}"' in browser or f'"{seen.removeprefix("service_")}"' in browser


def test_made_parts_are_up_to_date() -> None:
    """Renew them with `python docs/generate.py`."""
    scope = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    pages = dict(scope["pages"]())
    names = {"spec.md", "events.md", "reference.md", "cli.md", "errors.md", "graph.md",
             "service.openapi.json", "house.svg"}  # fmt: skip
    assert {page.name for page in pages} == names
    for page, text in pages.items():
        assert page.read_text() == text, f"{page.name} is not up to date"
