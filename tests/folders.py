"""Folders of runs that never trained."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.checkpoints.facts import FACTS, Facts, write_json

ORIGIN = {"source": None, "user": "some", "version": "0", "git": {}}
DATA = {"sha256": "2" * 64, "origin": "some.csv", "features": 1, "rows": {"train": 1}}


def some_facts(**changes: Any) -> Facts:
    """The facts of a run, with changes."""
    facts = Facts(
        id="a" * 32, kind="train", name="some", experiment="some", spec={}, spec_sha256="1" * 64,
        spec_text=None, spec_file=None, origin=ORIGIN, data=DATA, engine="reference",
        environment={}, description=[], score="accuracy", charts={}, began=1e9,
    )  # fmt: skip
    return replace(facts, **changes)


def make_folder(run_id: str, name: str, age: int = 0) -> Path:
    """The folder of a run with this name in the current folder, so many seconds old."""
    path = Path("runs") / run_id
    path.mkdir(parents=True)
    write_json(path, FACTS, some_facts(id=run_id, name=name))
    os.utime(path / FACTS, (10**9 - age, 10**9 - age))
    return path
