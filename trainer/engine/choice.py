"""Which engine runs a graph."""

from __future__ import annotations

from typing import Literal, TypeAlias

from trainer.engine.contract import Engine
from trainer.engine.reference import ReferenceEngine
from trainer.graph.graph import Graph

EngineName: TypeAlias = Literal["auto", "compiled", "reference"]


def make_engine(
    graph: Graph,
    name: EngineName,
    batch_size: int,
    evaluation_rows: int = 1024,
    threads: int | None = None,
    shards: int = 1,
) -> Engine:
    """The engine of this name for a training graph and its batches; `auto` compiles.

    `threads` limits the compiled engine, by default to the cores that are there; it changes no
    bit of the result. Raises `TrainerError` where this CPU cannot run compiled kernels.
    """
    if choose_engine(name) == "reference":
        return ReferenceEngine(graph, batch_size, shards)
    from trainer.engine.compiled.engine import CompiledEngine  # LLVM takes a moment to load

    return CompiledEngine(graph, batch_size, evaluation_rows, threads, shards)


def choose_engine(name: EngineName) -> Literal["compiled", "reference"]:
    """The engine that is asked for, or that `auto` stands for."""
    return "reference" if name == "reference" else "compiled"
