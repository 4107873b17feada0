"""Rows that are written in the spec itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.data.columns.table import Table
from trainer.data.reading.arrays import from_arrays
from trainer.errors import SpecError
from trainer.spec.data import InlineSource
from trainer.spec.messages import describe
from trainer.spec.schema import Spec


def read_inline(source: InlineSource, spec: Spec) -> Table:
    """The table of features x1, x2, … and the target y.

    Raises `SpecError` for targets that do not fit the loss.
    """
    _check_targets(source.inline.y, spec)
    x = np.array(source.inline.x, dtype=np.float64)
    return from_arrays(x, source.inline.y, spec, "inline")


def _check_targets(y: Sequence[Any], spec: Spec) -> None:
    """The schema has seen to it that all targets are of one kind."""

    def fail(at: Sequence[int], expected: str, hint: str | None = None) -> SpecError:
        value: Any = y
        for i in at:
            value = value[i]
        message = f"expected {expected}, found {describe(value)}"
        return SpecError(spec.problem(("data", "source", "inline", "y", *at), message, hint))

    if spec.model.multi_label:
        if isinstance(y[0], str):
            raise fail([0], "0 or 1, or a list of them", "write true as 1 and false as 0")
        return
    if spec.model.loss == "logistic":
        if isinstance(y[0], tuple):
            raise fail([0], "a class label for the loss 'logistic'", "write one label a row")
        if "" in y:
            raise fail([y.index("")], "a class label")
        return
    if isinstance(y[0], str | bool):
        hint = "use `loss: logistic` if the targets name classes"
        raise fail([0], "a number for the loss 'squared'", hint)
    broken = np.argwhere(~np.isfinite(np.array(y, dtype=np.float64)))
    if len(broken):
        raise fail(broken[0].tolist(), "a finite number")
