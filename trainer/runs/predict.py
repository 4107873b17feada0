"""Files of rows through a trained model, some thousand rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

import numpy as np

from trainer.data import (
    PARQUET,
    Column,
    LeftOut,
    Preprocessing,
    Rows,
    Told,
    arrow_table,
    as_written,
    blocks,
    read_rows,
    required,
    spellings_of,
)
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.network.model import Model
from trainer.network.scoring import measure_rows, score_rows
from trainer.outputs import replacing

Progress = Callable[[int], None]
"""Is told how many rows are done."""

ENDINGS: Final = (".csv", *PARQUET)
"""Those of the files that can be written."""
PLAIN: Final = frozenset(',"\r\n')
"""What a text in a CSV file must not hold, unless it stands in quotation marks."""


def predict_file(
    model: Model, data: Path, out: Path | IO[bytes], progress: Progress = lambda _: None
) -> int:
    """Writes the predictions for the rows of a file (see `read_rows`); returns their number.

    `out` is a CSV file, or Parquet by its name (`ENDINGS`), and is there whole or not at all; or an
    open file, which gets CSV. The columns are `model.columns`. Raises `DataError` for rows that do
    not fit, `UsageError` for a name that is no file's, and `MachineError` where it cannot be
    written.
    """
    done = 0
    with _writer(model, out) as writer:
        for rows in checked_rows(model, data):
            writer.write(model.predict(rows.x))
            done += len(rows.x)
            progress(done)
    return done


def checked_rows(
    model: Model, data: Path, target: bool = False, told: Told = lambda _: None
) -> Iterator[Rows]:
    """The rows, each of which can be encoded in the model's dtype. Raises `DataError`.

    With `target` those are left out that the spec leaves out in training, which `told` hears at
    the end; without, every row is there, and has a prediction.
    """
    asked, how = model.spec.data, model.preprocessing
    weights = as_written([Column(asked.weights)], asked)[0] if target and asked.weights else None
    targets = as_written(how.target_columns, asked) if target else ()
    missing = spellings_of((*how.columns, *targets), asked.source)
    needed = required(asked, how.targets, how.features) if target else ()
    for rows in read_rows(
        data, how.columns, targets, weights=weights, source=asked.source, missing=missing,
        absent=() if target else asked.targets, required=needed, told=told,
    ):  # fmt: skip
        for block in blocks(len(rows.x), max(how.layout.width, len(how.columns))):
            check_rows(how, rows.x[block], rows.numbers[block], str(data))
        yield rows


def check_rows(how: Preprocessing, raw: Array, numbers: Array, file: str) -> None:
    """Raises `DataError` for a row that cannot be encoded; `numbers` are theirs in the `file`."""
    with np.errstate(over="ignore", invalid="ignore"):
        fault = how.fault(raw, how.encode(raw).astype(how.dtype))
    if fault is not None:
        message = f"row {numbers[fault.row]}: {fault.message}"
        raise DataError(
            Problem(f"column {fault.column!r}", message, fault.hint, file, code="TR-D018")
        )


# Writing ----------------------------------------------------------------------------------------


class _Writer(Protocol):
    """Takes columns of some rows."""

    def write(self, columns: Mapping[str, Array]) -> None:
        """Appends them."""


@contextmanager
def _writer(model: Model, out: Path | IO[bytes]) -> Iterator[_Writer]:
    """What writes to an open file, or to one that takes the place of `out` at the end."""
    if not isinstance(out, Path):
        yield _Csv(model, out)
        return
    with replacing(out, ENDINGS) as fresh, fresh.open("wb") as file:
        kind = _Parquet if out.suffix.lower() in PARQUET else _Csv
        writer = kind(model, file)
        yield writer
        writer.close()


class _Csv:
    """A header and a line a row; labels stand in quotation marks only where they must."""

    def __init__(self, model: Model, file: Any) -> None:
        self._file = file
        labels = [str(label) for label in model.preprocessing.classes or ()]
        plain = not any(PLAIN & set(text) for text in (*labels, *model.columns))
        self._style = "none" if plain else "needed"
        doubled = [name.replace('"', '""') for name in model.columns]
        names = model.columns if plain else [f'"{name}"' for name in doubled]
        file.write((",".join(names) + "\n").encode())

    def write(self, columns: Mapping[str, Array]) -> None:
        """Appends a line a row."""
        from pyarrow import csv

        options = csv.WriteOptions(include_header=False, quoting_style=self._style)
        csv.write_csv(arrow_table(columns), self._file, options)

    def close(self) -> None:
        """Nothing is held back."""


class _Parquet:
    def __init__(self, model: Model, file: Any) -> None:
        self._file = file
        self._into: Any = None

    def write(self, columns: Mapping[str, Array]) -> None:
        """Appends a row group."""
        import pyarrow.parquet as pq

        table = arrow_table(columns)
        self._into = self._into or pq.ParquetWriter(self._file, table.schema)
        self._into.write_table(table)

    def close(self) -> None:
        """Completes the file."""
        self._into.close()


# Evaluating -------------------------------------------------------------------------------------


def evaluate_file(
    model: Model, data: Path, progress: Progress = lambda _: None
) -> dict[str, float]:
    """How well the model predicts the target columns of a file, by name.

    The number of `rows` and what `score_rows` measures: the loss and every metric that fits, as
    scikit-learn computes them, and figures by class, label or target; what the trivial result of
    the training rows gives for these stands in `trivial_…`. Where rows had weights in training,
    they have them here; where the spec leaves rows out, so are they here, and counted:
    `rows_left_out`, and `left_out/<column>` for those without a value in it.

    Raises `DataError` for rows that do not fit or have no target, unless the spec leaves these out.
    """
    outputs: list[Array] = []
    targets: list[Array] = []
    weights: list[Array] = []
    left_out: list[LeftOut | None] = []
    done = 0
    for rows in checked_rows(model, data, target=True, told=left_out.append):
        assert rows.target is not None
        outputs.append(model.outputs(rows.x))
        targets.append(rows.target)
        weights += [] if rows.weight is None else [rows.weight]
        done += len(rows.x)
        progress(done)
    found, right = np.concatenate(outputs), np.concatenate(targets)
    weight = np.concatenate(weights) if weights else None
    cut = model.decision.cut
    scores = score_rows(model.spec.model, model.preprocessing, found, right, weight, cut)
    trivial = _trivial(model, right, weight)
    return {"rows": float(len(right)), **_figures(left_out[0]), **scores, **trivial}


def _figures(left_out: LeftOut | None) -> dict[str, float]:
    """The rows that are left out as figures."""
    if left_out is None:
        return {}
    each = {f"left_out/{name}": float(count) for name, count in left_out.missing.items()}
    return {"rows_left_out": float(left_out.rows), **each}


def _trivial(model: Model, right: Array, weight: Array | None) -> dict[str, float]:
    """What the trivial result gives for these rows, by `trivial_…`."""
    trivial, how, of = model.decision.trivial, model.preprocessing, model.spec.model
    if trivial is None:
        return {}
    by_loss = trivial.metrics if of.class_weights is not None else trivial.loss  # not weighed here
    outputs = [trivial.rows(len(right), each) for each in (by_loss, trivial.metrics)]
    with np.errstate(all="ignore"):
        loss, metrics = (measure_rows(of, how, each, right, weight) for each in outputs)
    found = {"loss": loss["loss"]} | {n: v for n, v in metrics.items() if n != "loss"}
    return {f"trivial_{name}": value for name, value in found.items()}
