"""Data: sources, splits, encodings."""

from trainer.data.columns.table import Table
from trainer.data.dataset import Dataset
from trainer.data.loading import Reading, load_dataset, load_table, preprocess, silent
from trainer.data.parts import AnyPart, Part
from trainer.data.preparing.layout import Layout
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.splitting import split_rows

__all__ = [
    "AnyPart",
    "Dataset",
    "Layout",
    "Part",
    "Preprocessing",
    "Reading",
    "Table",
    "load_dataset",
    "load_table",
    "preprocess",
    "silent",
    "split_rows",
]
