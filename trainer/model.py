"""A trained network with its preprocessing: raw rows in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainer.build import build_graph
from trainer.data import Preprocessing
from trainer.data.blocks import blocks
from trainer.engine import evaluate
from trainer.errors import CheckpointError
from trainer.graph import Graph
from trainer.graph.ops import OPS, Array, show_shape
from trainer.spec.schema import Spec


@dataclass(frozen=True)
class Model:
    """What is needed to predict: the graph from x to its output `prediction`, the parameters by
    name, and the preprocessing. `spec` tells how it was trained.
    """

    spec: Spec
    graph: Graph
    parameters: Mapping[str, Array]
    preprocessing: Preprocessing

    @classmethod
    def from_parts(
        cls, spec: Spec, parameters: Mapping[str, Array], preprocessing: Preprocessing
    ) -> Model:
        """Builds the graph of the spec. Raises `CheckpointError` for parameters of another one."""
        graph = build_graph(spec, len(preprocessing.features), preprocessing.outputs)
        for node in graph.parameters:
            found = parameters.get(node.name)
            if found is None or found.shape != node.shape or found.dtype != node.dtype:
                expected = f"{node.dtype} of {show_shape(node.shape)}"
                raise CheckpointError(f"expected the parameter '{node.name}' to be {expected}")
        return cls(spec, graph, parameters, preprocessing)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what `predict` gives."""
        classes, outputs = self.preprocessing.classes, self.preprocessing.outputs
        if classes is not None:
            return ("prediction", *(f"probability/{label}" for label in classes))
        if outputs == 1:
            return ("prediction",)
        return tuple(f"prediction/{i}" for i in range(1, outputs + 1))

    def outputs(self, rows: Array) -> Array:
        """The network's outputs, or logits where the loss is logistic, of shape (rows, outputs).

        `rows` has shape (rows, features), in the order of `preprocessing.features` and float64.
        They are computed some at a time.
        """
        x = self.preprocessing.standardise(rows).astype(self.preprocessing.dtype, order="C")
        wanted = self.graph.outputs["prediction"]
        found = np.empty((len(x), self.preprocessing.outputs), x.dtype)
        widest = max(int(np.prod(value.shape[-1:])) for value in self.parameters.values())
        for block in blocks(len(x), max(widest, x.shape[1])):
            feeds = {**self.parameters, "x": x[block]}
            found[block] = evaluate(self.graph, feeds, [wanted])[wanted]
        return found

    def probabilities(self, outputs: Array) -> Array:
        """What logits mean: the probability of each class, of shape (rows, classes)."""
        if self.preprocessing.outputs == 1:
            sigmoid = OPS["sigmoid"].forward
            return np.concatenate([sigmoid(-outputs), sigmoid(outputs)], axis=1)
        return OPS["softmax"].forward(outputs)

    def classify(self, outputs: Array) -> Array:
        """The number of each row's most probable class: of one logit 1 where it is above 0."""
        if self.preprocessing.outputs == 1:
            return np.asarray((outputs[:, 0] > 0).astype(np.int64))
        return np.asarray(outputs.argmax(axis=1))

    def predict(self, rows: Array) -> dict[str, Array]:
        """A value a row for each of `columns`; `rows` as in `outputs`.

        For classes the label and the probability of each, else the output in the target's units.
        """
        outputs = self.outputs(rows)
        classes = self.preprocessing.classes
        if classes is None:
            return dict(zip(self.columns, outputs.T, strict=True))
        labels = np.array(classes)[self.classify(outputs)]
        return dict(zip(self.columns, [labels, *self.probabilities(outputs).T], strict=True))
