"""The contenders, one a module.

Each module has one function, `prepare(case)`. It sets everything up and returns a function that
trains for one epoch more, from the parameters where the last one ended, and returns the loss
and the norm of the whole gradient of every step. What a library can do beforehand is done by
`prepare`: the rows are in its own arrays, cut into batches where that helps it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeAlias

from trainer.engine import EngineName
from trainer.graph.ops import Array

if TYPE_CHECKING:
    from benchmarks.cases import Case

Epoch: TypeAlias = Callable[[], tuple[Array, Array]]


@dataclass(frozen=True)
class Contender:
    """A column of the table: a module of this package, and what else `prepare` takes."""

    title: str
    module: str
    arguments: tuple[str, ...] = ()
    peer: bool = True

    def prepare(self, case: Case) -> Epoch:
        """Imports the module, and with it the library, and sets up the case."""
        made: Epoch = import_module(f"{__name__}.{self.module}").prepare(case, *self.arguments)
        return made


def own(engine: EngineName) -> Contender:
    """This project with one of its engines."""
    return Contender(f"trainer ({engine})", "own", (engine,), peer=False)


PEERS: Final = (
    Contender("scikit-learn MLP", "sklearn_mlp"),
    Contender("torch eager", "torch_eager"),
    Contender("torch.compile", "torch_compiled"),
    Contender("JAX, a call a step", "jax_step"),
    Contender("JAX, scan over the epoch", "jax_scan"),
    Contender("products alone", "products", peer=False),
)
