"""The record of every step, in one Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.training import StepsDone

HELD_VALUES: Final = 1 << 20  # 8 MB


class Trace:
    """Writes one row a step: step, epoch, loss, grad_norm and the norm of each parameter's
    gradient. Rows are held back and written some megabytes at a time.

    A disk that is full does not stop the training: later rows are dropped and `close` raises.
    """

    def __init__(self, path: Path, parameters: Sequence[str]) -> None:
        self._path = path
        self._parameters = tuple(parameters)
        self._held: list[StepsDone] = []
        self._rows = 0
        self._writer: Any = None
        self._failure: OSError | None = None

    def add(self, event: StepsDone) -> None:
        """Takes the steps of one event."""
        self._held.append(event)
        self._rows += len(event.steps.losses)
        if self._rows * (4 + len(self._parameters)) >= HELD_VALUES:
            self._write()

    def close(self) -> None:
        """Completes the file, which is there also without rows. Raises `OSError`."""
        self._write()
        if self._writer is not None:
            self._writer.close()
        if self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        """Writes the rows that are held back; the first call makes the file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = [event.steps for event in self._held]
        counts = [len(part.losses) for part in parts]
        numbers = [
            np.arange(event.first, event.first + count)
            for event, count in zip(self._held, counts, strict=True)
        ]
        none = np.zeros(0)
        columns = {
            "step": np.concatenate([none, *numbers]).astype(np.int64),
            "epoch": np.repeat([event.epoch for event in self._held], counts).astype(np.int64),
            "loss": np.concatenate([none, *(part.losses for part in parts)]),
            "grad_norm": np.concatenate([none, *(part.grad_norms for part in parts)]),
        }
        rows = [np.zeros((0, len(self._parameters))), *(part.parameter_norms for part in parts)]
        norms = np.concatenate(rows).T
        names = [f"grad_norm/{name}" for name in self._parameters]
        table = pa.table(columns | dict(zip(names, norms, strict=True)))
        self._held, self._rows = [], 0
        if self._failure is not None:
            return
        try:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._path, table.schema)
            if table.num_rows:
                self._writer.write_table(table)
        except OSError as error:
            self._failure = error
