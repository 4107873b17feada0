"""One meaning for a cell: each is asked in every way, and means what it meant in training.

A way may refuse a cell, with a message; it may not take it for another category, number or date,
nor for one that is missing, nor for one that is unknown although it is known.
"""

from __future__ import annotations

import datetime
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from mlflow.pyfunc import scoring_server

from trainer.data import Column
from trainer.network.model import Model

from .models import ERRORS, Way, small_model, ways
from .tally import Tally

ODD: Final = math.inf
"""What a cell means that none may take: it must be refused."""


@dataclass(frozen=True)
class Case:
    """A cell of some type, and the raw number that it means: the one of a category, -1 for one that
    is not known, NaN for nothing. Of one that is `plain` every way must say so.
    """

    cell: Any
    means: float
    plain: bool = False


def campaign(folder: Path, number: int, *kinds: str, seed: int = 1) -> Tally:
    """So many cells of these kinds of columns, or of every kind, each alone or beside others."""
    tally = Tally("one meaning for a cell")
    with _serving():
        for kind in kinds or KINDS:
            column = KINDS[kind]
            model = small_model([column, Column("b")])
            place = folder / kind.replace(" ", "_")
            place.mkdir()
            asked = ways(model, place)
            for i in range(number):
                chance = random.Random(f"{seed}/{kind}/{i}")
                case = chance.choice(CASES[column.kind])(column, chance)
                _ask(tally, kind, model, asked, case, chance)
    return tally


@contextmanager
def _serving() -> Iterator[None]:
    """As in a process of MLflow's server, whose readers are put back afterwards."""
    names = ("_parse_json_data", "parse_csv_input", "parse_parquet_input")
    before = {name: getattr(scoring_server, name) for name in names}
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
    try:
        yield
    finally:
        del os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"]
        for name, function in before.items():
            setattr(scoring_server, name, function)


def _ask(
    tally: Tally, kind: str, model: Model, asked: Mapping[str, Way], case: Case,
    chance: random.Random,
) -> None:  # fmt: skip
    column = model.preprocessing.columns[0]
    nothing, other = Case(None, math.nan), chance.choice(CASES[column.kind][:2])(column, chance)
    rows = [case, *chance.choice([[], [nothing], [case, nothing], [other], [other, nothing]])]
    cells = {"a": [each.cell for each in rows], "b": [1.5] * len(rows)}
    raw = np.array([[each.means, 1.5] for each in rows])
    expected = None if case.means == ODD else model.predict(raw)["prediction"]
    for name, way in asked.items():
        what = f"{kind}: {name}: {cells['a']!r}"
        try:
            found = way(cells)
        except ERRORS as error:
            simple = all(each.plain and isinstance(each.cell, str) for each in rows)
            wrong = f"refused: {str(error)[:200]}" if simple and expected is not None else None
            tally.case(what, wrong)
            continue
        except Exception as error:  # a user would see a traceback
            tally.case(what, f"{type(error).__name__}: {error}")
            continue
        if found is None:
            continue
        if expected is None:
            tally.case(what, f"taken: {np.asarray(found).tolist()}")
        elif len(found) != len(expected) or not np.allclose(found, expected, rtol=1e-9):
            tally.case(what, f"{np.asarray(found).tolist()}, not {expected.tolist()}")
        else:
            tally.case(what, None)


# Kinds of columns ---------------------------------------------------------------------------------


def _column(*categories: str, ordinal: bool = False) -> Column:
    return Column("a", "ordinal" if ordinal else "categorical", categories)


KINDS: Final[Mapping[str, Column]] = {
    "numbers": Column("a"),
    "texts": _column("Bonn", 'Köln, "am Rhein"', "None", "new\nline", "Ulm"),
    "numbers that name": _column("1", "2", "2.5", "10", "300"),
    "numbers below 0": _column("-7", "-1", "0", "1"),
    "codes with zeros": _column("01067", "04109", "10115", "80331"),
    "long ids": _column(*(str(76561198000000001 + i) for i in range(12))),
    "mixed": _column("007", "12", "A7", "x"),
    "two words": _column("N", "Y"),
    "truth and more": _column("false", "true", "unknown"),
    "an order": _column("small", "middle", "large", ordinal=True),
    "an order of numbers": _column("3", "2.5", "1", ordinal=True),
    "truth values": Column("a", "boolean"),
    "dates": Column("a", "date"),
}

# Cells --------------------------------------------------------------------------------------------

Make = Callable[[Column, random.Random], Case]


def _known(column: Column, chance: random.Random) -> tuple[str, int]:
    number = chance.randrange(len(column.categories))
    return column.categories[number], number


def _as_text(column: Column, chance: random.Random) -> Case:
    text, number = _known(column, chance)
    return Case(chance.choice([text, f" {text}", f"{text}\t", np.str_(text)]), number, plain=True)


