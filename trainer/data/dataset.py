"""From a source to arrays that can train: read, split, standardise, encode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.data.blocks import blocks
from trainer.data.bundled import read_bundled
from trainer.data.csv import read_csv
from trainer.data.inline import read_inline
from trainer.data.preprocessing import Preprocessing
from trainer.data.synthetic import draw_synthetic
from trainer.data.table import Label, Table, listing, show, target_problem
from trainer.errors import DataError, Problem, SpecError
from trainer.graph.ops import Array
from trainer.randomness import stream
from trainer.spec.schema import CsvSource, InlineSource, LayersSpec, Spec, SyntheticSource

__all__ = ["Dataset", "Part", "Preprocessing", "Table", "load_dataset", "load_table", "split_rows"]

PARTS: Final = ("train", "validation", "test")
SAMPLE: Final = 3  # rows


@dataclass(frozen=True)
class Part:
    """Some rows of the data, ready for an engine.

    `x` has shape (rows, features) and `y` (rows, outputs), both C-contiguous in the model's
    dtype. `split_rows` tells which rows of the source they are.
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Dataset:
    """The data of one run.

    `preprocessing` says how the columns became x and y; `sample` holds the features of the first
    training rows as they were, in float64; `notes` says what a reader should know, such as
    constant columns.
    """

    preprocessing: Preprocessing
    train: Part
    validation: Part | None
    test: Part | None
    sample: Array
    sha256: str
    origin: str
    notes: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns of x before they are encoded."""
        return self.preprocessing.features

    @property
    def target(self) -> str:
        """The name of the column to predict."""
        return self.preprocessing.target

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """The labels of a class target, in the order of their numbers."""
        return self.preprocessing.classes

    @property
    def outputs(self) -> int:
        """The number of target columns, which is the units of the last layer."""
        return self.preprocessing.outputs


def load_table(spec: Spec) -> Table:
    """The examples that the spec names, as read. Raises `DataError` or `SpecError`."""
    source = spec.data.source
    if isinstance(source, CsvSource):
        return read_csv(source, spec)
    if isinstance(source, SyntheticSource):
        return draw_synthetic(source, spec)
    if isinstance(source, InlineSource):
        return read_inline(source, spec)
    return read_bundled(source, spec)


def load_dataset(spec: Spec) -> Dataset:
    """The data of a run: read, split, standardised on the training rows, encoded.

    Raises `DataError` when the data cannot be read or used, and `SpecError` when the spec does
    not fit it: output units, batch size, column names.
    """
    table = load_table(spec)
    rows = split_rows(spec, table)
    _check_fit(spec, table, len(rows["train"]))
    notes: list[str] = []
    if not len(rows["validation"]) and not len(rows["test"]):
        notes.append("no split: every row trains, and nothing measures how the model generalises")
    preprocessing = _fitted(spec, table, rows["train"], notes)
    sha256 = table.sha256  # before `_part`, which may write into the table
    sample = table.x[rows["train"][:SAMPLE]]
    parts = {name: _part(spec, table, chosen, preprocessing) for name, chosen in rows.items()}
    assert parts["train"] is not None
    return Dataset(
        preprocessing=preprocessing,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        sample=sample,
        sha256=sha256,
        origin=table.origin,
        notes=tuple(notes),
    )


def preprocess(spec: Spec, table: Table) -> Preprocessing:
    """What a run of the spec does to the columns of its data. Raises what `load_dataset` raises."""
    rows = split_rows(spec, table)
    _check_fit(spec, table, len(rows["train"]))
    return _fitted(spec, table, rows["train"], [])


def _fitted(spec: Spec, table: Table, train: Array, notes: list[str]) -> Preprocessing:
    """The preprocessing, fitted on the training rows."""
    mean = scale = None
    if spec.data.standardize:
        mean, scale = _scaling(spec, table, train, notes)
    return Preprocessing(
        features=table.features,
        target=table.target_name,
        classes=table.classes,
        mean=mean,
        scale=scale,
        outputs=spec.model.units,
        dtype=spec.model.dtype,
    )


def split_rows(spec: Spec, table: Table) -> dict[str, Array]:
    """The row numbers of `train`, `validation` and `test`, each ascending.

    Rows are put in an order drawn from the seed. Of each class (of all rows, without classes)
    the first rows in this order are for testing, the next for validation, the rest for
    training. The counts by class are differences of rounded cumulative counts, so that they add
    up to the fraction of all rows.
    """
    dealt = _deal(spec, table)
    parts = {name: np.flatnonzero(dealt == i) for i, name in enumerate(PARTS)}
    _check_split(spec, table, parts)
    return parts


def _deal(spec: Spec, table: Table) -> Array:
    """The number of each row's part among `PARTS`."""
    dealt = np.zeros(len(table.x), np.int8)
    split = spec.data.split
    if not (split.validation or split.test):
        return dealt
    order = stream(spec.seed, "split").permutation(len(dealt))
    ends = np.array([len(order)])
    if table.classes is not None:
        # numbers of one or two bytes NumPy sorts by radix
        codes = table.target.astype(np.min_scalar_type(len(table.classes)))
        order = order[np.argsort(codes[order], kind="stable")]
        ends = np.cumsum(np.bincount(table.target, minlength=len(table.classes)))
    groups = np.split(order, ends[:-1])
    tested, validated = (
        np.diff(np.floor(fraction * ends + 0.5).astype(int), prepend=0)
        for fraction in (split.test, split.validation)
    )
    for group, first, following in zip(groups, tested, validated, strict=True):
        dealt[group[:first]] = PARTS.index("test")
        dealt[group[first : first + following]] = PARTS.index("validation")
    return dealt


