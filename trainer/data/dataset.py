"""From a source to arrays that can train: read, split, fit, encode."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Final

from trainer.data.columns.table import Label, LeftOut
from trainer.data.parts import AnyPart, Part
from trainer.data.preparing.fit_table import fit_table
from trainer.data.preparing.layout import Layout
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.splitting import split_table
from trainer.data.preparing.weighting import class_weights, row_weights
from trainer.data.preparing.xy import encode_rows
from trainer.data.reading.sources import Reading, read_table, silent
from trainer.graph.ops import Array
from trainer.spec.data import SplitSpec
from trainer.spec.schema import Spec

SAMPLE: Final = 3  # rows


@dataclass(frozen=True)
class Dataset:
    """The data of one run.

    `preprocessing` says how the columns became x and y; `sample` holds the first training rows as
    they were, in float64; `missing` says how many training rows have no value for each feature;
    `notes` says what a reader should know, such as constant columns.
    """

    preprocessing: Preprocessing
    train: AnyPart
    validation: AnyPart | None
    test: AnyPart | None
    sample: Array
    sha256: str
    origin: str
    notes: tuple[str, ...]
    missing: tuple[int, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns of x before they are encoded."""
        return self.preprocessing.features

    @property
    def target(self) -> str:
        """The names of the columns to predict, with commas between them."""
        return self.preprocessing.target

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """The labels of a class target, in the order of their numbers."""
        return self.preprocessing.classes

    @property
    def outputs(self) -> int:
        """The number of target columns, which is the units of the last layer."""
        return self.preprocessing.outputs

    @property
    def layout(self) -> Layout:
        """Which columns of x are which feature."""
        return self.preprocessing.layout


def dataset_in_memory(spec: Spec, told: Reading = silent) -> Dataset:
    """The data of a run, all of them in memory; of large files it is `told`.

    Raises `DataError` or `MisfitError`.
    """
    table = read_table(spec, told)
    rows = split_table(spec.data.split, spec.seed, table)
    notes = [*table.notes, *first_notes(spec.data.split, rows, table.left_out)]
    preprocessing, missing = fit_table(spec, table, rows["train"], notes)
    counts = table.count_classes(rows["train"])
    by_class = class_weights(spec.model.class_weights, table, counts)
    sha256 = table.sha256  # before `encode_rows`, which may write into the table
    sample = preprocessing.adopt(table, rows["train"][:SAMPLE])
    parts = {
        name: Part.of(
            *encode_rows(spec.data, table, chosen, preprocessing),
            row_weights(table, chosen, by_class, name),
        )
        for name, chosen in rows.items()
        if len(chosen)
    }
    return Dataset(
        preprocessing=preprocessing,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        sample=sample,
        sha256=sha256,
        origin=table.origin,
        notes=tuple(notes),
        missing=missing,
    )


def first_notes(split: SplitSpec, rows: Mapping[str, Sized], left_out: LeftOut | None) -> list[str]:
    """What a reader should know of the rows: those that are left out, and the split."""
    return [*([left_out.note] if left_out else []), *_split_notes(split, rows)]


def _split_notes(split: SplitSpec, rows: Mapping[str, Sized]) -> list[str]:
    if split.folds is not None and split.fold is None:
        return [f"fold 1 of {split.folds} is for testing; `data.split.fold` names another"]
    if not len(rows["validation"]) and not len(rows["test"]):
        return ["no split: every row trains, and nothing measures how the model generalises"]
    return []
