"""The part `data` of the spec: where the examples come from, and what is done to them."""

from __future__ import annotations

import codecs
import math
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from trainer.spec.choosing import DropSpec, Features, named
from trainer.spec.document import show_text
from trainer.spec.fields import (
    ColumnName,
    ColumnNames,
    Fraction,
    Names,
    OneOf,
    Row,
    Strict,
    as_tuple,
    choose,
    wrong,
)
from trainer.spec.messages import describe, near_or_all
from trainer.spec.tagged import Tagged, by_key
from trainer.spec.writing import DateFormat, Decimal, Thousands, Unit, apart

BUNDLED = ("iris", "wine", "breast_cancer", "digits", "diabetes")
SYNTHETIC = ("xor", "two_moons", "spirals", "linear")
MISSING_VALUES: Final[tuple[str, ...]] = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")

ENCODINGS: Final = frozenset((
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "ascii",
    *(f"iso8859-{part}" for part in range(1, 17) if part != 12),
    *(f"cp{page}" for page in range(1250, 1259)),
    "cp437", "cp737", "cp775", "cp850", "cp852", "cp855", "cp857", "cp858", "cp860", "cp861",
    "cp862", "cp863", "cp865", "cp866", "cp869", "cp874", "koi8-r", "koi8-u", "mac-roman",
    "mac-cyrillic", "mac-latin2", "cp932", "shift_jis", "euc_jp", "gb2312", "gbk", "gb18030",
    "big5", "cp950", "euc_kr", "cp949", "tis-620",
))  # fmt: skip
"""How texts may be encoded, by the names that Python gives."""


# Sources ---------------------------------------------------------------------------------------


class FileSource(Tagged):
    """Files whose rows are read one after the other."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths as they are written; each may be a pattern with *, ? or [ ]."""
        return as_tuple(getattr(self, self.tag()))


def _encoding(value: Any) -> str:
    """The one name of an encoding of texts."""
    try:
        found = codecs.lookup(value).name if isinstance(value, str) else ""
    except (LookupError, ValueError):
        found = ""
    found = found.removesuffix("-sig")
    if found not in ENCODINGS:
        hint = near_or_all(value, ("utf-8", "utf-16", "cp1252", "latin-1", "cp1251", "shift_jis"))
        raise wrong(f"expected how a text is encoded, found {describe(value)}", hint)
    return found


