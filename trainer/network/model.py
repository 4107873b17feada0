"""A trained network with its preprocessing: raw rows in, labels and probabilities out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.data import Preprocessing, blocks
from trainer.engine import evaluate
from trainer.errors import CheckpointError
from trainer.graph import Graph
from trainer.graph.ops import Array, show_shape
from trainer.metrics import Classes
from trainer.network.build import build_graph
from trainer.network.decision import UNDECIDED, Decision
from trainer.spec.schema import Spec


@dataclass(frozen=True)
class Model:
    """What is needed to predict: the graph from x to its output `prediction`, the parameters by
    name, the preprocessing, and what its run decided. `spec` tells how it was trained.
    """

    spec: Spec
    graph: Graph
    parameters: Mapping[str, Array]
    preprocessing: Preprocessing
    decision: Decision = UNDECIDED

    @classmethod
    def from_parts(
        cls,
        spec: Spec,
        parameters: Mapping[str, Array],
        preprocessing: Preprocessing,
        decision: Decision = UNDECIDED,
    ) -> Model:
        """Builds the graph of the spec. Raises `CheckpointError` for parameters of another one."""
        graph = build_graph(spec, preprocessing.layout, training=False)
        for node in graph.learned:
            found = parameters.get(node.name)
            if found is None or found.shape != node.shape or found.dtype != node.dtype:
                expected = f"{node.dtype} of {show_shape(node.shape)}"
                raise CheckpointError(
                    f"expected the parameter '{node.name}' to be {expected}", code="TR-R006"
                )
        return cls(spec, graph, parameters, preprocessing, decision)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what `predict` gives."""
        how = self.preprocessing
        if how.classes is not None:
            return ("prediction", *(f"probability/{label}" for label in how.classes))
        predicted = tuple(f"prediction/{name}" for name in how.output_names)
        if how.multi_label:
            return (*predicted, *(f"probability/{name}" for name in how.output_names))
        return ("prediction",) if how.outputs == 1 else predicted

    def outputs(self, rows: Array) -> Array:
        """The network's outputs, or logits where the loss is logistic, of shape (rows, outputs).

        `rows` has shape (rows, features), in the order of `preprocessing.columns` and float64:
        categories by their number there (`preprocessing.adopt` brings the rows of a table to it),
        NaN for missing values. They are computed some at a time.
        """
        how = self.preprocessing
        found = np.empty((len(rows), how.outputs), how.dtype)
        for block in self._blocks(len(rows)):
            found[block] = self._evaluated(self.encode(rows[block]))
        return found

    def outputs_of(self, x: Array) -> Array:
        """As `outputs`, of rows that are encoded already: x has shape (rows, columns)."""
        found = np.empty((len(x), self.preprocessing.outputs), self.preprocessing.dtype)
        for block in self._blocks(len(x)):
            found[block] = self._evaluated(x[block])
        return found

    def encode(self, rows: Array) -> Array:
        """Raw rows as x, of shape (rows, columns), in the network's dtype."""
        with np.errstate(over="ignore"):
            return self.preprocessing.encode(rows).astype(self.preprocessing.dtype, order="C")

    def _blocks(self, rows: int) -> Iterable[slice]:
        widest = max(math.prod(value.shape[-1:]) for value in self.parameters.values())
        return blocks(rows, max(widest, self.preprocessing.layout.width))

    def _evaluated(self, x: Array) -> Array:
        wanted = self.graph.outputs["prediction"]
        return evaluate(self.graph, {**self.parameters, "x": x}, [wanted])[wanted]

    def probabilities(self, outputs: Array) -> Array:
        """What logits mean: the probability of each class, of shape (rows, classes); of several
        labels that of each, of shape (rows, labels).
        """
        return self._classes.probabilities(outputs)

    def classify(self, outputs: Array) -> Array:
        """The number of each row's class, as `Classes` tells it from logits, of shape (rows,).

        Of several labels 0 or 1 for each, of shape (rows, labels).
        """
        numbers = self._classes.predicted(outputs).astype(np.int64)
        return numbers if self.preprocessing.multi_label else numbers[:, 0]

    @property
    def _classes(self) -> Classes:
        how = self.preprocessing
        return Classes(how.outputs, how.multi_label, self.decision.cut)

    def predict(self, rows: Array) -> dict[str, Array]:
        """A value a row for each of `columns`; `rows` as in `outputs`.

        For classes the label and the probability of each; for several labels 0 or 1 and the
        probability of each; else the outputs in the units of the targets.
        """
        outputs, how = self.outputs(rows), self.preprocessing
        if how.multi_label:
            values = [*self.classify(outputs).T, *self.probabilities(outputs).T]
        elif how.classes is None:
            values = [*how.decode_target(outputs).T]
        else:
            labels = np.array(how.classes)[self.classify(outputs)]
            values = [labels, *self.probabilities(outputs).T]
        return dict(zip(self.columns, values, strict=True))
