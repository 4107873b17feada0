"""What the whole command takes, from the shell to its result, and to a finished run in MLflow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "hidden_layer.yaml"
TRAIN = ("-m", "trainer", str(CONFIG))


@dataclass(frozen=True)
class Timed:
    """Seconds from the start of a process until its result is on the screen, and to its end."""

    shown: float
    ended: float


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A new folder with nothing in it: no database of MLflow, no compiled code."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def time_command(folder: Path, arguments: Sequence[str]) -> Timed:
    """Runs Python with these arguments in a folder, which also holds what is compiled for the next
    time. What it prints on standard output is the result, of which the first text counts. Raises
    `RuntimeError` where it fails or prints nothing.
    """
    own = {
        "PYTHONPATH": str(ROOT),
        "TRAINER_CACHE": str(folder / "cache"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder, env=kept | own, stdout=subprocess.PIPE, stderr=errors,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            found = os.read(process.stdout.fileno(), 1)
            shown = time.monotonic() - began
            process.stdout.read()
        ended = time.monotonic() - began
        if process.returncode or not found:
            errors.seek(0)
            raise RuntimeError(f"{arguments} failed:\n{errors.read().decode()}")
    return Timed(shown, ended)


def time_train(folder: Path) -> Timed:
    """Trains the config, whether it was trained before or not."""
    return time_command(folder, [*TRAIN, "--again"])


def time_known(folder: Path) -> Timed:
    """Asks for the config again, which was trained in this folder."""
    return time_command(folder, TRAIN)


def time_torch(folder: Path) -> Timed:
    """Runs the script that does the same by hand."""
    return time_command(folder, ["-m", "benchmarks.torch_mlflow"])
