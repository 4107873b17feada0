"""The record of every step, in one Parquet file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.checkpoints.disk import damaged
from trainer.data import arrow_table
from trainer.training import StepsDone

TRACE: Final = "trace.parquet"
COLUMNS: Final = ("step", "epoch", "loss", "grad_norm")
HELD_VALUES: Final = 1 << 20  # 8 MB


def write_trace(events: Iterable[object], parameters: Sequence[str], path: Path) -> None:
    """Writes one row a step: step, epoch, loss, grad_norm and the norm of each parameter's
    gradient; some megabytes of rows at a time. The file is there also without rows.

    Raises `OSError`.
    """
    import pyarrow.parquet as pq

    held: list[StepsDone] = []
    rows, width = 0, 4 + len(parameters)
    empty = _table([], parameters)
    with pq.ParquetWriter(path, empty.schema) as writer:
        for event in events:
            if isinstance(event, StepsDone):
                held.append(event)
                rows += len(event.steps.losses)
                if rows * width >= HELD_VALUES:
                    writer.write_table(_table(held, parameters))
                    held, rows = [], 0
        if held:
            writer.write_table(_table(held, parameters))


def read_trace(path: Path, data: bytes) -> Any:
    """The rows that `write_trace` wrote, as a table of pyarrow. Raises `CheckpointError`, whose
    message names `path`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, f"it is no Parquet file: {error}") from None
    if table.column_names[: len(COLUMNS)] != list(COLUMNS):
        raise damaged(path, f"it has not the columns {', '.join(COLUMNS)}")
    return table


def _table(events: Sequence[StepsDone], parameters: Sequence[str]) -> Any:
    """The rows of these events."""
    parts = [event.steps for event in events]
    counts = [len(part.losses) for part in parts]
    numbers = [
        np.arange(event.first, event.first + count)
        for event, count in zip(events, counts, strict=True)
    ]
    none = np.zeros(0)
    columns = {
        "step": np.concatenate([none, *numbers]).astype(np.int64),
        "epoch": np.repeat([event.epoch for event in events], counts).astype(np.int64),
        "loss": np.concatenate([none, *(part.losses for part in parts)]),
        "grad_norm": np.concatenate([none, *(part.grad_norms for part in parts)]),
    }
    rows = [np.zeros((0, len(parameters))), *(part.parameter_norms for part in parts)]
    names = [f"grad_norm/{name}" for name in parameters]
    return arrow_table(columns | dict(zip(names, np.concatenate(rows).T, strict=True)))
