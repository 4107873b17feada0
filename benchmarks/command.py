"""What the whole command takes, from the shell to a finished run in MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "hidden_layer.yaml"


@dataclass(frozen=True)
class Timed:
    """Seconds from start to end of a process, and of its parts where they are known."""

    total: float
    parts: dict[str, float] = field(default_factory=dict)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A new folder with nothing in it: no database of MLflow, no compiled code."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def time_train(folder: Path, config: Path = CONFIG, options: Sequence[str] = ()) -> Timed:
    """Runs the command in a folder, which also holds what it compiles for the next time."""
    parts = folder / "parts.json"
    began = time.monotonic()
    arguments = ["benchmarks.timed_train", repr(began), str(parts), str(config), *options]
    _run(["-m", *arguments], folder)
    total = time.monotonic() - began
    seconds = json.loads(parts.read_text())
    seconds["rest"] += total - sum(seconds.values())  # the end of the process
    return Timed(total, seconds)


def time_torch(folder: Path) -> Timed:
    """Runs the script that does the same by hand."""
    began = time.monotonic()
    _run(["-m", "benchmarks.torch_mlflow"], folder)
    return Timed(time.monotonic() - began)


def _run(arguments: Sequence[str], folder: Path) -> None:
    own = {
        "PYTHONPATH": str(ROOT),
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=kept | own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{arguments[1]} failed:\n{done.stderr}")
