"""From a source to arrays that can train: read, split, fit, encode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.data.blocks import blocks
from trainer.data.columns.table import Label, Table, listing, show
from trainer.data.parts import AnyPart, Part
from trainer.data.preparing.fit_columns import Tally, fit_columns
from trainer.data.preparing.fit_scales import fit_scales
from trainer.data.preparing.layout import Layout
from trainer.data.preparing.preprocessing import Fault, Preprocessing
from trainer.data.preparing.splitting import split_rows
from trainer.data.preparing.weighting import class_weights, row_weights
from trainer.data.reading.sources import read_table
from trainer.errors import DataError, Problem, SpecError
from trainer.graph.ops import Array
from trainer.spec.document import Path
from trainer.spec.layers import LayersSpec, layer_names
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


def dataset_in_memory(spec: Spec) -> Dataset:
    """The data of a run, all of them in memory. Raises as `load_dataset`."""
    table = read_table(spec)
    rows = split_rows(spec, table)
    notes = split_notes(spec, rows)
    preprocessing, missing = fit_table(spec, table, rows["train"], notes)
    by_class = class_weights(spec, table, rows["train"])
    sha256 = table.sha256  # before `_part`, which may write into the table
    sample = preprocessing.adopt(table, rows["train"][:SAMPLE])
    parts = {
        name: encode_part(
            spec, table, chosen, preprocessing, row_weights(spec, table, chosen, by_class, name)
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


def fit_table(
    spec: Spec,
    table: Table,
    train: Array,
    notes: list[str],
    tallies: Sequence[Tally] | None = None,
    count: int | None = None,
) -> tuple[Preprocessing, tuple[int, ...]]:
    """The preprocessing, fitted on the training rows, and how many of them miss each feature.

    Where the table is a sample of the training rows, there are `count`, and `tallies` are of all.
    """
    columns, missing = fit_columns(spec, table, train, notes, tallies)
    _check_fit(spec, table, columns, len(train) if count is None else count)
    return fit_scales(spec, table, train, columns, notes), missing


def split_notes(spec: Spec, rows: Mapping[str, Sized]) -> list[str]:
    """What a reader should know of the split."""
    split = spec.data.split
    if split.folds is not None and split.fold is None:
        return [f"fold 1 of {split.folds} is for testing; `data.split.fold` names another"]
    if not len(rows["validation"]) and not len(rows["test"]):
        return ["no split: every row trains, and nothing measures how the model generalises"]
    return []


def _check_fit(spec: Spec, table: Table, how: Preprocessing, training_rows: int) -> None:
    """Raises `SpecError` when the spec's numbers do not fit the data."""
    problems: list[Problem] = []
    model = spec.model
    width, count = how.layout.seen, len(table.features)
    declared = width if isinstance(model, LayersSpec) else model.inputs.get("x", width)
    if declared != width:
        message = f"the data have {count} feature{'s' * (count > 1)}, found {declared}"
        if width != count:
            message = f"the features become {width} columns of x, found {declared}"
        problems.append(spec.problem(("model", "inputs", "x"), message, f"write x: {width}"))
    problems += _check_outputs(spec, table)
    batch = spec.sgd.batch_size
    if isinstance(batch, int) and batch > training_rows:
        message = f"a batch of {batch} rows is larger than the {training_rows} training rows"
        hint = f"write batch_size: full, or at most {training_rows}"
        problems.append(spec.problem(("sgd", "batch_size"), message, hint))
    if problems:
        raise SpecError(problems)


def _check_outputs(spec: Spec, table: Table) -> list[Problem]:
    """What is wrong with the number of outputs."""
    model, units = spec.model, spec.model.units
    where: tuple[str | int, ...] = ("model", "output")
    what, advice = "output", f"outputs that '{getattr(model, 'output', '')}' needs: {{}}"
    if isinstance(model, LayersSpec):
        where, what, advice = _place_of_units(model), "unit", "write units: {}"
        if len(model.output_layers) > 1:
            what, advice = "output", "all output layers together need {}"
    found = f"{units} {what}{'s' * (units > 1)}"
    if table.classes is not None:
        count = len(table.classes)
        fits = (1, 2) if count == 2 else (count,)
        if units in fits:
            return []
        shown = listing(table.classes, 4)
        message = f"'{table.target_name}' has {count} classes ({shown}), found {found}"
        return [spec.problem(where, message, advice.format(fits[0]))]
    count = table.target.shape[1]
    if units == count:
        return []
    columns = f"{count} column{'s' * (count > 1)}"
    message = f"the target '{table.target_name}' has {columns}, found {found}"
    if len(table.targets) > 1:
        kind = "labels" if model.multi_label else "targets"
        message = f"there are {count} {kind} ({listing(table.targets, 4)}), found {found}"
    hint = advice.format(count)
    if units > 1 and count == 1 and not model.multi_label:
        hint += "; or `loss: logistic` if the target names classes"
    return [spec.problem(where, message, hint)]