def _as_number(column: Column, chance: random.Random) -> Case:
    """A category that is a number, in another type or writing."""
    text, number = _known(column, chance)
    try:
        value = Decimal(text)
    except ArithmeticError:
        return _as_text(column, chance)
    whole = int(value) if value == int(value) else float(value)
    forms: list[Any] = [whole, value, str(whole), np.float64(value), float(value), f"{whole:+}"]
    forms += [f"{float(value)}", np.array(whole)]
    if isinstance(whole, int):
        forms += [np.int64(whole), f"{whole}.0", f"{whole}.", f"{whole}e0", value * Decimal("1.00")]
        forms += [np.int32(whole), np.float32(whole)] if abs(whole) < 2**24 else []
    return Case(chance.choice(forms), number)


def _as_truth(column: Column, chance: random.Random) -> Case:
    """A truth value, which two words or a category of this name may mean."""
    truth = chance.random() < 0.5
    lower = [text.lower() for text in column.categories]
    cell = chance.choice([truth, np.bool_(truth), str(truth), str(truth).upper()])
    if lower == ["n", "y"]:
        return Case(cell, float(truth))
    if str(truth).lower() in lower:
        return Case(cell, lower.index(str(truth).lower()))
    return Case(cell, -1)


def _unknown(column: Column, chance: random.Random) -> Case:
    number = chance.choice([4, 99, 1068, 76561198000000099, 5.25, -3])
    return Case(chance.choice(["Rom", "bonn", "x1", "1_000", "0x1", number, str(number)]), -1)


def _missing(column: Column, chance: random.Random) -> Case:
    cell = chance.choice([None, math.nan, "", "  ", "NA", "null", pd.NA, np.float32("nan"), pd.NaT])
    return Case(cell, math.nan, plain=True)


def _odd(column: Column, chance: random.Random) -> Case:
    text = column.categories[0] if column.categories else "1"
    cells = [[text], [], (text,), {"a": text}, {}, text.encode(), np.array([1, 2]), 1j, {text}]
    return Case(chance.choice(cells), ODD)


def _number(column: Column, chance: random.Random) -> Case:
    value = chance.choice([0, -1, 7, 1000, 2.5, -0.125, 1e300, 123456789012345678])
    whole = [np.int64(value), f"{value}."] if isinstance(value, int) else [np.float64(value)]
    forms: list[Any] = [
        value,
        f" {value}",
        f"{value:+}",
        repr(float(value)),
        *whole,
        Decimal(value),
    ]
    return Case(chance.choice(forms), float(value))


def _no_number(column: Column, chance: random.Random) -> Case:
    cells = ["abc", "1_000", "0x10", "1 2", "--1", "1e", "inf", "-Infinity", math.inf, "१२", "true"]
    return Case(chance.choice(cells), ODD)


def _truth(column: Column, chance: random.Random) -> Case:
    truth = chance.random() < 0.5
    words = (
        ["true", "TRUE", " yes", "1", "+1", "1.0"] if truth else ["false", "No", "0", "-0", "0.0"]
    )
    cells = [*words, truth, np.bool_(truth), int(truth), float(truth), np.int64(truth)]
    return Case(chance.choice(cells), float(truth))


def _no_truth(column: Column, chance: random.Random) -> Case:
    return Case(chance.choice(["maybe", "y", 2, -1, 0.5, "2", "1_0"]), ODD)


def _date(column: Column, chance: random.Random) -> Case:
    days, minutes = chance.randrange(-20_000, 40_000), chance.choice([0, 0, 61, 1439])
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(days, minutes=minutes)
    cells: list[Any] = [
        str(moment), moment.isoformat(), moment, pd.Timestamp(moment), np.datetime64(moment, "ms"),
        f"{moment}Z", moment.replace(tzinfo=datetime.UTC),
    ]  # fmt: skip
    cells += [moment.date(), str(moment.date())] if not minutes else []
    return Case(chance.choice(cells), days + minutes / 1440)


def _no_date(column: Column, chance: random.Random) -> Case:
    cells = [
        "soon",
        "2024-02-30",
        "2024-13-01",
        "20240506x",
        "0000-01-01",
        "2024-05-06x07:08",
        True,
    ]
    return Case(chance.choice([*cells, "2024-05-06 07:08+99:99", "2024-05-06 07:08+25:00"]), ODD)


_CATEGORIES: Final[Sequence[Make]] = (
    _as_text, _as_number, _as_number, _as_truth, _unknown, _missing, _odd,
)  # fmt: skip
CASES: Final[Mapping[str, Sequence[Make]]] = {
    "numeric": (_number, _number, _no_number, _missing, _odd),
    "categorical": _CATEGORIES,
    "ordinal": _CATEGORIES,
    "boolean": (_truth, _truth, _no_truth, _missing, _odd),
    "date": (_date, _date, _no_date, _missing, _odd),
}
