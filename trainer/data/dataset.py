"""From a source to arrays that can train: read, split, standardise, encode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.bundled import read_bundled
from trainer.data.csv import read_csv
from trainer.data.inline import read_inline
from trainer.data.synthetic import draw_synthetic
from trainer.data.table import Label, Table, listing, show, target_problem
from trainer.errors import DataError, Problem, SpecError
from trainer.graph.ops import Array
from trainer.randomness import stream
from trainer.spec.schema import CsvSource, InlineSource, Spec, SyntheticSource

__all__ = ["Dataset", "Part", "Table", "load_dataset", "load_table", "split_rows"]


@dataclass(frozen=True)
class Part:
    """Some rows of the data, ready for an engine.

    `x` has shape (rows, features) and `y` (rows, outputs), both C-contiguous in the model's
    dtype; `rows` holds their numbers in the source, ascending.
    """

    x: Array
    y: Array
    rows: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Dataset:
    """The data of one run.

    A class target is encoded as 0 or 1 in one column for one output, else one-hot in the order
    of `classes`. `mean` and `scale` are what standardisation subtracted and divided by, of
    shape (features,); `notes` says what a reader should know, such as constant columns.
    """

    features: tuple[str, ...]
    target: str
    classes: tuple[Label, ...] | None
    train: Part
    validation: Part | None
    test: Part | None
    mean: Array | None
    scale: Array | None
    sha256: str
    origin: str
    notes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """The number of target columns, which is the units of the last layer."""
        return int(self.train.y.shape[1])


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
    mean = scale = None
    if spec.data.standardize:
        mean, scale = _scaling(spec, table, rows["train"], notes)
    parts = {name: _part(spec, table, chosen, mean, scale) for name, chosen in rows.items()}
    assert parts["train"] is not None
    return Dataset(
        features=table.features,
        target=table.target_name,
        classes=table.classes,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        mean=mean,
        scale=scale,
        sha256=table.sha256,
        origin=table.origin,
        notes=tuple(notes),
    )


def split_rows(spec: Spec, table: Table) -> dict[str, Array]:
    """The row numbers of `train`, `validation` and `test`, each ascending.

    Rows are put in an order drawn from the seed. Of each class (of all rows, without classes)
    the first rows in this order are for testing, the next for validation, the rest for
    training. The counts by class are differences of rounded cumulative counts, so that they add
    up to the fraction of all rows.
    """
    order = stream(spec.seed, "split").permutation(len(table.x))
    split = spec.data.split
    ends = np.array([len(order)])
    if table.classes is not None:
        order = order[np.argsort(table.target[order], kind="stable")]
        ends = np.cumsum(np.bincount(table.target, minlength=len(table.classes)))
    groups = np.split(order, ends[:-1])
    counts = {
        name: np.diff(np.floor(fraction * ends + 0.5).astype(int), prepend=0)
        for name, fraction in (("test", split.test), ("validation", split.validation))
    }
    rows: dict[str, list[Array]] = {"train": [], "validation": [], "test": []}
    for i, group in enumerate(groups):
        tested = counts["test"][i]
        held = min(tested + counts["validation"][i], len(group))
        rows["test"].append(group[:tested])
        rows["validation"].append(group[tested:held])
        rows["train"].append(group[held:])
    parts = {name: np.sort(np.concatenate(chosen)) for name, chosen in rows.items()}
    _check_split(spec, table, parts)
    return parts


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
        present = set(table.target[parts["train"]].tolist())
        missing = [table.classes[i] for i in range(len(table.classes)) if i not in present]
        if missing:
            message = f"no row of class {show(missing[0])} is left for training"
            raise DataError(
                target_problem(spec, message, "use more rows of it, or a smaller split")
            )


def _check_fit(spec: Spec, table: Table, training_rows: int) -> None:
    """Raises `SpecError` when the spec's numbers do not fit the data."""
    problems: list[Problem] = []
    last = len(spec.model.layers) - 1
    units = spec.model.layers[last].units
    where = ("model", "layers", last, "units")
    found = f"{units} unit{'s' * (units > 1)}"
    if table.classes is not None:
        count = len(table.classes)
        fits = (1, 2) if count == 2 else (count,)
        if units not in fits:
            shown = listing(table.classes, 4)
            message = f"'{table.target_name}' has {count} classes ({shown}), found {found}"
            problems.append(spec.problem(where, message, f"write units: {fits[0]}"))
    elif units != table.target.shape[1]:
        count = table.target.shape[1]
        columns = f"{count} column{'s' * (count > 1)}"
        message = f"the target '{table.target_name}' has {columns}, found {found}"
        hint = f"write units: {count}"
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
    chosen = table.x[train]
    with np.errstate(all="ignore"):
        mean, scale = chosen.mean(axis=0), chosen.std(axis=0)
    constant = chosen.min(axis=0) == chosen.max(axis=0)
    mean = np.where(constant, chosen[0], mean)
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


def _part(
    spec: Spec, table: Table, rows: Array, mean: Array | None, scale: Array | None
) -> Part | None:
    """The rows as an engine takes them; None where there are none."""
    if not len(rows):
        return None
    x = table.x[rows]
    with np.errstate(over="ignore"):
        if mean is not None:
            x -= mean
            x /= scale
        x = x.astype(spec.model.dtype, copy=False)
        y = _encode(spec, table, rows)
    _check_range(spec, x, table.features, rows)
    _check_range(spec, y, [table.target_name] * y.shape[1], rows)
    return Part(x, y, rows)


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


def _encode(spec: Spec, table: Table, rows: Array) -> Array:
    """The target as columns: numbers as they are, 0 or 1 for one output, else one-hot."""
    dtype = np.dtype(spec.model.dtype)
    target = table.target[rows]
    if table.classes is None:
        return target.astype(dtype, copy=False)
    if spec.model.layers[-1].units == 1:
        return target[:, None].astype(dtype)
    encoded = np.zeros((len(rows), len(table.classes)), dtype)
    encoded[np.arange(len(rows)), target] = 1
    return encoded
