"""The reference engine: NumPy, one node at a time, every value visible.

It defines what a graph means. It knows the forward rules of the table of ops and nothing else;
gradients and SGD's update are nodes like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.engine.steps import Steps, inputs_of
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
    """The engine (see `Engine`) that runs a graph step by step, node by node."""

    name = "reference"
    steps_per_call = 1
    batches_per_call = 1

    def __init__(self, graph: Graph) -> None:
        self._trained = [node.name for node in graph.trainable]
        self._updates = dict(graph.updates)
        self._rows, self._rates = inputs_of(graph)
        self._loss = graph.outputs["loss"]
        self._prediction = graph.outputs["prediction"]
        self._norm = graph.outputs["grad_norm"]
        self._norms = [graph.outputs[f"grad_norm/{name}"] for name in self._trained]
        scalars = [self._loss, self._prediction, self._norm, *self._norms]
        self._step = Interpreter(graph, [*scalars, *self._updates.values()])
        self._evaluated = [graph.outputs["eval/loss"], graph.outputs["eval/prediction"]]
        self._forward = Interpreter(graph, self._evaluated)

    def prepare(self, state: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
        """Nothing: there is nothing to compile."""

    def train(
        self,
        state: dict[str, Array],
        arrays: Mapping[str, Array],
        rates: Mapping[str, Array],
        batch_size: int,
        first: int,
        last: int,
    ) -> tuple[Steps, Array]:
        """One step after the other."""
        losses, norms, parameter_norms, predictions = [], [], [], []
        diverged = False
        dtype = arrays["x"].dtype
        for step in range(first, last):
            rows = slice(step * batch_size, (step + 1) * batch_size)
            feeds = state | {name: arrays[name][rows] for name in self._rows}
            with np.errstate(over="ignore"):  # an infinite rate is told as a divergence
                feeds |= {name: rates[name].astype(dtype)[step - first] for name in self._rates}
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
        made = np.concatenate(predictions) if predictions else arrays["y"][:0]
        steps = Steps(
            np.array(losses, dtype=np.float64),
            np.array(norms, dtype=np.float64),
            np.array(parameter_norms, dtype=np.float64).reshape(-1, len(self._trained)),
            len(made),
            diverged,
        )
        return steps, made

    def predict(
        self, state: Mapping[str, Array], arrays: Mapping[str, Array], batch_size: int
    ) -> tuple[float, Array]:
        """One batch after the other."""
        total, predictions = 0.0, []
        loss, prediction = self._evaluated
        for start in range(0, len(arrays["x"]), batch_size):
            rows = {name: array[start : start + batch_size] for name, array in arrays.items()}
            values = self._forward({**state, **rows})
            total += float(values[loss]) * len(rows["x"])
            predictions.append(values[prediction])
        return total, np.concatenate(predictions)