def _check_split(spec: Spec, table: Table, parts: dict[str, Array]) -> None:
    total = len(table.x)
    for name, fraction in (
        ("validation", spec.data.split.validation),
        ("test", spec.data.split.test),
    ):
        if fraction and not len(parts[name]):
            message = f"{fraction:g} of {total} row{'s' * (total > 1)} leaves none for {name}"
            hint = "use more data or a larger fraction"
            raise DataError(spec.problem(("data", "split", name), message, hint))
    if not len(parts["train"]):
        message = f"the split leaves none of {total} rows for training"
        raise DataError(spec.problem(("data", "split"), message))
    if table.classes is not None:
        counts = np.bincount(table.target[parts["train"]], minlength=len(table.classes))
        if not counts.all():
            missing = table.classes[int(np.argmin(counts))]
            message = f"no row of class {show(missing)} is left for training"
            raise DataError(
                target_problem(spec, message, "use more rows of it, or a smaller split")
            )


def _check_fit(spec: Spec, table: Table, training_rows: int) -> None:
    """Raises `SpecError` when the spec's numbers do not fit the data."""
    problems: list[Problem] = []
    units, model = spec.model.units, spec.model
    where: tuple[str | int, ...] = ("model", "output")
    if isinstance(model, LayersSpec):
        where = ("model", "layers", len(model.layers) - 1, "units")
    elif model.inputs["x"] != len(table.features):
        count = len(table.features)
        message = f"the data have {count} feature{'s' * (count > 1)}, found {model.inputs['x']}"
        problems.append(spec.problem(("model", "inputs", "x"), message, f"write x: {count}"))
    what, advice = "unit", "write units: {}"
    if not isinstance(model, LayersSpec):
        what, advice = "output", f"outputs that '{model.output}' needs: {{}}"
    found = f"{units} {what}{'s' * (units > 1)}"
    if table.classes is not None:
        count = len(table.classes)
        fits = (1, 2) if count == 2 else (count,)
        if units not in fits:
            shown = listing(table.classes, 4)
            message = f"'{table.target_name}' has {count} classes ({shown}), found {found}"
            problems.append(spec.problem(where, message, advice.format(fits[0])))
    elif units != table.target.shape[1]:
        count = table.target.shape[1]
        columns = f"{count} column{'s' * (count > 1)}"
        message = f"the target '{table.target_name}' has {columns}, found {found}"
        hint = advice.format(count)
        if units > 1 and count == 1:
            hint += "; or `loss: logistic` if the target names classes"
        problems.append(spec.problem(where, message, hint))
    batch = spec.sgd.batch_size
    if isinstance(batch, int) and batch > training_rows:
        message = f"a batch of {batch} rows is larger than the {training_rows} training rows"
        hint = f"write batch_size: full, or at most {training_rows}"
        problems.append(spec.problem(("sgd", "batch_size"), message, hint))
    if problems:
        raise SpecError(problems)


