"""Rows that are written in the spec itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.data.columns.targets import Goal
from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import SpecError
from trainer.graph.ops import Array
from trainer.spec.messages import describe
from trainer.spec.sources import InlineSource


def read_inline(source: InlineSource, goal: Goal) -> tuple[Array, Sequence[Any]]:
    """The features and the targets. Raises `MisfitError` for targets that do not fit the loss."""
    _check_targets(source.inline.y, goal)
    return np.array(source.inline.x, dtype=np.float64), source.inline.y


def _check_targets(y: Sequence[Any], goal: Goal) -> None:
    """The schema has seen to it that all targets are of one kind."""

    def fail(at: Sequence[int], expected: str, hint: str | None = None) -> MisfitError:
        value: Any = y
        for i in at:
            value = value[i]
        message = f"expected {expected}, found {describe(value)}"
        return MisfitError(
            SpecError, Misfit(("data", "source", "inline", "y", *at), message, hint, code="TR-D027")
        )

    if goal == "labels":
        if isinstance(y[0], str):
            raise fail([0], "0 or 1, or a list of them", "write true as 1 and false as 0")
        return
    if goal == "class":
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
