"""The benchmarks still run, against this project as it is now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from benchmarks import rate_search, report
from benchmarks.command import Timed, time_command, time_known, time_train
from trainer.checkpoints.facts import read_recorded
from trainer.checkpoints.folder import folders


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


def test_the_command_is_timed(folder: Path) -> None:
    code = (
        "import sys, time; print('the result', flush=True); time.sleep(0.3); print('where it is')"
    )
    timed = time_command(folder, ["-c", code])
    assert 0 < timed.shown < timed.ended - 0.25
    for wrong in ("print('a result'); raise SystemExit('no room')", "raise SystemExit('no room')"):
        with pytest.raises(RuntimeError, match="no room"):
            time_command(folder, ["-c", wrong])
    with pytest.raises(RuntimeError):
        time_command(folder, ["-c", ""])


def test_the_own_command_is_timed_to_its_recorded_end(folder: Path) -> None:
    """What was trained before ends soonest, and nothing is trained again."""
    trained, known = time_train(folder), time_known(folder)
    assert 0 < trained.shown < trained.ended
    assert 0 < known.shown < known.ended < trained.ended
    (kept,) = folders(folder / "runs")
    recorded = read_recorded(kept)
    assert recorded is not None
    assert recorded.whole


def test_the_table_of_the_command() -> None:
    table = report.command([("a", [Timed(1, 2), Timed(3, 9), Timed(2, 4)]), ("b", [Timed(0.5, 1)])])
    assert table.splitlines()[-2:] == ["| a | 2.00 | 4.00 |", "| b | 0.50 | 1.00 |"]


def test_searches_for_rates_are_told() -> None:
    """A search is good up to a tenth above the best; what diverges is not."""
    losses = {"wine": (1.09, 1.2), "iris": (1.2, 1.0), "digits": (1.1, float("inf"))}
    measured = [
        rate_search.Measured(name, 1, 0.1, name != "iris", 2.0, *pair, 0.316, 1.0)
        for name, pair in losses.items()
    ]
    text = rate_search.page(measured)
    assert "in **2 of 3** searches; of the 2 that were sure, in 2." in text
    assert "trials, did in 1." in text
    assert "| iris | 0 of 1 | 0.1 | 0.316 | 1.200 | 1 | 2.0 |" in text


def test_the_specs_of_searches_are_whole(folder: Path) -> None:
    for name, task in rate_search.TASKS.items():
        if task.file is not None:
            (folder / f"{name}.csv").touch()
        spec = rate_search.spec_of(name, 3, folder)
        assert (spec.seed, spec.sgd.epochs) == (3, rate_search.EPOCHS)
    assert rate_search.GRID[:3] == (0.0001, 0.000316, 0.001)
