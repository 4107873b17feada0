"""Data: sources, splits, encodings."""

from trainer.data.dataset import Dataset
from trainer.data.layout import Layout
from trainer.data.loading import Reading, load_dataset, load_table, preprocess, silent
from trainer.data.parts import AnyPart, Part
from trainer.data.preprocessing import Preprocessing
from trainer.data.splitting import split_rows
from trainer.data.table import Table

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
