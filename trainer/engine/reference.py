"""The reference engine: NumPy, one node at a time, every value visible.

It defines what a graph means. It knows the forward rules of the table of ops and nothing else;
gradients and SGD's update are nodes like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trainer.engine.cut import cut_graph
from trainer.engine.steps import Gradients, Steps, inputs_of, reduce, shards_of
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
    """The engine (see `Engine`) that runs a graph step by step, node by node.

    A batch is cut into `shards`, whose gradients are added in order.
    """

    name = "reference"
    steps_per_call = 1
    batches_per_call = 1

    def __init__(self, graph: Graph, batch_size: int = 1, shards: int = 1) -> None:
        self.batch_size, self.shards = batch_size, shards
        self.trained = [node.name for node in graph.trainable]
        self.updates = dict(graph.updates)
        self.rows, self.rates = inputs_of(graph)
        self.dtype = np.dtype(graph.nodes[0].dtype)
        outputs = graph.outputs
        self.loss, self.prediction = outputs["loss"], outputs["prediction"]
        self.norms = [outputs["grad_norm"], *(outputs[f"grad_norm/{n}"] for n in self.trained)]
        self.cut = cut_graph(graph)
        recorded = [self.loss, *self.norms]
        self.step = Interpreter(graph, [*recorded, self.prediction, *self.updates.values()])
        self.first_part = Interpreter(graph, [*self.cut.values, self.prediction])
        self.last_part = Interpreter(self.cut.update, [*recorded, *self.updates.values()])
        self.evaluated = [outputs["eval/loss"], outputs["eval/prediction"]]
        self.forward = Interpreter(graph, self.evaluated)

    def prepare(self, steps: int | None = None) -> None:
        """Nothing: there is nothing to compile."""

    def load(self, state: Mapping[str, Array]) -> ReferenceSession:
        """A session that begins with a copy of these parameters and states."""
        return ReferenceSession(self, {name: value.copy() for name, value in state.items()})


class ReferenceSession:
    """A session (see `Session`) of the reference engine."""

    def __init__(self, engine: ReferenceEngine, state: dict[str, Array]) -> None:
        self._engine = engine
        self._state = state

    def train(
        self,
        arrays: Mapping[str, Array],
        rates: Mapping[str, Array],
        batch_size: int,
        first: int,
        last: int,
    ) -> tuple[Steps, Array]:
        """One step after the other."""
        engine, held = self._engine, len(arrays["x"])
        made, predictions = [], []
        for step in range(first, last):
            begin = step * batch_size
            end = min(begin + batch_size, held)
            now = {name: float(rates[name][step - first]) for name in engine.rates}
            if engine.shards == 1:
                fed = {name: arrays[name][begin:end] for name in engine.rows}
                values = self._values(engine.step, fed, now)
                done, prediction = self._record(values), values[engine.prediction]
            else:
                cuts = shards_of(begin, end, batch_size, engine.shards)
                total = reduce([self.gradients(arrays, *cut) for cut in cuts])
                done, prediction = self.update(total, now), total.predictions
            made.append(done)
            if done.diverged:
                break
            predictions.append(prediction)
        rows = np.concatenate(predictions) if predictions else arrays["y"][:0]
        steps = Steps(
            np.concatenate([step.losses for step in made]),
            np.concatenate([step.grad_norms for step in made]),
            np.concatenate([step.parameter_norms for step in made]),
            len(rows),
            made[-1].diverged,
        )
        return steps, rows

    def gradients(self, arrays: Mapping[str, Array], first: int, last: int) -> Gradients:
        """What the rows give by themselves."""
        engine = self._engine
        fed = {name: arrays[name][first:last] for name in engine.rows}
        values = self._values(engine.first_part, fed, {})
        return Gradients(
            {name: values[name] for name in engine.cut.values}, values[engine.prediction]
        )

    def update(self, gradients: Gradients, rates: Mapping[str, float]) -> Steps:
        """Norms and the update."""
        values = self._values(self._engine.last_part, gradients.values, rates)
        return self._record(values, gradients.rows)

    def predict(
        self,
        arrays: Mapping[str, Array],
        batch_size: int,
        parameters: Mapping[str, Array] | None = None,
        total: float = 0.0,
    ) -> tuple[float, Array]:
        """One batch after the other."""
        predictions = []
        loss, prediction = self._engine.evaluated
        state = {**self._state, **(parameters or {})}
        for start in range(0, len(arrays["x"]), batch_size):
            rows = {name: array[start : start + batch_size] for name, array in arrays.items()}
            values = self._engine.forward({**state, **rows})
            total += float(values[loss]) * len(rows["x"])
            predictions.append(values[prediction])
        return total, np.concatenate(predictions)

    def fetch(self) -> dict[str, Array]:
        """Copies of the parameters and states."""
        return {name: value.copy() for name, value in self._state.items()}

    def _values(
        self, plan: Interpreter, fed: Mapping[str, Array], rates: Mapping[str, float]
    ) -> dict[str, Array]:
        real = self._engine.dtype.type
        with np.errstate(over="ignore"):  # an infinite rate is told as a divergence
            scalars = {name: np.asarray(real(rate)) for name, rate in rates.items()}
        return plan({**self._state, **fed, **scalars})

    def _record(self, values: Mapping[str, Array], rows: int = 0) -> Steps:
        """What a step recorded; the state is the updated one then, unless it diverged."""
        engine = self._engine
        loss = float(values[engine.loss])
        norm, *norms = (float(values[name]) for name in engine.norms)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            return Steps(np.empty(0), np.empty(0), np.empty((0, len(norms))), 0, diverged=True)
        for leaf, node in engine.updates.items():
            self._state[leaf] = values[node]
        return Steps(np.array([loss]), np.array([norm]), np.array([norms]), rows, diverged=False)
