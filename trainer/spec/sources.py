"""The part `data.source` of the spec: where the examples come from."""

from __future__ import annotations

import codecs
import math
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from trainer.spec.document import show_text
from trainer.spec.fields import (
    ColumnName,
    Names,
    OneOf,
    Row,
    Strict,
    as_tuple,
    wrong,
)
from trainer.spec.messages import describe, near_or_all
from trainer.spec.tagged import Tagged, by_key
from trainer.spec.writing import Decimal, Thousands, apart

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
        raise wrong(
            f"expected how a text is encoded, found {describe(value)}", hint, code="TR-S015"
        )
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
            raise wrong(
                "the header names the columns",
                "write header: false, or leave names out",
                code="TR-S019",
            )
        for i, name in enumerate(names or ()):
            if names and name in names[:i]:
                raise wrong(f"'{name}' is named twice", at=(i,), code="TR-S018")
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
    raise wrong(
        f"expected the name of a sheet, or its number from 1, found {describe(value)}",
        code="TR-S013",
    )


class ExcelSource(FileSource):
    """Sheets of Excel workbooks, whose first row names the columns; read with the extra `excel`."""

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
                raise wrong(f"{message}, found {len(row)}", at=(i,), code="TR-S034")
        return x

    @field_validator("y")
    @classmethod
    def _targets(cls, y: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if "x" in info.data and len(y) != len(info.data["x"]):
            raise wrong(
                f"expected {len(info.data['x'])} targets, one a row of x, found {len(y)}",
                code="TR-S034",
            )
        first = _kind(y[0])
        if first is None:
            message = f"expected a number, a text or a list of numbers, found {describe(y[0])}"
            raise wrong(message, at=(0,), code="TR-S034")
        for i, value in enumerate(y):
            if isinstance(value, float) and not math.isfinite(value):
                raise wrong(
                    f"expected a finite number, found {describe(value)}", at=(i,), code="TR-S014"
                )
            if _kind(value) != first:
                raise wrong(
                    f"expected {first} as in the first row, found {describe(value)}",
                    at=(i,),
                    code="TR-S034",
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
        raise wrong(f"expected a bundled data set, found {describe(value)}", hint, code="TR-S033")
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
