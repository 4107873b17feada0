"""From a source to arrays that can train: read, split, standardise, encode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.data.bundled import read_bundled
from trainer.data.csv import read_csv
from trainer.data.synthetic import draw_synthetic
from trainer.data.table import Label, Table, from_arrays, target_problem
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
        x = np.array(source.inline.x, dtype=np.float64)
        return from_arrays(x, source.inline.y, spec, "inline")
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
    x, mean, scale = table.x, None, None
    if spec.data.standardize:
        x, mean, scale = _standardise(table, rows["train"], notes)
    y = _encode(spec, table)
    parts = {name: _part(spec, x, y, chosen) for name, chosen in rows.items()}
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
    groups = [order]
    if table.classes is not None:
        codes = table.target[order]
        groups = [order[codes == code] for code in range(len(table.classes))]
    sizes = np.cumsum([len(group) for group in groups])
    counts = {
        name: np.diff(np.floor(fraction * sizes + 0.5).astype(int), prepend=0)
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
            message = f"{fraction:g} of {total} rows leaves none for {name}"
            hint = "use more data or a larger fraction"
            raise DataError(spec.problem(("data", "split", name), message, hint))
    if not len(parts["train"]):
        message = f"the split leaves none of {total} rows for training"
        raise DataError(spec.problem(("data", "split"), message))
    if table.classes is not None:
        present = set(table.target[parts["train"]].tolist())
        missing = [table.classes[i] for i in range(len(table.classes)) if i not in present]
        if missing:
            message = f"no row of class {missing[0]!r} is left for training"
            raise DataError(
                target_problem(spec, message, "use more rows of it, or a smaller split")
            )


def _check_fit(spec: Spec, table: Table, training_rows: int) -> None:
    """Raises `SpecError` when the spec's numbers do not fit the data."""
    problems: list[Problem] = []
    last = len(spec.model.layers) - 1
    units = spec.model.layers[last].units
    where = ("model", "layers", last, "units")
    if table.classes is not None:
        count = len(table.classes)
        fits = (1, 2) if count == 2 else (count,)
        if units not in fits:
            shown = ", ".join(map(str, table.classes[:4])) + (", …" if count > 4 else "")
            message = f"'{table.target_name}' has {count} classes ({shown}), found {units} units"
            problems.append(spec.problem(where, message, f"write units: {fits[0]}"))
    elif units != table.target.shape[1]:
        count = table.target.shape[1]
        columns = f"{count} column{'s' * (count > 1)}"
        message = f"the target '{table.target_name}' has {columns}, found {units} units"
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


def _standardise(table: Table, train: Array, notes: list[str]) -> tuple[Array, Array, Array]:
    """All rows, shifted and scaled to mean 0 and deviation 1 over the training rows.

    The deviation is the population's (divided by n). A feature that is constant over the
    training rows is only shifted.
    """
    chosen = table.x[train]
    with np.errstate(all="ignore"):
        mean, scale = chosen.mean(axis=0), chosen.std(axis=0)
    constant = chosen.min(axis=0) == chosen.max(axis=0)
    scale = np.where(constant, 1.0, scale)
    mean = np.where(constant, chosen[0], mean)
    if constant.any():
        names = [
            name for name, is_constant in zip(table.features, constant, strict=True) if is_constant
        ]
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        plural = "features are" if len(names) > 1 else "feature is"
        notes.append(f"{len(names)} {plural} constant in the training rows and become 0: {shown}")
    return (table.x - mean) / scale, mean, scale


def _encode(spec: Spec, table: Table) -> Array:
    """The target as columns: numbers as they are, 0 or 1 for one output, else one-hot."""
    if table.classes is None:
        return table.target
    if spec.model.layers[-1].units == 1:
        return table.target[:, None].astype(np.float64)
    return np.eye(len(table.classes))[table.target]


def _part(spec: Spec, x: Array, y: Array, rows: Array) -> Part | None:
    if not len(rows):
        return None
    dtype = np.dtype(spec.model.dtype)
    with np.errstate(over="ignore"):
        part = Part(
            np.ascontiguousarray(x[rows], dtype=dtype),
            np.ascontiguousarray(y[rows], dtype=dtype),
            rows,
        )
    for name, values in (("features", part.x), ("target", part.y)):
        if not np.isfinite(values).all():
            row = np.argwhere(~np.isfinite(values))[0][0]
            message = f"the {name} hold a number too large for {dtype} (row {rows[row]})"
            hint = "use `dtype: float64` or rescale the data"
            raise DataError(spec.problem(("model", "dtype"), message, hint))
    return part
