"""The benchmarks still run, against this project as it is now."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import ROOT


def test_the_tables_come_out(folder: Path) -> None:
    arguments = ["--quick", "--tables", "sizes", "scale", "--cases", "lecture", "tabular"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--output", str(folder / "results.md"),
         "--engine", "reference", "--peers", "products", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = (folder / "results.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    timed = next(i for i, cells in enumerate(rows) if "products ÷ ours" in cells)
    for row, case in zip(rows[timed + 2 :], ["lecture", "tabular"], strict=False):
        assert row[1] == case
        ours, products = float(row[2]), float(row[3])
        assert 0 < products < ours < 1e6
    assert "is missing" not in text
    assert any(cells[1:2] == ["1,000"] for cells in rows)


def test_the_parts_of_the_command_are_timed(store: str, write_spec: Callable[..., Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmarks.command import time_train\n"
        "timed = time_train(Path(sys.argv[1]), Path('spec.yaml'))\n"
        "assert {'import', 'data', 'compile', 'train', 'log', 'rest'} == set(timed.parts)\n"
        "assert min(timed.parts.values()) > 0\n"
        "assert abs(sum(timed.parts.values()) - timed.total) < 1e-6\n"
    )
    place = write_spec().parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)],
        cwd=place, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