def _place_of_units(model: LayersSpec) -> tuple[str | int, ...]:
    """Where the number of outputs is declared: the last layer before the output that has units."""
    if len(model.output_layers) > 1:
        return ("model", "outputs")
    names = layer_names(model.layers)
    last = names.index(model.output_layers[0])
    wide = [i for i in range(last + 1) if hasattr(model.layers[i], "units")]
    return ("model", "layers", wide[-1] if wide else last, "units")


# Parts ------------------------------------------------------------------------------------------


def encode_part(
    spec: Spec,
    table: Table,
    rows: Array,
    how: Preprocessing,
    weights: Array | None,
    first: int = 0,
) -> Part:
    """The rows as an engine takes them. `first` is the number of the table's first row. Raises
    `DataError` for what cannot be encoded; may write into the table.
    """
    x = _encode(spec, table, rows, how, first)
    y = np.empty((len(rows), how.outputs), spec.model.dtype)
    for block in blocks(*y.shape):
        with np.errstate(over="ignore"):
            y[block] = how.encode_target(table.target[rows[block]])
        _check_targets(spec, y[block], how, first + rows[block])
    return Part(x, y, None if weights is None else weights.astype(spec.model.dtype))


def _encode(spec: Spec, table: Table, rows: Array, how: Preprocessing, first: int) -> Array:
    """The rows as x, in the model's dtype.

    Raises `DataError` for what cannot be encoded. Where all rows keep their dtype they are changed
    in place: nothing else needs the table by then.
    """
    shape, dtype = (len(rows), how.layout.width), np.dtype(spec.model.dtype)
    in_place = table.x.shape == shape and dtype == np.float64 and len(rows) == len(table.x)
    x = table.x if in_place else np.empty(shape, dtype)
    for block in blocks(len(rows), max(shape[1], table.x.shape[1])):
        raw = how.adopt(table, rows[block])
        with np.errstate(over="ignore", invalid="ignore"):
            x[block] = how.encode(raw)
        if not np.isfinite(x[block]).all():
            raise DataError(_problem(spec, how, how.fault(raw, x[block]), first + rows[block]))
    return x


def _problem(spec: Spec, how: Preprocessing, fault: Fault | None, rows: Array) -> Problem:
    """What is told of a row that cannot be encoded."""
    assert fault is not None, "some number is not finite"
    row = f"row {rows[fault.row]}, counted from 0"
    if fault.too_large:
        return _too_large(spec, fault.column, row)
    path: Path = ("data",)
    if fault.column in spec.data.columns:
        path = ("data", "columns", fault.column)
    hint = fault.hint
    if fault.empty:
        hint = f"{hint}, or say what stands for it, as `missing: median`"
        path = (*path, "missing") if len(path) == 1 else path
    return spec.problem(path, f"column {show(fault.column)}, {row}: {fault.message}", hint)


def _check_targets(spec: Spec, y: Array, how: Preprocessing, rows: Array) -> None:
    """Raises `DataError` for a number that the model's dtype made infinite, or log1p."""
    if np.isfinite(y).all():
        return
    row, column = np.argwhere(~np.isfinite(y))[0]
    name = how.targets[column if len(how.targets) == how.outputs else 0]
    where = f"row {rows[row]}, counted from 0"
    if "log1p" in spec.data.target_scale and not y[row, column] > 0:
        message = f"the target {show(name)} is not above -1 ({where}), which log1p needs"
        raise DataError(spec.problem(("data", "target_scale"), message, "use another scale"))
    raise DataError(_too_large(spec, name, where))


def _too_large(spec: Spec, column: str, where: str) -> Problem:
    message = f"{show(column)} holds a number too large for {spec.model.dtype} ({where})"
    hint = "use `dtype: float64` or rescale the data"
    return spec.problem(("model", "dtype"), message, hint)
