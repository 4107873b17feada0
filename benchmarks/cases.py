"""The networks that are timed, and the data and first parameters that every contender gets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from trainer.data import Layout
from trainer.graph import Graph
from trainer.graph.initialisers import initial_parameters
from trainer.graph.ops import Array
from trainer.network.build import build_graph
from trainer.spec import Spec
from trainer.training import training_graph


@dataclass(frozen=True)
class Case:
    """A network and an epoch of plain SGD on it.

    `sizes` goes from the inputs to the outputs. Hidden layers have the activation, the last has
    none: a logistic loss takes its outputs as logits. The epoch has `steps` full batches.
    """

    name: str
    sizes: tuple[int, ...]
    activation: Literal["sigmoid", "relu"]
    loss: Literal["squared", "logistic"]
    batch: int
    dtype: Literal["float32", "float64"]
    steps: int
    checked: int
    """Epochs whose losses and norms are compared before anything is timed."""
    learning_rate: float
    """So small for relu in float32 that a rounding error does not grow from step to step."""

    @property
    def network(self) -> str:
        """`30-64-1`."""
        return "-".join(map(str, self.sizes))

    @property
    def tolerance(self) -> tuple[float, float]:
        """How far losses and norms of two right computations may drift apart, relatively.

        Norms may more: a relu whose input is almost 0 has a gradient or has none.
        """
        return (1e-6, 1e-5) if self.dtype == "float64" else (1e-4, 1e-3)

    @property
    def flops(self) -> int:
        """Additions and multiplications of the matrix products of one step. The gradient of the
        input is not needed.
        """
        products = [a * b for a, b in pairwise(self.sizes)]
        return 2 * self.batch * (3 * sum(products) - products[0])

    @cached_property
    def spec(self) -> Spec:
        """The spec of the case; its data are only for form."""
        hidden = [{"units": n, "activation": self.activation} for n in self.sizes[1:-1]]
        return Spec.model_validate(
            {
                "name": self.name,
                "data": {"source": {"synthetic": "linear"}},  # only for form: not loaded
                "model": {
                    "layers": [*hidden, {"units": self.sizes[-1]}],
                    "loss": self.loss,
                    "dtype": self.dtype,
                },
                "sgd": {
                    "learning_rate": self.learning_rate,
                    "batch_size": self.batch,
                    "epochs": 1,
                },
            }
        )

    @cached_property
    def graph(self) -> Graph:
        """The training graph that this project makes of the case."""
        layout = Layout.plain(self.sizes[0], self.sizes[-1])
        return training_graph(build_graph(self.spec, layout), self.spec.sgd)

    def parameters(self) -> dict[str, Array]:
        """The parameters before the first step: W and b of each layer in turn."""
        return initial_parameters(self.graph, seed=0)

    def data(self) -> tuple[Array, Array]:
        """The rows of an epoch, in order: normal x, and y from a noisy linear map of it."""
        rng = np.random.default_rng(0)
        rows, outputs = self.steps * self.batch, self.sizes[-1]
        x = rng.standard_normal((rows, self.sizes[0]), dtype=self.dtype)
        z = x @ rng.standard_normal((self.sizes[0], outputs)) / np.sqrt(self.sizes[0])
        z += 0.5 * rng.standard_normal(z.shape)
        if outputs > 1:
            y = z == z.max(axis=1, keepdims=True)
        else:
            y = z > 0 if self.loss == "logistic" else np.tanh(z)
        return x, np.ascontiguousarray(y, dtype=self.dtype)

    def batches(self) -> tuple[Array, Array]:
        """The same rows, of shape (steps, batch, columns)."""
        x, y = self.data()
        return x.reshape(self.steps, self.batch, -1), y.reshape(self.steps, self.batch, -1)


CASES: Final = {
    case.name: case
    for case in (
        Case("lecture", (3, 2, 1), "sigmoid", "squared", 1, "float64", 4096, 1, 0.1),
        Case("tabular", (30, 64, 1), "sigmoid", "logistic", 32, "float64", 128, 3, 0.1),
        Case("digits", (64, 128, 64, 10), "relu", "squared", 64, "float32", 28, 10, 0.01),
        Case("mnist", (784, 256, 128, 10), "relu", "squared", 128, "float32", 100, 1, 0.01),
        Case("wide", (1024, 2048, 2048, 10), "relu", "squared", 512, "float32", 4, 5, 0.01),
    )
}


def of_width(width: int) -> Case:
    """A case whose cost is that of its hidden layers, `width` wide."""
    sizes = (64, width, width, 10)
    return Case(f"width {width}", sizes, "relu", "squared", 256, "float32", 4, 0, 0.01)
