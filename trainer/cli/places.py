"""Where commands look for runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

RUNS: Final = Path("runs")


def kept_runs() -> Path:
    """The folder `runs` of the current folder, or of the nearest above it that has one with runs;
    as in git, not one of another user.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        runs = folder / RUNS
        if (runs / "mlflow.db").is_file() or next(runs.glob("*/run.json"), None) is not None:
            if folder == here:
                break
            if runs.stat().st_uid == os.geteuid():
                return runs
    return RUNS
