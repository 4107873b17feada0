"""How much memory a run needs, estimated before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trainer.data import Dataset
from trainer.errors import SpecError
from trainer.graph import Graph
from trainer.graph.ops import BATCH, LEAVES
from trainer.machine import machine_memory, show_bytes
from trainer.spec.layers import LayersSpec
from trainer.spec.schema import Spec


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run holds at its peak, on top of the imported libraries."""

    data: int
    parameters: int
    batch: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.data + self.parameters + self.batch


def count_parameters(graph: Graph) -> int:
    """The number of numbers in the parameters."""
    return sum(math.prod(int(d) for d in node.shape) for node in graph.parameters)


def estimate_memory(spec: Spec, dataset: Dataset, model: Graph) -> MemoryEstimate:
    """The estimate for training `model`.

    Data: what of every part is in memory, and the order of the training rows there. Parameters:
    themselves, as drawn, the gradient, the update, and the velocity, the accumulated gradient and
    the average where there are such. Batch: every value that depends on the batch, forward and
    backward, for the larger of the training and the evaluation batch.
    """
    item = np.dtype(spec.model.dtype).itemsize
    parts = [dataset.train, dataset.validation, dataset.test]
    data = sum(part.held for part in parts if part is not None)
    data += 4 * len(dataset.train) * dataset.train.held // dataset.train.nbytes
    sgd = spec.sgd
    copies = 4 + 2 * sum([sgd.momentum > 0, sgd.accumulate > 1, sgd.average is not None])
    rows = len(dataset.train) if sgd.batch_size == "full" else int(sgd.batch_size)
    evaluated = min(spec.evaluation.batch_size, len(dataset.train))
    numbers = max(2 * rows * _row(model), evaluated * _row(model, "eval/"))
    return MemoryEstimate(data, copies * count_parameters(model) * item, numbers * item)


def _row(model: Graph, prefix: str = "") -> int:
    """How many numbers one example has in a pass of the model: as it trains, or with `eval/`."""
    roles = [f"{prefix}loss", f"{prefix}prediction"]
    needed = model.ancestors([model.outputs[role] for role in roles])
    return sum(
        math.prod(int(dim) for dim in node.shape if dim != BATCH)
        for node in model
        if node.name in needed and node.op not in LEAVES and BATCH in node.shape
    )


def check_memory(spec: Spec, dataset: Dataset, model: Graph) -> MemoryEstimate:
    """The estimate; raises `SpecError`, naming the largest layer, when this machine has less."""
    estimate, have = estimate_memory(spec, dataset, model), machine_memory()
    if estimate.total > have:
        what, where = _largest(spec)
        message = (
            f"{what} about {show_bytes(estimate.total)} of memory, "
            f"this machine has {show_bytes(have)}"
        )
        raise SpecError(
            spec.problem(where, message, "use fewer units or a smaller batch", code="TR-M002")
        )
    return estimate


def _largest(spec: Spec) -> tuple[str, tuple[str | int, ...]]:
    """What needs most of the memory, in words, and where it is declared."""
    model = spec.model
    if not isinstance(model, LayersSpec):
        return "the equations need", ("model", "equations")
    units = [getattr(layer, "units", 0) for layer in model.layers]
    largest = units.index(max(units))
    return f"{units[largest]} units need", ("model", "layers", largest, "units")
