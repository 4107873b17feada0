"""Data: sources, splits, encodings."""

from trainer.data.dataset import Dataset, load_dataset, preprocess
from trainer.data.layout import Layout
from trainer.data.parts import Part
from trainer.data.preprocessing import Preprocessing
from trainer.data.sources import load_table
from trainer.data.splitting import split_rows
from trainer.data.table import Table

__all__ = [
    "Dataset",
    "Layout",
    "Part",
    "Preprocessing",
    "Table",
    "load_dataset",
    "load_table",
    "preprocess",
    "split_rows",
]
