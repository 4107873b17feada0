"""The names of a kernel's variables: those of the graph's nodes, made fit for Python."""

from __future__ import annotations

import keyword
from typing import Final

from trainer.numerics.elementary import FUNCTIONS

RESERVED: Final = frozenset({
    "n", "begin", "step", "first", "last", "rows", "batch_size", "segment", "piece", "i", "j", "k",
    "real", "fma", "sqrt", "isfinite", "min", "range", "shared", "lanes", "greatest", "total",
    "pairwise", "losses", "norms", "parameter_norms", "predictions", "max", "shard", "start",
    "held", "int", "team", "work", "captured", "product_nn", "product_nt", "product_tn",
    "product_tt", "product_column", *FUNCTIONS, *keyword.kwlist,
})  # fmt: skip
"""What a kernel calls its own things."""


class Names:
    """Gives each thing a name like its own that no other one has."""

    def __init__(self, *taken: str) -> None:
        self._taken = {*RESERVED, *taken}
        self._names: dict[tuple[str, str], str] = {}

    def of(self, thing: str, suffix: str = "") -> str:
        """The name of a thing; with another suffix it is another variable."""
        key = (thing, suffix)
        if key not in self._names:
            words = "".join(c if c.isalnum() and c.isascii() else " " for c in thing).split()
            stem = "_".join(words) or "value"
            stem = (f"v_{stem}" if stem[0].isdigit() else stem) + suffix
            fresh, number = stem, 2
            while fresh in self._taken:
                fresh, number = f"{stem}{number}", number + 1
            self._taken.add(fresh)
            self._names[key] = fresh
        return self._names[key]
