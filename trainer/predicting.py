"""Files of rows through a trained model, some thousand rows at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from trainer.data.rows import PARQUET, Rows, read_rows
from trainer.errors import DataError, Problem, UsageError
from trainer.graph.ops import OPS, Array
from trainer.model import Model
from trainer.spec.schema import CsvSource

Progress = Callable[[int], None]
"""Is told how many rows are done."""

PLAIN: Final = frozenset(',"\r\n')
"""What a text in a CSV file must not hold, unless it stands in quotation marks."""


def predict_file(
    model: Model, data: Path, out: Path | None, progress: Progress = lambda _: None
) -> int:
    """Writes the predictions for the rows of a CSV or Parquet file; returns their number.

    `out` is a CSV file, or Parquet by its name, and is there whole or not at all; without one
    CSV goes to standard output. The columns are `model.columns`. Raises `DataError` for rows
    that do not fit, and `UsageError` where the file cannot be written.
    """
    done = 0
    with _writer(model, out) as writer:
        for rows in _rows(model, data):
            writer.write(model.predict(rows.x))
            done += len(rows.x)
            progress(done)
    return done


def _rows(model: Model, data: Path, target: bool = False) -> Iterator[Rows]:
    """The rows, each of whose numbers the model's dtype can hold."""
    source = model.spec.data.source
    delimiter = source.delimiter if isinstance(source, CsvSource) else ","
    how = model.preprocessing
    for rows in read_rows(data, how, target=target, delimiter=delimiter):
        with np.errstate(over="ignore"):
            fits = np.isfinite(how.standardise(rows.x).astype(how.dtype))
        if not fits.all():
            row, column = np.argwhere(~fits)[0]
            message = f"row {rows.first + row}: the number is too large for {how.dtype}"
            raise DataError(Problem(f"column {how.features[column]!r}", message, None, str(data)))
        yield rows


# Writing ----------------------------------------------------------------------------------------


class _Writer(Protocol):
    """Takes columns of some rows."""

    def write(self, columns: Mapping[str, Array]) -> None:
        """Appends them."""


@contextmanager
def _writer(model: Model, out: Path | None) -> Iterator[_Writer]:
    """What writes to a file beside `out`, which takes its place at the end."""
    if out is None:
        yield _Csv(model, sys.stdout.buffer)
        sys.stdout.flush()
        return
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("wb") as file:
            kind = _Parquet if out.suffix.lower() in PARQUET else _Csv
            writer = kind(model, file)
            yield writer
            writer.close()
        os.replace(part, out)
    except OSError as error:
        raise UsageError(f"'{out}' cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


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
        import pyarrow as pa
        from pyarrow import csv

        options = csv.WriteOptions(include_header=False, quoting_style=self._style)
        csv.write_csv(pa.table(dict(columns)), self._file, options)

    def close(self) -> None:
        """Nothing is held back."""


class _Parquet:
    def __init__(self, model: Model, file: Any) -> None:
        self._file = file
        self._into: Any = None

    def write(self, columns: Mapping[str, Array]) -> None:
        """Appends a row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(dict(columns))
        self._into = self._into or pq.ParquetWriter(self._file, table.schema)
        self._into.write_table(table)

    def close(self) -> None:
        """Completes the file."""
        self._into.close()


# Evaluating -------------------------------------------------------------------------------------


def evaluate_file(
    model: Model, data: Path, progress: Progress = lambda _: None
) -> dict[str, float]:
    """How well the model predicts the target column of a CSV or Parquet file, by name.

    For classes: `loss` (the mean cross-entropy), `accuracy`, `balanced_accuracy`, `f1` (the mean
    over classes), `auc` (of two classes; of more the mean, each against the rest), and of each
    class `precision/<class>`, `recall/<class>`, `f1/<class>`, `rows/<class>`. For numbers: `loss`
    (the mean squared error), `rmse`, `mae`, `r2`. And `rows`. As scikit-learn computes them.

    Raises `DataError` for rows that do not fit or have no target.
    """
    outputs, targets, done = [], [], 0
    for rows in _rows(model, data, target=True):
        assert rows.target is not None
        outputs.append(model.outputs(rows.x))
        targets.append(rows.target)
        done += len(rows.x)
        progress(done)
    found, right = np.concatenate(outputs), np.concatenate(targets)
    scores = _of_numbers if model.preprocessing.classes is None else _of_classes
    return {"rows": float(len(right)), **scores(model, found.astype(np.float64), right)}


def _of_numbers(model: Model, found: Array, right: Array) -> dict[str, float]:
    from sklearn import metrics

    squared = float(metrics.mean_squared_error(right, found))
    scores = {
        "loss": squared,
        "rmse": float(np.sqrt(squared)),
        "mae": float(metrics.mean_absolute_error(right, found)),
    }
    if len(right) > 1:
        scores["r2"] = float(metrics.r2_score(right, found))
    return scores


def _of_classes(model: Model, found: Array, right: Array) -> dict[str, float]:
    from sklearn import metrics

    classes = model.preprocessing.classes
    assert classes is not None
    numbers = np.arange(len(classes))
    probable, chosen = model.probabilities(found), model.classify(found)
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(
        right, chosen, labels=numbers, zero_division=0.0
    )
    scores = {
        "loss": _cross_entropy(found, right),
        "accuracy": float(metrics.accuracy_score(right, chosen)),
        "balanced_accuracy": float(recall[rows > 0].mean()),
        "f1": float(metrics.f1_score(right, chosen, average="macro", zero_division=0.0)),
    }
    if len(np.unique(right)) == len(classes):  # else there is no curve for some class
        one = {"y_score": probable[:, 1]} if len(classes) == 2 else {
            "y_score": probable, "multi_class": "ovr", "labels": numbers
        }  # fmt: skip
        scores["auc"] = float(metrics.roc_auc_score(right, **one))
    for i, label in enumerate(classes):
        scores |= {
            f"precision/{label}": float(precision[i]),
            f"recall/{label}": float(recall[i]),
            f"f1/{label}": float(f1[i]),
            f"rows/{label}": float(rows[i]),
        }
    return scores


def _cross_entropy(logits: Array, right: Array) -> float:
    """Its mean over the rows, as the loss `logistic` computes it."""
    if logits.shape[1] == 1:
        return float(OPS["logistic_loss"].forward(logits[:, 0], right).mean())
    each = OPS["log_softmax"].forward(logits)
    return float(-each[np.arange(len(right)), right].mean())
