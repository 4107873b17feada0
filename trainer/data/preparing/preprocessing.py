"""What lies between the columns of a table and the arrays of a network, in both directions.

It is fitted on the training rows (`fit_table.py`), kept with the model, and done again at every
prediction. Raw rows become x in three steps: missing values are filled, columns expanded, columns
scaled.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

import numpy as np

from trainer.data.columns.table import Column, Label, Table, listing
from trainer.data.preparing.checking import Fields, check, column_of
from trainer.data.preparing.expand import Rule, expand, fields_of, is_plain, names_of, new_codes
from trainer.data.preparing.layout import Field, Layout
from trainer.data.preparing.scaling import Scaling
from trainer.graph.ops import Array
from trainer.spec.columns import Kind
from trainer.stored import from_json

NONE: Final = Scaling()


@dataclass(frozen=True)
class Fault:
    """Why a row cannot be encoded: the number of the row, the name of the column, what was expected
    and found. `hint` says what to do, if that is known. `empty` tells that there is no value,
    `too_large` that there is a number which the network's dtype cannot hold.
    """

    row: int
    column: str
    message: str
    hint: str | None = None
    empty: bool = False
    too_large: bool = False


@dataclass(frozen=True)
class Preprocessing:
    """From raw columns to x and y, and from outputs to what they mean.

    `columns` are the raw features, with the categories of the training rows, and `rules` say what
    each becomes; without any all are numbers that stay. `scaling` belongs to the columns of x,
    `target_scaling` to those of y. `targets` are the columns to predict. `classes` are the labels
    of a class target, in the order of their numbers; with `multi_label` each target is 0 or 1.
    `outputs` is the number of columns of y, and `dtype` that of the network. `weighted` says
    whether rows had weights.
    """

    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    classes: tuple[Label, ...] | None
    outputs: int
    dtype: str
    rules: tuple[Rule, ...] = ()
    scaling: Scaling = NONE
    target_scaling: Scaling = NONE
    multi_label: bool = False
    weighted: bool = False

    def __post_init__(self) -> None:
        if not self.rules:
            object.__setattr__(self, "rules", tuple(Rule() for _ in self.columns))

    # Names --------------------------------------------------------------------------------------

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the raw columns."""
        return tuple(column.name for column in self.columns)

    @property
    def target(self) -> str:
        """The names of the targets, as messages write them."""
        return ", ".join(self.targets)

    @property
    def target_columns(self) -> tuple[Column, ...]:
        """What the targets are as columns: categories are the labels of the classes."""
        if self.classes is not None:
            return (Column(self.target, "categorical", tuple(map(str, self.classes))),)
        kind: Kind = "boolean" if self.multi_label else "numeric"
        return tuple(Column(name, kind) for name in self.targets)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the columns of y: those of the targets, or numbers where one has several."""
        if len(self.targets) == self.outputs:
            return self.targets
        return tuple(str(i) for i in range(1, self.outputs + 1))

    @cached_property
    def encoded_names(self) -> tuple[str, ...]:
        """The names of the columns of x: `age`, `age missing`, `city=Paris`, `sold month`."""
        found: list[str] = []
        for column, rule in zip(self.columns, self.rules, strict=True):
            found += names_of(column, rule)
            found += [f"{column.name} missing"] * rule.indicator
        return tuple(found)

    @cached_property
    def layout(self) -> Layout:
        """Which columns of x are which feature."""
        fields: list[Field] = []
        for column, rule in zip(self.columns, self.rules, strict=True):
            fields += fields_of(column, rule, fields[-1].stop if fields else 0)
        return Layout(tuple(fields), self.outputs, self.weighted)

    def place_of(self, column: int) -> int:
        """The raw column, by its number, that column number `column` of x comes from."""
        return bisect_right(self.starts, column) - 1

    # Features -----------------------------------------------------------------------------------

    def encode(self, raw: Array) -> Array:
        """Raw rows of shape (rows, features) in float64 as x, of shape (rows, width) in float64.

        What cannot be encoded is not finite; `fault` says why.
        """
        return self.scaling.apply(self.expand(raw))

    def expand(self, raw: Array) -> Array:
        """Raw rows as columns of x that are not scaled yet."""
        if self._fills is not None:
            raw = np.where(np.isnan(raw), self._fills, raw)
        if self._all_plain:
            return raw
        x = np.empty((len(raw), self.layout.width))
        for raw_columns, columns in self._runs:
            x[:, columns] = raw[:, raw_columns]
        for number, columns in self._expanded:
            x[:, columns] = expand(raw[:, number], self.columns[number], self.rules[number])
        return x

    @cached_property
    def _plain(self) -> tuple[bool, ...]:
        return tuple(map(is_plain, self.columns, self.rules))

    @cached_property
    def _all_plain(self) -> bool:
        return all(self._plain)

    @cached_property
    def _fills(self) -> Array | None:
        """What stands for missing values of plain columns; None where there is nothing to fill."""
        fills = [
            np.nan if rule.fill is None or not plain else rule.fill
            for rule, plain in zip(self.rules, self._plain, strict=True)
        ]
        return None if np.isnan(fills).all() else np.array(fills)

    @cached_property
    def widths(self) -> list[int]:
        """How many columns of x each raw column becomes."""
        pairs = zip(self.columns, self.rules, strict=True)
        return [len(names_of(column, rule)) + rule.indicator for column, rule in pairs]

    @cached_property
    def starts(self) -> list[int]:
        """The first column of x that each raw column becomes."""
        return list(accumulate(self.widths, initial=0))[:-1]

    @cached_property
    def _runs(self) -> list[tuple[slice, slice]]:
        """Raw and encoded places of plain columns that stand side by side."""
        runs: list[tuple[slice, slice]] = []
        for number, (plain, at) in enumerate(zip(self._plain, self.starts, strict=True)):
            if plain and runs and runs[-1][0].stop == number:
                first, start = runs[-1][0].start, runs[-1][1].start
                runs[-1] = slice(first, number + 1), slice(start, at + 1)
            elif plain:
                runs.append((slice(number, number + 1), slice(at, at + 1)))
        return runs

    @cached_property
    def _expanded(self) -> list[tuple[int, slice]]:
        """The numbers of the other columns, and where they are in x."""
        places = zip(self._plain, self.starts, self.widths, strict=True)
        return [
            (number, slice(start, start + width))
            for number, (plain, start, width) in enumerate(places)
            if not plain
        ]

    def adopt(self, table: Table, rows: Array | slice) -> Array:
        """Some rows of a table as raw rows: its categories by the numbers that they have here, and
        -1 for those that no training row has. A copy, unless `rows` is a slice of a table without
        categories.
        """
        raw = table.x[rows]
        for number, codes in self._codes(table.columns).items():
            values = raw[:, number]
            known = (values >= 0) & (values < len(codes))
            raw = raw.copy() if raw.base is not None else raw
            places = np.where(known, values, 0).astype(np.int64)
            raw[:, number] = np.where(known, codes[places], np.where(np.isnan(values), values, -1))
        return raw

    @cached_property
    def _adopted(self) -> dict[int, tuple[Sequence[Column], dict[int, Array]]]:
        """What `_codes` found for columns of other tables, by their identity."""
        return {}

    def _codes(self, columns: Sequence[Column]) -> dict[int, Array]:
        """For columns with other categories than here, the number of each of them."""
        if id(columns) not in self._adopted:
            self._adopted[id(columns)] = columns, self._find_codes(columns)
        return self._adopted[id(columns)][1]

    def _find_codes(self, columns: Sequence[Column]) -> dict[int, Array]:
        found = {}
        for number, (theirs, own) in enumerate(zip(columns, self.columns, strict=True)):
            if theirs.categories != own.categories:
                grouped = self.rules[number].grouped
                found[number] = new_codes(theirs.categories, own.categories, grouped)
        return found

    def fault(self, raw: Array, x: Array) -> Fault | None:
        """Why the first of these rows cannot be encoded, whose x is not finite; None if all can.

        x is what `encode` gave, in any dtype.
        """
        finite = np.isfinite(x)
        if finite.all():
            return None
        row, encoded = (int(i) for i in np.argwhere(~finite)[0])
        place = self.place_of(encoded)
        message, hint = self._reason(place, float(raw[row, place]), encoded)
        empty, large = bool(np.isnan(raw[row, place])), message.startswith("the number is")
        return Fault(row, self.features[place], message, hint, empty=empty, too_large=large)

    def _reason(self, place: int, value: float, encoded: int) -> tuple[str, str | None]:
        column = self.columns[place]
        if np.isnan(value):
            return "expected a value, found an empty cell", "fill it in, or leave the row out"
        if column.categories:
            where = "the training rows have" if column.kind == "categorical" else "its order has"
            known = f"they are {listing(column.categories, 12)}"
            return f"expected a category that {where}, found another one", known
        if column.kind == "date":
            return "expected a date, found one that is out of range", None
        if encoded in self.scaling.curves and value <= -1:
            return f"log1p takes numbers above -1, found {value:g}", "use another scale"
        if np.isinf(value):
            return f"expected a finite number, found {value}", None
        return f"the number is too large for {self.dtype}", None

    # Targets ------------------------------------------------------------------------------------

    def encode_target(self, target: Array) -> Array:
        """Targets as a table holds them, as columns of y; of shape (rows, outputs).

        Numbers are scaled. Class numbers stay for one output, 0 or 1; for several there is a 1 in
        the column of the class.
        """
        columns = target.reshape(len(target), -1)
        if self.classes is None:
            return self.target_scaling.apply(columns)
        if self.outputs == 1:
            return columns
        return np.asarray(columns == np.arange(len(self.classes)))

    def decode_target(self, outputs: Array) -> Array:
        """Numbers in the units of the targets, of shape (rows, outputs), for columns of y."""
        return self.target_scaling.undo(outputs)

    # As JSON ------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Its fields; `from_json` gives the same numbers again, to the bit."""
        return {
            "columns": [
                column.as_json() | rule.as_json()
                for column, rule in zip(self.columns, self.rules, strict=True)
            ],
            "scaling": self.scaling.as_json(),
            "targets": list(self.targets),
            "target_scaling": self.target_scaling.as_json(),
            "classes": None if self.classes is None else list(self.classes),
            "multi_label": self.multi_label,
            "weighted": self.weighted,
            "outputs": self.outputs,
            "dtype": self.dtype,
        }

    @classmethod
    def from_json(cls, value: object) -> Preprocessing:
        """From what `as_json` gave. Raises `ValueError`, which names the field, for anything else:
        other types, fields that are missing or that do not fit each other.
        """
        kept = from_json(Fields, value)
        both = [column_of(i, column) for i, column in enumerate(kept.columns)]
        found = cls(
            columns=tuple(column for column, _ in both),
            targets=kept.targets,
            classes=kept.classes,
            outputs=kept.outputs,
            dtype=kept.dtype,
            rules=tuple(rule for _, rule in both),
            scaling=Scaling.from_json(kept.scaling),
            target_scaling=Scaling.from_json(kept.target_scaling),
            multi_label=kept.multi_label,
            weighted=kept.weighted,
        )
        check(found)
        return found
