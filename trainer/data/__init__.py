"""Data: sources, splits, encodings."""

from trainer.data.dataset import Dataset, Part, load_dataset, load_table, preprocess, split_rows
from trainer.data.preprocessing import Preprocessing
from trainer.data.table import Table

__all__ = [
    "Dataset",
    "Part",
    "Preprocessing",
    "Table",
    "load_dataset",
    "load_table",
    "preprocess",
    "split_rows",
]
