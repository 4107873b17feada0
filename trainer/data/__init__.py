"""From what a spec names as its data to arrays that train.

`columns` says what columns are and what cells mean, `reading` turns sources into tables, and
`preparing` tables into x and y. Above them: data sets in memory and on disk, and `load_dataset`.
Other rooms import what they need from here.
"""

from trainer.data.columns.arrow import arrow_table
from trainer.data.columns.blocks import blocks
from trainer.data.columns.roles import as_written, required
from trainer.data.columns.table import Column, Label, LeftOut, Table, listing
from trainer.data.columns.texts import holds_texts, show_raw, written
from trainer.data.dataset import Dataset
from trainer.data.held_out import HeldOut, held_out, some_rows
from trainer.data.loading import load_dataset, load_head, load_table, preprocess, split_rows
from trainer.data.matching import matched
from trainer.data.parts import AnyPart, Part, rows_at_a_time
from trainer.data.preparing.expand import DAY, FARTHEST, Rule, is_plain
from trainer.data.preparing.layout import Field, Layout
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.scaling import Scaling
from trainer.data.reading.formats import PARQUET
from trainer.data.reading.rows import Rows, Told, read_rows, spellings_of
from trainer.data.reading.sources import Reading, silent

__all__ = [
    "DAY", "FARTHEST", "PARQUET", "AnyPart", "Column", "Dataset", "Field", "HeldOut", "Label",
    "Layout", "LeftOut", "Part", "Preprocessing", "Reading", "Rows", "Rule", "Scaling",
    "Table", "Told", "arrow_table", "as_written", "blocks", "held_out", "holds_texts", "is_plain",
    "listing",
    "load_dataset", "load_head", "load_table", "matched", "preprocess", "read_rows", "required",
    "rows_at_a_time", "show_raw", "silent", "some_rows", "spellings_of", "split_rows", "written",
]  # fmt: skip
