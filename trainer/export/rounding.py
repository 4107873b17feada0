"""How far two right computations of a model may be apart, on any CPU.

The order of a sum and the last digits of exp are up to the kernel. What that can do is computed,
not observed on one machine: the graph is evaluated in float64 beside `COPIES` copies, and in each
copy every value is moved, up or down at random, by what the model's dtype may lose there (`lost`).
So an error at any node goes through the slopes and kinks behind it and through decoding, where
inverse quantiles are steep. The farthest copy, times `MARGIN`, bounds the error of one computation.

Errors are added as independent ones are, which is Monte Carlo arithmetic (Parker, 1997). So a sum
of n terms loses √n roundings of what has been added up on the way; n are possible, and do not
happen (Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci.
Comput. 41, 2019). Each value is moved by the most that it may lose, several times what it mostly
does, and of 16 copies the farthest is within half the standard deviation but once in four million
times: the bound is then still one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from trainer.data import Scaling, blocks
from trainer.graph.graph import Node
from trainer.graph.ops import LEAVES, OPS, Array
from trainer.graph.ops.op import InOrder
from trainer.network.model import Model

COPIES: Final = 16
MARGIN: Final = 2
"""How many times as far as the farthest copy one computation may be."""
STOPS: Final = 8
"""In how many places a sum is looked at on its way."""
ULPS: Final = 4
"""How many units in the last place a function may be off: exp, tanh, softmax."""
BOUNDED: Final = frozenset({"sigmoid", "softmax", "log_softmax", "gelu"})
"""The functions whose errors are small beside 1 rather than beside their own small values."""


def rounding(model: Model, rows: Array) -> Array:
    """How far the numbers of two right computations of raw rows may be apart, of the shape of
    these numbers: probabilities, or what is predicted.
    """
    how, random = model.preprocessing, np.random.Generator(np.random.Philox(0))
    widest = max(int(np.prod(value.shape[-1:])) for value in model.parameters.values())
    found = []
    # larger blocks than for a prediction, since each reads all weights twenty times
    for block in blocks(len(rows), max(widest, how.layout.width) // 8 + 1):
        exact, *copies = (_numbers(model, out) for out in _outputs(model, rows[block], random))
        found.append((exact, np.abs(np.subtract(copies, exact)).max(axis=0)))
    numbers, farthest = (np.concatenate(parts) for parts in zip(*found, strict=True))
    last = ULPS * np.finfo(how.dtype).eps  # of making probabilities, and of decoding
    return np.asarray(2 * (MARGIN * farthest + last * np.abs(numbers).max(axis=0)))


def lost(node: Node, value: Array, inputs: Sequence[Array]) -> Array:
    """How much of a node's value the node's dtype may lose, of the value's shape.

    `value` and `inputs` are float64. What merely takes or places values loses nothing.
    """
    eps, row = float(np.finfo(node.dtype).eps), OPS[node.op]
    if row.form in ("product", "sum", "mean") or isinstance(row.form, InOrder):
        sizes = np.asarray(row.forward(*map(np.abs, inputs), **node.attributes))
        if row.form == "product":
            terms, partial = inputs[0].shape[1], _largest_partial(*inputs)
        else:
            terms, partial = inputs[0].size // value.size, sizes
        return np.asarray(eps / 2 * np.maximum(sizes, np.sqrt(terms) * partial))
    if node.op in BOUNDED:
        return ULPS * eps * np.maximum(np.abs(value), 1)
    if row.kernel is None:
        return np.zeros_like(value)
    return (ULPS if "(" in row.kernel else 0.5) * eps * np.abs(value)


def _largest_partial(a: Array, b: Array) -> Array:
    """The largest of the sums on the way to a @ b, looked at in `STOPS` places."""
    stops = np.linspace(0, a.shape[1], STOPS + 1).astype(int)
    parts = [a[:, start:stop] @ b[start:stop] for start, stop in pairwise(stops)]
    return np.asarray(np.abs(np.cumsum(parts, axis=0)).max(axis=0))


def _numbers(model: Model, outputs: Array) -> Array:
    """The numbers that outputs or logits stand for."""
    how = model.preprocessing
    if how.classes is None and not how.multi_label:
        return how.decode_target(outputs)
    return model.probabilities(outputs)


def _outputs(model: Model, rows: Array, random: np.random.Generator) -> list[Array]:
    """The network's outputs or logits in float64: as they are, and moved in `COPIES` copies."""
    how, graph, wanted = model.preprocessing, model.graph, model.graph.outputs["prediction"]
    needed = graph.ancestors([wanted])
    nodes = [node for node in graph if node.name in needed and node.op not in LEAVES]
    last_use = {source: node.name for node in nodes for source in node.inputs}
    with np.errstate(all="ignore"):
        exact = _leaves(model, rows)
        values = {name: [value] * (1 + COPIES) for name, value in exact.items()}
        values["x"] = _moved(values["x"], _lost_by_curves(how.scaling, exact["x"]), random)
        for node in nodes:
            inputs = list(zip(*(values[name] for name in node.inputs), strict=True))
            found = [np.asarray(OPS[node.op].forward(*each, **node.attributes)) for each in inputs]
            values[node.name] = _moved(found, lost(node, found[0], inputs[0]), random)
            for name in {name for name in node.inputs if last_use[name] == node.name}:
                del values[name]
        outputs = values[wanted]
        return _moved(outputs, _lost_by_scaling(how.target_scaling, outputs[0]), random)


def _leaves(model: Model, rows: Array) -> dict[str, Array]:
    """What the graph computes from, in its dtype but held in float64."""
    how, graph = model.preprocessing, model.graph
    found = {"x": how.encode(rows), **model.parameters}
    found |= {node.name: node.attributes["value"] for node in graph.leaves("constant")}
    return {name: np.asarray(v).astype(how.dtype).astype(np.float64) for name, v in found.items()}


def _moved(values: Sequence[Array], by: Array, random: np.random.Generator) -> list[Array]:
    """The first value as it is, the copies up or down."""
    finite = np.where(np.isfinite(by), by, 0)
    exact, *copies = values
    return [
        exact,
        *(v + finite * (random.integers(0, 2, v.shape, np.int8) * 2 - 1) for v in copies),
    ]


def _lost_by_scaling(scaling: Scaling, scaled: Array) -> Array:
    """How much float64 may lose of numbers that a curve and a shift scale, or scale back."""
    shifted = 0.0 if scaling.shift is None else np.abs(scaling.shift / scaling.scale)
    return np.asarray(ULPS * np.finfo(np.float64).eps * (np.abs(scaled) + shifted))


def _lost_by_curves(scaling: Scaling, x: Array) -> Array:
    """How much x may lose before it is cast to its dtype; what no curve bends is rounded alike
    everywhere.
    """
    found, columns = np.zeros_like(x), list(scaling.curves)
    found[:, columns] = _lost_by_scaling(scaling, x)[:, columns]
    return found
