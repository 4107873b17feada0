"""What an engine hands back: the record of steps, and the gradients of a part of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.graph.graph import Graph
from trainer.graph.ops import Array


@dataclass(frozen=True, slots=True)
class Steps:
    """What some consecutive SGD steps recorded, in float64."""

    losses: Array
    """The loss of each step's batch, of shape (steps,)."""
    grad_norms: Array
    """The norm of each step's gradient, before clipping and decay, of shape (steps,)."""
    parameter_norms: Array
    """The same of each parameter by itself, of shape (steps, parameters)."""
    rows: int
    """Rows that these steps saw."""
    diverged: bool
    """Whether the step after them met a loss or a gradient norm that is not finite; that step
    changed nothing."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """What some rows give before anything is updated: means over these rows, by the names of the
    nodes at which a step is cut (the loss, the gradients, statistics of the batch), in the graph's
    dtype, and the predictions of shape (rows, outputs).
    """

    values: Mapping[str, Array]
    predictions: Array

    @property
    def rows(self) -> int:
        """How many examples they are of."""
        return len(self.predictions)


def reduce(shards: Sequence[Gradients]) -> Gradients:
    """The gradients of a batch from those of its shards, in their order: each one's values times
    its part of the rows, added one after the other. Who computed which shard changes no bit.
    """
    rows = sum(shard.rows for shard in shards)
    values: dict[str, Array] = {}
    for shard in shards:
        for name, value in shard.values.items():
            real = value.dtype.type
            part = value * (real(shard.rows) / real(rows))
            values[name] = values[name] + part if name in values else part
    return Gradients(values, np.concatenate([shard.predictions for shard in shards]))


def shards_of(first: int, last: int, batch_size: int, shards: int) -> list[tuple[int, int]]:
    """Where the shards of a batch begin and end: parts of ⌈batch_size / shards⌉ rows, of which a
    shorter batch has fewer.
    """
    part = -(-batch_size // shards)
    return [(start, min(start + part, last)) for start in range(first, last, part)]


def inputs_of(graph: Graph) -> tuple[list[str], list[str]]:
    """The names of the inputs that have a row for each example, and of the scalar ones."""
    inputs = graph.leaves("input")
    return [n.name for n in inputs if n.shape], [n.name for n in inputs if not n.shape]
