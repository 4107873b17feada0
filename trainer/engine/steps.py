"""What an engine hands back of the steps that it ran."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.graph.graph import Graph
from trainer.graph.ops import Array


@dataclass(frozen=True, slots=True)
class Steps:
    """What some consecutive SGD steps recorded.

    `losses` and `grad_norms` have shape (steps,), `parameter_norms` (steps, parameters), all
    float64; `rows` is the number of examples seen. `diverged` tells that the step after the
    recorded ones met a loss or a gradient norm that is not finite; that step changed nothing.
    """

    losses: Array
    grad_norms: Array
    parameter_norms: Array
    rows: int
    diverged: bool


def inputs_of(graph: Graph) -> tuple[list[str], list[str]]:
    """The names of the inputs that have a row for each example, and of the scalar ones."""
    inputs = graph.leaves("input")
    return [n.name for n in inputs if n.shape], [n.name for n in inputs if not n.shape]
