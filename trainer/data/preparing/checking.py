"""Whether a preprocessing that was read back is one that could have been fitted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainer.data.columns.notation import PLAIN
from trainer.data.columns.table import Column, Label
from trainer.data.preparing.expand import Rule
from trainer.data.preparing.scaling import Scaling, ScalingFields
from trainer.stored import from_json

if TYPE_CHECKING:
    from trainer.data.preparing.preprocessing import Preprocessing


@dataclass(frozen=True)
class Fields:
    """A preprocessing as JSON has it; see `Preprocessing.as_json`."""

    columns: list[dict[str, Any]]
    scaling: ScalingFields
    targets: tuple[str, ...]
    target_scaling: ScalingFields
    classes: tuple[Label, ...] | None
    multi_label: bool
    weighted: bool
    outputs: int
    dtype: Literal["float32", "float64"]


def column_of(number: int, value: dict[str, Any]) -> tuple[Column, Rule]:
    """What stands in JSON of one column. Raises `ValueError`."""
    where = f"columns[{number}]."
    known = {each.name for kind in (Column, Rule) for each in fields(kind)}
    for name in value.keys() - known:
        raise ValueError(f"'{where}{name}' is not known here")
    notation = value.get("notation")
    if isinstance(notation, dict):  # it says what is not plain
        value = {**value, "notation": asdict(PLAIN) | notation}
    column = from_json(Column, value, where, whole=False)
    return column, from_json(Rule, value, where, whole=False)


def check(how: Preprocessing) -> None:
    """Raises `ValueError` where parts do not fit each other."""
    _demand(bool(how.columns), "it has no columns")
    for what, names in (("columns", how.features), ("targets", how.targets)):
        _demand(len(set(names)) == len(names), f"two of its {what} have one name")
    for column, rule in zip(how.columns, how.rules, strict=True):
        _check_column(column, rule)
    _demand(bool(how.targets) and how.outputs >= 1, "it has no targets")
    if how.classes is not None:
        classes = len(how.classes)
        fits = how.outputs == classes or (how.outputs, classes) == (1, 2)
        _demand(fits and not how.multi_label, f"{how.outputs} outputs tell no {classes} classes")
    if how.multi_label:
        _demand(how.outputs == len(how.targets), "each label has an output")
    _check_scaling("scaling", how.scaling, how.layout.width)
    _check_scaling("target_scaling", how.target_scaling, how.outputs)


def _check_column(column: Column, rule: Rule) -> None:
    texts = column.kind in ("categorical", "ordinal")
    _demand(texts or not column.categories, f"the column {column.name!r} has categories")
    _demand(bool(rule.parts) == (column.kind == "date"), f"'{column.name}' has parts of a date")
    filled = rule.fill is None or bool(np.isfinite(rule.fill))
    _demand(filled, f"the column {column.name!r} is filled with no number")
    _demand(rule.dimensions is None or rule.dimensions > 0, f"'{column.name}' has no dimensions")


def _check_scaling(name: str, scaling: Scaling, width: int) -> None:
    shift, scale = scaling.shift, scaling.scale
    _demand((shift is None) == (scale is None), f"'{name}' lacks its shift or its scale")
    for part in (shift, scale):
        fits = part is None or (part.shape == (width,) and bool(np.isfinite(part).all()))
        _demand(fits, f"'{name}' has not {width} finite numbers")
    for column, quantiles in scaling.curves.items():
        _demand(0 <= column < width, f"'{name}' has a curve for column {column} of {width}")
        if quantiles is not None:
            rises = len(quantiles) > 1 and bool(np.isfinite(quantiles).all())
            rises = rises and bool((np.diff(quantiles) >= 0).all())
            _demand(rises, f"a curve of '{name}' does not rise")


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
