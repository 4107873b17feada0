"""From a spec to what can be trained: read, build, check. Where every command begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from trainer.data import Dataset, load_dataset
from trainer.data import Reading as Told
from trainer.graph import Graph
from trainer.network.build import build_graph
from trainer.network.magnitudes import check_magnitudes
from trainer.network.memory import MemoryEstimate, check_memory
from trainer.network.summary import describe_model
from trainer.spec.schema import Spec
from trainer.training import Listener, Reading, full_batch, nobody, training_graph
from trainer.training.soundness import check_soundness


@dataclass(frozen=True)
class Prepared:
    """A spec with its data and the graph of its model, which fit each other and this machine.
    `here` is the spec as this machine has its files, where it has them elsewhere.
    """

    spec: Spec
    dataset: Dataset
    model: Graph
    memory: MemoryEstimate
    here: Spec | None = None

    @property
    def batch_size(self) -> int:
        """Rows in a full batch."""
        return full_batch(self.spec, self.dataset)

    @property
    def steps_per_epoch(self) -> int:
        """SGD steps an epoch."""
        return -(-len(self.dataset.train) // self.batch_size)

    @property
    def training(self) -> Graph:
        """The graph with its gradients and the update."""
        return training_graph(self.model, self.spec.sgd)

    def describe(self) -> str:
        """What is trained on what, as a text of several lines."""
        return describe_model(self.spec, self.dataset, self.model, self.memory)


Prepare: TypeAlias = Callable[[Spec, Listener], Prepared]
"""What `prepare` does, however it comes by the data."""
Load: TypeAlias = Callable[[Spec, Told], Dataset]
"""What `load_dataset` does."""


def prepare(spec: Spec, listen: Listener = nobody, load: Load = load_dataset) -> Prepared:
    """Reads the data of the spec, builds the graph of its model, and checks that they fit.

    `listen` hears that large files are read, and how far it is with tables that stay on disk.
    Raises `SpecError` and `DataError`.
    """
    check_magnitudes(spec)
    dataset = load(spec, lambda what, rows: listen(Reading(what, rows)))
    model = build_graph(spec, dataset.layout)
    dataset = replace(dataset, notes=(*dataset.notes, *check_soundness(spec, dataset)))
    return Prepared(spec, dataset, model, check_memory(spec, dataset, model))
