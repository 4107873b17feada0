"""What a sweep chose for a key, as places on an axis: numbers, logarithms, categories."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.report.axis import Scale

RANGES: Final = ("log", "uniform", "integers")
"""The keys of a declared dimension that hold its two ends."""


@dataclass(frozen=True)
class Choice:
    """The axis of one key of a space: a scale of numbers, or categories side by side.

    `categories` are what tells the values apart (see `identity`), in the order of the declaration.
    """

    key: str
    scale: Scale | None
    categories: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: str, declared: Any, values: Sequence[Any]) -> Choice:
        """The axis for what was `declared` of a key, and for the values that were chosen."""
        named = declared if isinstance(declared, Mapping) else {}
        listed = named.get("values")
        listed = list(listed) if isinstance(listed, Sequence) else []
        numbers = [value for value in values if is_number(value)]
        ends = [end for name in RANGES for end in _ends(named.get(name))]
        if listed or len(numbers) < len(values) or not numbers + ends:
            kinds = {identity(value): written(value) for value in [*listed, *values]}
            return cls(key, None, tuple(kinds), tuple(kinds.values()))
        return cls(key, _scale([*numbers, *ends], bool(named.get("log"))))

    def place(self, value: Any) -> float:
        """Where a value is on the axis, from 0 to 1; NaN where it is none of the axis."""
        if self.scale is not None:
            return self.scale.place(float(value)) if is_number(value) else math.nan
        known = identity(value)
        if known not in self.categories:
            return math.nan
        return (self.categories.index(known) + 0.5) / len(self.categories)

    def ticks(self, most: int) -> dict[float, str]:
        """About `most` places with what is written there; of more categories some."""
        if self.scale is not None:
            ticks = self.scale.ticks(most)
            return {self.scale.place(value): text for value, text in ticks.items()}
        count = len(self.labels)
        shown = range(0, count, -(-count // most) or 1)
        return {(i + 0.5) / count: self.labels[i] for i in shown}

    def groups(self, values: Sequence[Any], most: int) -> Array:
        """The group of each value, from 0: its category, or which of `most` equal shares of the
        sorted numbers it is in. Equal numbers are in one group.
        """
        places = np.array([self.place(value) for value in values])
        if self.scale is None:
            return np.unique(places, return_inverse=True)[1]
        cuts = np.nanquantile(places, np.arange(1, most) / most)
        return np.unique(np.searchsorted(cuts, places, side="left"), return_inverse=True)[1]


def is_number(value: object) -> bool:
    """Whether it is a finite number, and neither true nor false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def identity(value: Any) -> str:
    """What tells a value from others: its JSON, whatever the order of keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def written(value: Any) -> str:
    """A value as people read it: `0.01`, `relu`, `cosine, warmup 5`."""
    if isinstance(value, Mapping):
        first = [written(value["type"])] if "type" in value else []
        return ", ".join(first + [f"{k} {written(v)}" for k, v in value.items() if k != "type"])
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)


def brief(keys: Iterable[str]) -> dict[str, str]:
    """The last parts of each key that tell it from the others: `learning_rate`, `1.units`."""
    parts = {key: key.split(".") for key in keys}
    found = {}
    for key, own in parts.items():
        others = [other for name, other in parts.items() if name != key]
        count = next(
            n for n in range(1, len(own) + 1)
            if n == len(own) or all(other[-n:] != own[-n:] for other in others)
        )  # fmt: skip
        found[key] = ".".join(own[-count:])
    return found


def _ends(declared: Any) -> Iterable[float]:
    """The two ends of a range; nothing where it is something else."""
    if isinstance(declared, Sequence) and not isinstance(declared, str):
        return [end for end in declared if is_number(end)]
    return ()


def _scale(numbers: Sequence[float], log: bool) -> Scale:
    low, high = min(numbers), max(numbers)
    if log and low > 0:
        return Scale(low, high, log=True) if low < high else Scale(low / 2, high * 2, log=True)
    return Scale(low, high) if low < high else Scale.around(numbers, logarithmic=False)
