"""Which engine runs a graph: asked for by name, or chosen from the amount of work."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

from trainer.engine.contract import Engine
from trainer.engine.reference import ReferenceEngine
from trainer.graph.graph import Graph
from trainer.graph.ops import BATCH, LEAVES

EngineName: TypeAlias = Literal["auto", "compiled", "reference"]

COMPILE_SECONDS: Final = 6.0
NODE_SECONDS: Final = 2e-6  # the reference engine's cost of a node, beside its arithmetic
SECONDS_PER_NUMBER: Final = 1e-9  # its cost of one number of an elementwise result


def make_engine(
    graph: Graph,
    name: EngineName,
    batch_size: int,
    steps: int,
    evaluation_rows: int = 1024,
    threads: int | None = None,
) -> Engine:
    """The engine of this name for a training graph, its batches and its number of steps.

    `auto` compiles where the reference engine would take longer than compiling does. That is
    estimated from the sizes alone, never measured, so a spec always gets the same engine.
    `threads` limits the compiled engine, by default to the cores that are there; it changes no
    bit of the result.
    """
    if choose_engine(graph, name, batch_size, steps) == "compiled":
        from trainer.engine.compiled.engine import CompiledEngine  # Numba takes half a second

        return CompiledEngine(graph, batch_size, evaluation_rows, threads)
    return ReferenceEngine(graph)


def choose_engine(
    graph: Graph, name: EngineName, batch_size: int, steps: int
) -> Literal["compiled", "reference"]:
    """The engine that is asked for, or that `auto` stands for."""
    if name != "auto":
        return name
    seconds = steps * step_seconds(graph, batch_size)
    return "compiled" if seconds > COMPILE_SECONDS else "reference"


def step_seconds(graph: Graph, batch_size: int) -> float:
    """About how long the reference engine takes for a step, beside the matrix products."""
    nodes = [node for node in graph if node.op not in LEAVES]
    numbers = sum(
        math.prod(batch_size if dim == BATCH else int(dim) for dim in node.shape) for node in nodes
    )
    return len(nodes) * NODE_SECONDS + numbers * SECONDS_PER_NUMBER