def _scaling(spec: Spec, table: Table, train: Array, notes: list[str]) -> tuple[Array, Array]:
    """What is subtracted from each feature, and what the difference is divided by.

    These are the mean and the deviation over the training rows, the population's (divided by
    n). A feature that is constant over them is only shifted, to exactly 0.
    """
    first, constant = table.x[train[0]], np.ones(len(table.features), bool)
    for block in blocks(len(train), len(first)):
        constant &= (table.x[train[block]] == first).all(axis=0)
    with np.errstate(all="ignore"):
        mean = _column_sums(table.x, train) / len(train)
        scale = np.sqrt(_column_sums(table.x, train, mean) / len(train))
    mean = np.where(constant, first, mean)
    scale = np.where(constant, 1.0, scale)
    lost = ~np.isfinite(mean) | ~np.isfinite(scale) | (scale == 0)
    if lost.any():
        name = table.features[int(np.argmax(lost))]
        message = f"the deviation of the feature {show(name)} is outside the range of float64"
        raise DataError(spec.problem(("data", "standardize"), message, "rescale the column"))
    if constant.any():
        names = [table.features[i] for i in np.flatnonzero(constant)]
        many = "features are" if len(names) > 1 else "feature is"
        become = "become" if len(names) > 1 else "becomes"
        shown = listing(names, 3)
        notes.append(f"{len(names)} {many} constant in the training rows and {become} 0: {shown}")
    return mean, scale


def _column_sums(x: Array, rows: Array, mean: Array | None = None) -> Array:
    """The sums of the columns over `rows`, or of their squared deviations from `mean`.

    Bit by bit those in NumPy's `mean` and `std` of all the rows at once. It adds several columns
    row by row, so that a block can go on where the last one ended; but the numbers of a single
    column pairwise, for which all of them must be there.
    """
    columns = x.shape[1]
    total = np.zeros(columns)
    for block in blocks(len(rows), columns) if columns > 1 else [slice(None)]:
        values = x[rows[block]]
        if mean is not None:
            values -= mean
            values *= values
        values[0] += total
        total = values.sum(axis=0)
    return total


def _part(spec: Spec, table: Table, rows: Array, how: Preprocessing) -> Part | None:
    """The rows as an engine takes them; None where there are none."""
    if not len(rows):
        return None
    target = table.target if table.classes is None else table.target[:, None]
    x = _convert(spec, table.x, rows, how.features, how.standardise)
    y = _convert(spec, target, rows, [how.target] * how.outputs, how.encode)
    return Part(x, y)


def _convert(
    spec: Spec,
    values: Array,
    rows: Array,
    columns: Sequence[str],
    change: Callable[[Array], Array],
) -> Array:
    """What `change` makes of the rows, in the model's dtype.

    Raises `DataError` for a number that this makes infinite. Where all rows keep their dtype they
    are changed in place: nothing else needs the table by then.
    """
    shape, dtype = (len(rows), len(columns)), np.dtype(spec.model.dtype)
    in_place = values.shape == shape and values.dtype == dtype
    converted = values if in_place else np.empty(shape, dtype)
    for block in blocks(*shape):
        with np.errstate(over="ignore"):
            converted[block] = change(values[rows[block]])
        _check_range(spec, converted[block], columns, rows[block])
    return converted


def _check_range(spec: Spec, values: Array, columns: Sequence[str], rows: Array) -> None:
    """Raises `DataError` for a number that the model's dtype made infinite."""
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        message = (
            f"{show(columns[column])} holds a number too large for {spec.model.dtype} "
            f"(row {rows[row]}, counted from 0)"
        )
        hint = "use `dtype: float64` or rescale the data"
        raise DataError(spec.problem(("model", "dtype"), message, hint))
