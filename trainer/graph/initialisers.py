"""Initial values of parameters: one row per name of `init` in the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np

from trainer.graph.graph import Graph
from trainer.graph.ops import Array
from trainer.randomness import stream

Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, ...], int, int], Array]


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        limit = np.sqrt(3 * variance(fan_in, fan_out))  # U(-a, a) has variance a²/3
        return np.asarray((2 * rng.random(shape) - 1) * limit)

    return draw


def _normal(variance: Callable[[int, int], float]) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        return np.asarray(rng.standard_normal(shape) * np.sqrt(variance(fan_in, fan_out)))

    return draw


def _glorot(fan_in: int, fan_out: int) -> float:
    """Glorot and Bengio (2010), eq. 16."""
    return 2 / (fan_in + fan_out)


def _he(fan_in: int, fan_out: int) -> float:
    """He et al. (2015), eq. 10."""
    return 2 / fan_in


def _lecun(fan_in: int, fan_out: int) -> float:
    """LeCun et al., "Efficient BackProp" (1998), section 4.6."""
    return 1 / fan_in


INITIALISERS: Final[Mapping[str, Draw]] = {
    "glorot_uniform": _uniform(_glorot),
    "glorot_normal": _normal(_glorot),
    "he_uniform": _uniform(_he),
    "he_normal": _normal(_he),
    "lecun_uniform": _uniform(_lecun),
    "lecun_normal": _normal(_lecun),
    "zeros": lambda rng, shape, fan_in, fan_out: np.zeros(shape),
}


def initial_parameters(graph: Graph, seed: int) -> dict[str, Array]:
    """The parameters of `graph` before the first step, by name, in the graph's dtype.

    Parameter number k (from 0, in the order of declaration) is drawn in float64 from its own
    stream ("initialise", k), then rounded; so float32 and float64 runs start alike.
    """
    values = {}
    for k, node in enumerate(graph.parameters):
        shape = tuple(int(dim) for dim in node.shape)
        if "values" in node.attributes:
            values[node.name] = np.array(node.attributes["values"], dtype=node.dtype)
            continue
        fan_in, fan_out = (*shape, 1, 1)[:2]
        draw = INITIALISERS[node.attributes["init"]]
        drawn = draw(stream(seed, "initialise", k), shape, fan_in, fan_out)
        values[node.name] = np.ascontiguousarray(drawn, dtype=node.dtype)
    return values
