"""The reference engine: NumPy, one node at a time, every value visible.

It defines what a graph means. It knows the forward rules of the table of ops and nothing else;
gradients and SGD's update are nodes like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.engine.steps import Steps
from trainer.graph.graph import Graph
from trainer.graph.ops import LEAVES, OPS, Array


def evaluate(
    graph: Graph, feeds: Mapping[str, Any], fetch: Sequence[str] | None = None
) -> dict[str, Array]:
    """The value of every node of `graph`, or of the nodes in `fetch` alone, by name.

    `feeds` holds an array for each input, parameter and state that is needed. Arrays keep the
    dtype that they come with, so complex feeds give complex values (for complex-step
    differences); constants take the graph's dtype. Never warns: non-finite values show in the
    result.
    """
    return Interpreter(graph, [node.name for node in graph] if fetch is None else fetch)(feeds)


class Interpreter:
    """A graph planned for repeated evaluation of some of its nodes.

    Values are dropped once nothing needs them any more, so memory holds little more than what
    the backward pass is still waiting for.
    """

    def __init__(self, graph: Graph, fetch: Iterable[str]) -> None:
        self._fetch = tuple(dict.fromkeys(fetch))
        needed = graph.ancestors(self._fetch)
        nodes = [node for node in graph if node.name in needed]
        self._constants = {
            node.name: np.asarray(node.attributes["value"], dtype=node.dtype)
            for node in nodes
            if node.op == "constant"
        }
        self._leaves = [n.name for n in nodes if n.op in LEAVES and n.op != "constant"]
        last_use = {source: node.name for node in nodes for source in node.inputs}
        kept = {*self._fetch, *self._constants}
        self._calls = []
        for node in nodes:
            if node.op not in LEAVES:
                done = {s for s in node.inputs if last_use[s] == node.name and s not in kept}
                call = (OPS[node.op].forward, node.inputs, node.name, node.attributes)
                self._calls.append((*call, tuple(sorted(done))))

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """The values of the planned nodes for these inputs, parameters and states."""
        values = dict(self._constants)
        for name in self._leaves:
            values[name] = feeds[name]
        with np.errstate(all="ignore"):
            for forward, inputs, name, attributes, done in self._calls:
                values[name] = forward(*[values[source] for source in inputs], **attributes)
                for source in done:
                    del values[source]
        # NumPy makes scalars of arrays without axes
        return {name: np.asarray(values[name]) for name in self._fetch}


class ReferenceEngine:
    """Runs the training graph that `training.sgd.training_graph` builds, step by step."""

    name = "reference"
    steps_per_call = 1
    batches_per_call = 1

    def __init__(self, graph: Graph) -> None:
        self._parameters = [node.name for node in graph.parameters]
        self._updates = dict(graph.updates)
        self._loss = graph.outputs["loss"]
        self._prediction = graph.outputs["prediction"]
        self._norm = graph.outputs["grad_norm"]
        self._norms = [graph.outputs[f"grad_norm/{name}"] for name in self._parameters]
        scalars = [self._loss, self._prediction, self._norm, *self._norms]
        self._step = Interpreter(graph, [*scalars, *self._updates.values()])
        self._forward = Interpreter(graph, [self._loss, self._prediction])

    def prepare(self, state: Mapping[str, Array], x: Array, y: Array) -> None:
        """Nothing has to be compiled."""

    def train(
        self,
        state: dict[str, Array],
        x: Array,
        y: Array,
        batch_size: int,
        first: int,
        last: int,
        learning_rate: float,
    ) -> tuple[Steps, Array]:
        """Runs the steps `first` to `last` (exclusive) of an epoch and updates `state`.

        `x` and `y` hold the epoch's examples in their order; step i takes the rows from
        i · batch_size on, the last step those that are left. Returns the record of the steps,
        and the predictions that they made before each update, of shape (rows, outputs).
        """
        losses, norms, parameter_norms, predictions = [], [], [], []
        diverged = False
        rate = x.dtype.type(learning_rate)
        for step in range(first, last):
            rows = slice(step * batch_size, (step + 1) * batch_size)
            feeds = state | {"x": x[rows], "y": y[rows], "learning_rate": rate}
            values = self._step(feeds)
            loss, norm = float(values[self._loss]), float(values[self._norm])
            if not (np.isfinite(loss) and np.isfinite(norm)):
                diverged = True
                break
            losses.append(loss)
            norms.append(norm)
            parameter_norms.append([float(values[name]) for name in self._norms])
            predictions.append(values[self._prediction])
            for leaf, node in self._updates.items():
                state[leaf] = values[node]
        made = np.concatenate(predictions) if predictions else y[:0]
        steps = Steps(
            np.array(losses, dtype=np.float64),
            np.array(norms, dtype=np.float64),
            np.array(parameter_norms, dtype=np.float64).reshape(-1, len(self._parameters)),
            len(made),
            diverged,
        )
        return steps, made

    def predict(
        self, state: Mapping[str, Array], x: Array, y: Array, batch_size: int
    ) -> tuple[float, Array]:
        """The sum over all rows of their loss, and the predictions of shape (rows, outputs).

        Runs in batches of `batch_size` rows; their mean losses are multiplied by their rows and
        added in order in float64, so that the result does not depend on anything else.
        """
        total, predictions = 0.0, []
        for start in range(0, len(x), batch_size):
            rows = slice(start, start + batch_size)
            values = self._forward({**state, "x": x[rows], "y": y[rows]})
            total += float(values[self._loss]) * len(x[rows])
            predictions.append(values[self._prediction])
        return total, np.concatenate(predictions)
