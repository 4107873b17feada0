"""Training on a table that stays on disk: seconds of each pass, and the most memory.

    python -m benchmarks.streaming [--rows 100000000] [--kind parquet] [--folder FOLDER]

Writes a table of 9 features and a target there, trains one epoch on it, prints a row for
benchmarks/STREAMING.md, and deletes the table. Needs about 130 bytes a row of disk for Parquet.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import SPAWN, peak_memory

FEATURES = 9
BATCH = 4096
GROUP = 2**20  # rows that are drawn and written at a time
NETWORK = {"layers": [{"units": 16, "activation": "relu"}, {"units": 1}], "loss": "squared"}


@dataclass(frozen=True)
class Streamed:
    """Seconds of the parts of a run, by name; bytes of memory at most, and of the table."""

    seconds: dict[str, float]
    loss: float
    peak: int
    size: int


def draw(rows: int) -> Iterator[Any]:
    """The table as pyarrow tables of `GROUP` rows: normal features, a target with noise."""
    import pyarrow as pa

    random = np.random.default_rng(5)
    for start in range(0, rows, GROUP):
        x = random.standard_normal((min(GROUP, rows - start), FEATURES)).round(6)
        noise = 0.1 * random.standard_normal(len(x))
        y = (np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + noise).round(6)
        yield pa.table({f"x{i + 1}": x[:, i] for i in range(FEATURES)} | {"y": y})


def write(path: Path, kind: str, rows: int) -> None:
    """Writes the table to a file."""
    tables = draw(rows)
    first = next(tables)
    with _writer(path, kind, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _writer(path: Path, kind: str, schema: Any) -> Any:
    if kind == "csv":
        from pyarrow import csv

        return csv.CSVWriter(path, schema)
    from pyarrow import parquet

    return parquet.ParquetWriter(path, schema)


def train(path: Path, kind: str) -> Streamed:
    """Trains one epoch, with a tenth of the rows for validation. In a process of its own: its
    memory is all that this one ever had.
    """
    import trainer
    from trainer.data import on_disk as streaming
    from trainer.data.reading.pieces import TableOnDisk
    from trainer.training import EpochDone, Started

    seconds: dict[str, float] = {}
    timed(TableOnDisk, "open", "kinds of columns", seconds)
    timed(streaming, "_survey", "first pass", seconds)
    timed(streaming, "_encode", "second pass", seconds)
    spec = trainer.Spec.model_validate(
        {
            "name": "streaming",
            "data": {
                "source": {kind: str(path)},
                "target": "y",
                "standardize": True,
                "split": {"validation": 0.1},
                "stream": True,
            },
            "model": NETWORK,
            "sgd": {"learning_rate": 0.01, "batch_size": BATCH, "epochs": 1},
        }
    )
    began, moments = time.perf_counter(), []

    def listen(event: object) -> None:
        if isinstance(event, Started | EpochDone):
            moments.append(time.perf_counter())

    run = trainer.train(spec, profile=trainer.Profile(runs=None), listen=listen)
    seconds["evaluation before"], seconds["epoch"] = np.diff(moments).tolist()
    seconds["all"] = time.perf_counter() - began
    return Streamed(seconds, run.metrics["val_loss"], peak_memory(), path.stat().st_size)


def timed(owner: Any, name: str, part: str, seconds: dict[str, float]) -> None:
    """Replaces a function by one that also tells how long it took."""
    function: Callable[..., Any] = getattr(owner, name)

    def outer(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[part] = time.perf_counter() - began

    setattr(owner, name, outer)


def row(kind: str, rows: int, found: Streamed) -> str:
    """A line of the table in STREAMING.md."""
    names = ("kinds of columns", "first pass", "second pass", "evaluation before", "epoch", "all")
    cells = [f"{found.seconds[name]:.1f}" for name in names]
    speed = f"{rows / found.seconds['epoch'] / 1e6:.2f}"
    sizes = [f"{found.size / 1e9:.2f} GB", f"{found.peak / 1e9:.2f} GB"]
    return f"| {kind} | {rows:,} | {' | '.join([*cells, speed, *sizes])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10**8)
    parser.add_argument("--kind", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / f"table.{options.kind}"
        os.environ["TMPDIR"] = folder  # where the rows are kept too
        for call, arguments in (
            (write, (path, options.kind, options.rows)), (train, (path, options.kind))
        ):  # fmt: skip
            with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
                found = pool.submit(call, *arguments).result()
        print(row(options.kind, options.rows, found), f"validation loss {found.loss:.5f}")


if __name__ == "__main__":
    main()