class CsvSource(FileSource):
    """Text files, with a header line or without."""

    csv: Names
    """Path of the file, relative to the spec file; or several, a pattern such as `day-*.csv`, or a
    folder. Files that end with `.gz`, `.zst`, `.bz2`, `.xz` or `.zip` are decompressed."""
    delimiter: Literal[",", ";", "\t", "|", ":", " ", "blanks"] | None = None
    """The character between cells; `blanks` stands for any number of blanks and tabs. By default a
    tab in files called `.tsv`, else a comma."""
    missing_values: Annotated[tuple[str, ...], Field(strict=False)] = MISSING_VALUES
    """The cells that stand for nothing."""
    decimal: Decimal = "."
    """The decimal sign of numbers."""
    thousands: Thousands | None = None
    """The sign between thousands, as in 1,234,567; by default there is none."""
    encoding: Annotated[str, BeforeValidator(_encoding)] = "utf-8"
    """How the text is encoded, such as `cp1252`, `latin-1` or `utf-16`."""
    skip_lines: Annotated[int, Field(ge=0, le=10**6)] = 0
    """How many lines stand before the header, or before the first row."""
    header: bool = True
    """Whether a line with the names of the columns comes first."""
    names: Annotated[tuple[ColumnName, ...], Field(strict=False, min_length=1)] | None = None
    """The names of the columns of a file without a header; by default `column_1` and so on."""
    quote: Literal['"', "'", "none"] = '"'
    """The mark around cells in which a delimiter or a line end may stand."""
    comment: Literal["#", "%", "//", "--"] | None = None
    """How lines begin that are left out."""

    @field_validator("thousands")
    @classmethod
    def _signs_differ(cls, thousands: str | None, info: ValidationInfo) -> str | None:
        return apart(thousands, info.data.get("decimal"))

    @field_validator("names")
    @classmethod
    def _names_fit(
        cls, names: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if names is not None and info.data.get("header"):
            raise wrong("the header names the columns", "write header: false, or leave names out")
        for i, name in enumerate(names or ()):
            if names and name in names[:i]:
                raise wrong(f"'{name}' is named twice", at=(i,))
        return names

    @property
    def separator(self) -> str:
        """The character between cells, once blanks are one."""
        tabs = ".tsv" in PurePath(self.paths[0]).suffixes
        if self.delimiter == "blanks":
            return "\t"
        return self.delimiter or ("\t" if tabs else ",")


class JsonlSource(FileSource):
    """Text files with a JSON object a line."""

    jsonl: Names
    """Path of the file, or several, a pattern, or a folder. A value is a number, a text, true,
    false or null; keys that a line lacks are empty cells. Files may be compressed as of `csv`."""


def _sheet(value: Any) -> Any:
    """The name or number of a sheet."""
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value is None or number or (isinstance(value, str) and value):
        return value
    raise wrong(f"expected the name of a sheet, or its number from 1, found {describe(value)}")


class ExcelSource(FileSource):
    """Sheets of Excel workbooks, whose first row names the columns; read with `trainer[excel]`."""

    excel: Names
    """Path of the workbook (.xlsx), or several, a pattern, or a folder. Formulas count with the
    values that were stored last."""
    sheet: Annotated[str | int | None, BeforeValidator(_sheet)] = None
    """The name of the sheet, or its number, counted from 1; by default the first."""
    skip_lines: Annotated[int, Field(ge=0, le=10**6)] = 0
    """How many rows stand before the names."""


class ParquetSource(FileSource):
    """Parquet files."""

    parquet: Names
    """Path of the file, or several, or a pattern."""


class ArrowSource(FileSource):
    """Arrow files, also called Feather."""

    arrow: Names
    """Path of the file, or several, or a pattern."""


class NpzSource(FileSource):
    """NumPy arrays by name: `x` and `y`, or a column each."""

    npz: Names
    """Path of the file, or several, or a pattern. Either it holds `x` of shape (rows, features)
    and `y`, or each array of shape (rows,) is a column."""


class NpySource(FileSource):
    """NumPy arrays in two files."""

    npy: Names
    """Path of the features, of shape (rows, features); or several, or a pattern."""
    y: Names
    """Path of the targets, of shape (rows,) or (rows, targets); as many as of the features."""


class SyntheticSource(Tagged):
    """Points drawn from the seed."""

    synthetic: Annotated[str, OneOf("a synthetic data set", SYNTHETIC)]
    """Which problem: `xor`, `two_moons` and `spirals` have two classes, `linear` real targets."""
    rows: Annotated[int, Field(ge=1, le=10**8)] = 400
    """Number of examples."""
    noise: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation of the normal noise: of the inputs, for `linear` of the target."""


class InlineTable(Strict):
    """Rows written in the spec itself."""

    x: Annotated[tuple[Row, ...], Field(strict=False, min_length=1)]
    """The examples: a list of rows, each a list of numbers."""
    y: Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]
    """The targets: a number or class label a row, or a list of numbers a row."""

    @field_validator("x")
    @classmethod
    def _rectangular(cls, x: tuple[Row, ...]) -> tuple[Row, ...]:
        for i, row in enumerate(x):
            if not row or len(row) != len(x[0]):
                message = f"expected {len(x[0]) or 'some'} numbers as in the first row"
                raise wrong(f"{message}, found {len(row)}", at=(i,))
        return x

    @field_validator("y")
    @classmethod
    def _targets(cls, y: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if "x" in info.data and len(y) != len(info.data["x"]):
            raise wrong(f"expected {len(info.data['x'])} targets, one a row of x, found {len(y)}")
        first = _kind(y[0])
        if first is None:
            message = f"expected a number, a text or a list of numbers, found {describe(y[0])}"
            raise wrong(message, at=(0,))
        for i, value in enumerate(y):
            if isinstance(value, float) and not math.isfinite(value):
                raise wrong(f"expected a finite number, found {describe(value)}", at=(i,))
            if _kind(value) != first:
                raise wrong(
                    f"expected {first} as in the first row, found {describe(value)}", at=(i,)
                )
        return tuple(tuple(value) if isinstance(value, list) else value for value in y)


def _kind(value: Any) -> str | None:
    """What sort of target a value is; None where it can be no target."""
    if isinstance(value, str | bool):
        return "a text" if isinstance(value, str) else "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple) and value and {_kind(v) for v in value} == {"a number"}:
        return f"a list of {len(value)} number{'s' * (len(value) > 1)}"
    return None


class InlineSource(Tagged):
    """Rows written in the spec itself."""

    inline: InlineTable
    """The examples and their targets."""


_SUFFIXES: Final = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".xlsx": "excel", ".xlsm": "excel", ".parquet": "parquet", ".arrow": "arrow",
    ".feather": "arrow", ".npz": "npz", ".npy": "npy",
}  # fmt: skip


def _no_path(value: Any) -> Any:
    """Who writes paths alone is told how files are named."""
    several = isinstance(value, list) and bool(value)
    first = value[0] if several else value
    suffixes = PurePath(first).suffixes if isinstance(first, str) else []
    kind = next((kind for suffix, kind in _SUFFIXES.items() if suffix in suffixes), None)
    if kind is not None:
        shown = f"[{show_text(first)}, …]" if several else show_text(first)
        hint = f"for a file write {{{kind}: {shown}}}"
        raise wrong(f"expected a bundled data set, found {describe(value)}", hint)
    return value


SourceSpec: TypeAlias = Annotated[
    Annotated[str, OneOf("a bundled data set", BUNDLED), BeforeValidator(_no_path)]
    | CsvSource
    | JsonlSource
    | ExcelSource
    | ParquetSource
    | ArrowSource
    | NpzSource
    | NpySource
    | InlineSource
    | SyntheticSource,
    by_key("a bundled data set's name"),
]

# Columns ---------------------------------------------------------------------------------------

Fill: TypeAlias = Literal["error", "mean", "median", "most_frequent"]
Step: TypeAlias = Literal["log1p", "quantile", "standard", "minmax", "robust"]
FILLS: Final[tuple[Fill, ...]] = get_args(Fill)
CURVES: Final = ("log1p", "quantile")
STEPS: Final[tuple[Step, ...]] = get_args(Step)


def _missing(value: Any) -> Fill | dict[Literal["constant"], float | str]:
    if isinstance(value, dict) and set(value) == {"constant"}:
        constant = value["constant"]
        number = isinstance(constant, int | float) and not isinstance(constant, bool)
        if isinstance(constant, str) or (number and math.isfinite(constant)):
            return {"constant": constant}
        raise wrong(f"expected a number or a text, found {describe(constant)}", at=("constant",))
    return choose(value, "a way to treat missing values", FILLS, other="{constant: …}")


def _scale(value: Any) -> tuple[Step, ...]:
    """One scale, or a curve and a range; as a tuple, which is empty for none."""
    if value == "none" or value == () or value == []:
        return ()
    steps = value if isinstance(value, list | tuple) else [value]
    for i, step in enumerate(steps):
        at = (i,) if isinstance(value, list | tuple) else ()
        choose(step, "a scale", ("none", *STEPS), at)
        if step == "none":
            raise wrong("'none' stands alone", "leave the others out, or this one", at)
    kinds = [step in CURVES for step in steps]
    if len(steps) > 2 or (len(steps) == 2 and kinds != [True, False]):
        raise wrong("expected one scale, or first log1p or quantile and then another",
                    "for example [log1p, standard]")  # fmt: skip
    return tuple(steps)


Missing: TypeAlias = Annotated[
    Fill | dict[Literal["constant"], int | float | str],
    BeforeValidator(_missing),
    WithJsonSchema({"anyOf": [
        {"type": "string", "enum": list(FILLS)},
        {"type": "object", "properties": {"constant": {"type": ["number", "string"]}},
         "required": ["constant"], "additionalProperties": False},
    ]}),
]  # fmt: skip
Scale: TypeAlias = Annotated[
    tuple[Step, ...],
    BeforeValidator(_scale),
    WithJsonSchema({"anyOf": [
        {"type": "string", "enum": ["none", *STEPS]},
        {"type": "array", "items": {"type": "string", "enum": list(STEPS)}, "maxItems": 2},
    ]}),
]  # fmt: skip

Kind: TypeAlias = Literal["numeric", "categorical", "boolean", "ordinal", "date"]
DatePart: TypeAlias = Literal[
    "year", "month", "day", "weekday", "yearday", "hour", "minute", "days"
]


class ColumnSpec(Strict):
    """What a feature is, and how it becomes numbers. What is left out is found in the data."""

    type: Kind | None = None
    """`numeric`, `categorical` (one of some texts), `boolean`, `ordinal` (categories in an order)
    or `date`; by default what its cells look like."""
    missing: Missing | None = None
    """What stands for missing values: `mean`, `median`, `most_frequent` (of the training rows),
    `{constant: …}`, or `error`; by default `data.missing`."""
    indicator: bool = False
    """Whether a further column tells where a value was missing."""
    scale: Scale | None = None
    """How a number is scaled: `none`, `standard`, `minmax`, `robust`, `log1p`, `quantile`, or
    `[log1p, standard]` and the like; by default `data.scale`."""
    encode: Literal["one_hot", "embedding"] = "one_hot"
    """How categories become numbers: a column for each, or a trained vector for each."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """The length of an embedding's vectors; by default half the categories, at most 50."""
    order: Annotated[tuple[Any, ...], Field(strict=False, min_length=2)] | None = None
    """The labels of an ordinal column, the least first."""
    parts: Annotated[tuple[DatePart, ...], Field(strict=False, min_length=1)] | None = None
    """What is taken of a date; by default `year`, `month`, `day` and `weekday` (0 is Monday).
    `days` counts from 1970-01-01."""
    unknown: Literal["zeros", "error"] = "zeros"
    """What a category becomes that no training row has."""
    max_categories: Annotated[int, Field(ge=2)] | None = None
    """The most categories of the column: the rarest of the training rows become one, `other`, which
    counts; so does then every category that no training row has. By default
    `data.max_categories`."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """The fewest training rows of a category that stays alone: the others become one, as with
    `max_categories`. By default `data.min_count`."""
    decimal: Decimal | None = None
    """The decimal sign of the column's numbers, where it is not that of the source. It may be said
    of every column, also of the target; so may `thousands`, `unit` and `format`."""
    thousands: Thousands | None = None
    """The sign between the thousands of the column's numbers."""
    unit: Unit | None = None
    """What stands before or behind the column's numbers: `$`, `%`, `kg`."""
    format: DateFormat | None = None
    """How the column's dates are written: `day/month/year` and the like, with `/`, `.`, `-` or a
    blank, `yy` for a year of two digits; or `yearmonthday`. By default it is found."""

    @field_validator("thousands")
    @classmethod
    def _signs_differ(cls, thousands: str | None, info: ValidationInfo) -> str | None:
        return apart(thousands, info.data.get("decimal"))

    @field_validator("decimal", "thousands", "unit")
    @classmethod
    def _is_numeric(cls, sign: str | None, info: ValidationInfo) -> str | None:
        if sign is not None and info.data.get("type") not in (None, "numeric"):
            raise wrong(f"{info.field_name} belongs to a numeric column", "write type: numeric")
        return sign

    @field_validator("format")
    @classmethod
    def _is_of_dates(cls, form: str | None, info: ValidationInfo) -> str | None:
        if form is not None and info.data.get("type") not in (None, "date"):
            raise wrong("a format belongs to a date", "write type: date")
        return form

    @field_validator("encode")
    @classmethod
    def _has_categories(cls, encode: str, info: ValidationInfo) -> str:
        if encode == "embedding" and info.data.get("type") not in (None, "categorical", "ordinal"):
            raise wrong(f"a column of the type '{info.data['type']}' has no categories to embed",
                        "leave encode out, or write type: categorical")  # fmt: skip
        return encode

    @field_validator("dimensions")
    @classmethod
    def _is_embedded(cls, dimensions: int | None, info: ValidationInfo) -> int | None:
        if dimensions is not None and info.data.get("encode") == "one_hot":
            raise wrong(
                "dimensions belong to an embedding", "write encode: embedding, or leave it out"
            )
        return dimensions

    @field_validator("order")
    @classmethod
    def _is_ordinal(
        cls, order: tuple[Any, ...] | None, info: ValidationInfo
    ) -> tuple[Any, ...] | None:
        if order is None:
            return order
        if info.data.get("type") not in (None, "ordinal"):
            raise wrong("an order belongs to an ordinal column", "write type: ordinal")
        for i, label in enumerate(order):
            if isinstance(label, bool) or not isinstance(label, str | int | float):
                raise wrong(f"expected a text or a number, found {describe(label)}", at=(i,))
            if str(label) in map(str, order[:i]):
                raise wrong(f"{label!r} stands twice", at=(i,))
        return order

    @field_validator("parts")
    @classmethod
    def _is_date(
        cls, parts: tuple[DatePart, ...] | None, info: ValidationInfo
    ) -> tuple[DatePart, ...] | None:
        if parts is None:
            return parts
        if info.data.get("type") not in (None, "date"):
            raise wrong("parts belong to a date", "write type: date")
        if info.data.get("order") is not None:
            raise wrong("an ordinal column has no parts", "leave order or parts out")
        for i, part in enumerate(parts):
            if part in parts[:i]:
                raise wrong(f"'{part}' is named twice", at=(i,))
        return parts

    @field_validator("max_categories", "min_count")
    @classmethod
    def _none_is_unknown(cls, limit: int | None, info: ValidationInfo) -> int | None:
        if limit is not None and info.data.get("unknown") == "error":
            raise wrong("where rare categories become one, unknown ones are in it and no error",
                        "leave it out, or unknown")  # fmt: skip
        return limit

    @property
    def kind(self) -> Kind | None:
        """The declared type; an order, parts, a format, or signs of numbers declare it too."""
        if self.type is not None:
            return self.type
        if self.order is not None:
            return "ordinal"
        if self.parts is not None or self.format is not None:
            return "date"
        return "numeric" if self.decimal or self.thousands or self.unit else None


# Splits ----------------------------------------------------------------------------------------


class SplitSpec(Strict):
    """Which rows are held back from training."""

    validation: Fraction = 0.0
    """Fraction evaluated after each epoch."""
    test: Fraction = 0.0
    """Fraction evaluated once, after the last epoch."""
    group: ColumnName | None = None
    """A column: rows with the same value in it stay together."""
    time: ColumnName | None = None
    """A column of numbers or dates: the latest rows are for testing, those before them for
    validation."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Into how many parts the rows are dealt for cross-validation."""
    fold: Annotated[int, Field(ge=1)] | None = None
    """The part that is for testing, counted from 1."""

    @field_validator("test")
    @classmethod
    def _leaves_rows(cls, test: float, info: ValidationInfo) -> float:
        if test + info.data.get("validation", 0) >= 1:
            total = f"{test + info.data['validation']:g}"
            raise wrong(f"validation and test together take {total} of the rows",
                        "leave some rows for training: keep the sum below 1")  # fmt: skip
        return test

    @field_validator("time")
    @classmethod
    def _one_way(cls, time: str | None, info: ValidationInfo) -> str | None:
        if time is not None and info.data.get("group") is not None:
            raise wrong("rows are split by group or by time, not by both", "leave one of them out")
        return time

    @field_validator("folds")
    @classmethod
    def _folds_fit(cls, folds: int | None, info: ValidationInfo) -> int | None:
        if folds is not None and info.data.get("test"):
            raise wrong("one of the folds is for testing", "leave `test` out")
        return folds

    @field_validator("fold")
    @classmethod
    def _of_folds(cls, fold: int | None, info: ValidationInfo) -> int | None:
        folds = info.data.get("folds")
        if fold is not None and folds is None:
            raise wrong("a fold needs folds", "write for example {folds: 5, fold: 1}")
        if fold is not None and folds is not None and fold > folds:
            raise wrong(f"there are {folds} folds, found {fold}", "folds are counted from 1")
        return fold


# The whole -------------------------------------------------------------------------------------


class DataSpec(Strict):
    """The examples, and what is done to them before training."""

    source: SourceSpec
    """A bundled data set's name, or `{csv: path}`, `{jsonl: path}`, `{excel: path}`,
    `{parquet: path}`, `{arrow: path}`, `{npz: path}`, `{npy: path, y: path}`,
    `{inline: {x: …, y: …}}`, `{synthetic: name}`."""
    target: ColumnNames | None = Field(
        default_factory=lambda data: _default_target(data), validate_default=True
    )
    """The column to predict, or several. Tables need it; bundled data sets have `target`."""
    features: Features | None = None
    """The columns to predict from; by default all but the target and those that `weights` and
    `split` name. `{except: [id, name]}` leaves some out, `{also: date}` takes one that `split`
    names."""
    columns: dict[ColumnName, ColumnSpec] = Field(default_factory=dict)
    """What single features are, where that is to be said: `{age: {missing: median}}`."""
    missing: Missing = "error"
    """What stands for missing values: `mean`, `median`, `most_frequent` (of the training rows),
    `{constant: …}`, or `error`. Categories take the most frequent instead of a mean or median."""
    max_categories: Annotated[int, Field(ge=2)] | None = None
    """The most categories of every categorical feature whose unknown ones are no errors: the rarest
    become one, see `columns`."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """The fewest training rows of a category that stays alone, likewise."""
    standardize: bool = False
    """The same as `scale: standard`: subtract each feature's mean and divide by its deviation, as
    found in the training rows."""
    scale: Scale = Field(
        default_factory=lambda data: ("standard",) if data.get("standardize") else ()
    )
    """How numbers are scaled: `none`, `standard` (mean 0, deviation 1), `minmax` (0 to 1),
    `robust` (median and quartiles), `log1p`, `quantile` (0 to 1, by rank), or a list of two."""
    target_scale: Scale = ()
    """How numeric targets are scaled; predictions come back in their units."""
    drop_rows: DropSpec | None = None
    """Rows that are left out: `{missing: target}`, `{missing: [target, features, …]}`."""
    weights: ColumnName | None = None
    """A column that says how much each row counts."""
    split: SplitSpec = SplitSpec()
    """Rows held back; by default none, and every row trains."""
    validation: Names | None = None
    """Files with the validation rows, of the source's kind."""
    test: Names | None = None
    """Files with the test rows, of the source's kind."""
    stream: bool = False
    """Whether rows stay on disk: for tables larger than memory. They are then shuffled in windows
    of some million rows."""

    @field_validator("target")
    @classmethod
    def _target_fits(cls, target: ColumnNames | None, info: ValidationInfo) -> ColumnNames | None:
        if isinstance(info.data.get("source"), FileSource) and target is None:
            raise wrong("required key is missing", "name the column to predict: `target: …`")
        return target

    @field_validator("features")
    @classmethod
    def _no_targets(cls, features: Features | None, info: ValidationInfo) -> Features | None:
        for at, name in named(features):
            if name in as_tuple(info.data.get("target") or ()):
                raise wrong(f"'{name}' is the target and cannot also be a feature", at=at)
        return features

    @field_validator("scale")
    @classmethod
    def _one_scale(cls, scale: Scale, info: ValidationInfo) -> Scale:
        if info.data.get("standardize") and scale != ("standard",):
            raise wrong("`standardize: true` is a scale already", "leave one of them out")
        return scale

    @field_validator("weights")
    @classmethod
    def _weights_apart(cls, weights: str | None, info: ValidationInfo) -> str | None:
        features = [name for _, name in named(info.data.get("features"))]
        targets = as_tuple(info.data.get("target") or ())
        for what, names in (("targets", targets), ("features", features)):
            if weights is not None and weights in names:
                raise wrong(f"'{weights}' is among the {what} and cannot be a weight",
                            "name another column")  # fmt: skip
        return weights

    @field_validator("validation", "test")
    @classmethod
    def _own_files(cls, files: Names | None, info: ValidationInfo) -> Names | None:
        part, split = str(info.field_name), info.data.get("split")
        if files is None or "source" not in info.data:  # it is wrong, and told
            return files
        if not isinstance(info.data.get("source"), FileSource):
            raise wrong(
                "the source is no file, so this cannot be one", f"write split: {{{part}: 0.2}}"
            )
        if isinstance(info.data["source"], NpySource):
            raise wrong("rows of .npy files are in two files", "use .npz files, or a split")
        if split is not None and getattr(split, part):
            raise wrong(f"the {part} rows are given and split off", f"leave split.{part} out")
        if part == "test" and split is not None and split.folds:
            raise wrong("one of the folds is for testing", "leave `test` out")
        return files

    @field_validator("stream")
    @classmethod
    def _streams(cls, stream: bool, info: ValidationInfo) -> bool:
        source, split = info.data.get("source"), info.data.get("split")
        if not stream or source is None:
            return stream
        if not isinstance(source, CsvSource | JsonlSource | ParquetSource | ArrowSource):
            raise wrong("only rows of csv, jsonl, parquet and arrow files can stay on disk",
                        "leave stream out")  # fmt: skip
        if split is not None and (split.group or split.time or split.folds):
            raise wrong("rows that stay on disk are split by chance alone",
                        "leave group, time and folds out")  # fmt: skip
        return stream

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return as_tuple(self.target or ())

    @property
    def lists_features(self) -> bool:
        """Whether the spec names every feature."""
        return isinstance(self.features, tuple)

    @property
    def has_validation(self) -> bool:
        """Whether there are rows to evaluate after each epoch."""
        return bool(self.split.validation) or self.validation is not None


def _default_target(data: dict[str, Any]) -> str | None:
    source = data.get("source")
    if isinstance(source, NpySource | SyntheticSource | InlineSource):
        return "y"
    return None if isinstance(source, FileSource) else "target"
