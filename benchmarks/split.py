"""The rows of a spec's table as its seed splits them, for whoever is trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainer.data import Table, load_table, split_rows
from trainer.graph.ops import Array
from trainer.spec.schema import Spec


@dataclass(frozen=True)
class SplitTable:
    """A table as the spec's seed splits it."""

    spec: Spec

    @cached_property
    def own(self) -> Table:
        """The table as this project reads it."""
        return load_table(self.spec)

    @cached_property
    def rows(self) -> tuple[Array, Array]:
        """The numbers of the rows to train on, those for validation among them, and to test on;
        both ascending.
        """
        parts = split_rows(self.spec, self.own)
        return np.sort(np.concatenate([parts["train"], parts["validation"]])), parts["test"]
