"""The data of a spec, in memory or on disk as it says."""

from __future__ import annotations

from trainer.data.columns.table import Table
from trainer.data.dataset import Dataset, dataset_in_memory, fit_table
from trainer.data.on_disk import (
    Reading,
    dataset_on_disk,
    first_rows,
    preprocess_on_disk,
    silent,
)
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.splitting import split_rows
from trainer.data.reading.sources import read_table
from trainer.spec.schema import Spec

__all__ = ["Reading", "load_dataset", "load_table", "preprocess", "silent"]


def load_dataset(spec: Spec, told: Reading = silent) -> Dataset:
    """The data of a run: read, split, fitted on the training rows, encoded.

    `told` hears how far it is, where rows stay on disk. Raises `DataError` when the data cannot be
    read or used, and `SpecError` when the spec does not fit it: output units, batch size, column
    names.
    """
    return dataset_on_disk(spec, told) if spec.data.stream else dataset_in_memory(spec)


def load_table(spec: Spec, rows: int | None = None) -> Table:
    """The examples that the spec names, as read; of those that stay on disk the first `rows`.

    Raises `DataError` or `SpecError`.
    """
    return read_table(spec) if rows is None or not spec.data.stream else first_rows(spec, rows)


def preprocess(spec: Spec, table: Table) -> Preprocessing:
    """What a run of the spec does to the columns of its data. Raises what `load_dataset` raises."""
    if spec.data.stream:
        return preprocess_on_disk(spec)
    return fit_table(spec, table, split_rows(spec, table)["train"], [])[0]
