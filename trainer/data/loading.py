"""The data of a spec, in memory or on disk as it says. Here, once, misfits get their places."""

from __future__ import annotations

from trainer.data.columns.table import Table
from trainer.data.dataset import Dataset, dataset_in_memory
from trainer.data.misfits import located
from trainer.data.on_disk import dataset_on_disk, first_rows, head_rows, preprocess_on_disk
from trainer.data.preparing.fit_table import fit_table
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.splitting import split_table
from trainer.data.reading.sources import Reading, read_table, silent
from trainer.graph.ops import Array
from trainer.spec.schema import Spec


def load_dataset(spec: Spec, told: Reading = silent) -> Dataset:
    """The data of a run: read, split, fitted on the training rows, encoded.

    `told` hears that large files are read, and how far it is, where rows stay on disk. Raises
    `DataError` when the data cannot be read or used, and `SpecError` when the spec does not fit it:
    output units, batch size, column names.
    """
    with located(spec):
        return dataset_on_disk(spec, told) if spec.data.stream else dataset_in_memory(spec, told)


def load_table(spec: Spec, rows: int | None = None) -> Table:
    """The examples that the spec names, as read; of those that stay on disk the first `rows`.

    Raises `DataError` or `SpecError`.
    """
    with located(spec):
        return read_table(spec) if rows is None or not spec.data.stream else first_rows(spec, rows)


def load_head(spec: Spec, rows: int) -> tuple[Table, bool]:
    """The examples that the spec names, and whether these are all: of those that stay on disk there
    are the first `rows` that are not left out.

    Raises `DataError` or `SpecError`.
    """
    with located(spec):
        return head_rows(spec, rows) if spec.data.stream else (read_table(spec), True)


def split_rows(spec: Spec, table: Table) -> dict[str, Array]:
    """The row numbers of `train`, `validation` and `test`, each ascending; see `split_table`.

    Raises `DataError` or `SpecError`.
    """
    with located(spec):
        return split_table(spec.data.split, spec.seed, table)


def preprocess(spec: Spec, table: Table) -> Preprocessing:
    """What a run of the spec does to the columns of its data. Raises what `load_dataset` raises."""
    with located(spec):
        if spec.data.stream:
            return preprocess_on_disk(spec)
        train = split_table(spec.data.split, spec.seed, table)["train"]
        return fit_table(spec, table, train, [])[0]
