"""Numbers of a spec that its float type cannot hold: told at their place, before any is cast."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from trainer.errors import Problem, SpecError
from trainer.spec.document import Path
from trainer.spec.schema import Spec

NUMBER: Final = re.compile(r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def check_magnitudes(spec: Spec) -> None:
    """Raises `SpecError` for each number of the model, its equations and the SGD that is beyond the
    float type of the model.
    """
    problems = list(_problems(spec))
    if problems:
        raise SpecError(problems)


def _problems(spec: Spec) -> Iterator[Problem]:
    dtype, resolved = spec.model.dtype, spec.resolved()
    largest = float(np.finfo(dtype).max)
    hint = f"the largest is {largest:.2g}"
    hint += "; `model.dtype: float64` has larger ones" if dtype == "float32" else ""
    for part in ("model", "sgd"):
        for path, value in _leaves((part,), resolved[part]):
            for shown, span in _beyond(path, value, largest):
                message = f"{dtype} holds no number as large as {shown}"
                yield spec.problem(path, message, hint, span=span, code="TR-D020")


def _beyond(
    path: Path, value: object, largest: float
) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """The numbers of a value that are too large, and where they stand in an equation."""
    if isinstance(value, str) and path[:2] == ("model", "equations"):
        for found in NUMBER.finditer(value):
            if float(found.group()) > largest:
                yield found.group(), (found.start(), len(found.group()))
    elif isinstance(value, float) and largest < abs(value) < math.inf:
        yield f"{value:g}", None


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Every value within lists and mappings, with its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves((*path, key), each)
    elif isinstance(value, list | tuple):
        for i, each in enumerate(value):
            yield from _leaves((*path, i), each)
    else:
        yield path, value
