"""Initial values of parameters: one row per name of `init` in the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from trainer.graph.graph import Graph, Node
from trainer.graph.ops import Array
from trainer.numerics.draws import normal
from trainer.numerics.orthogonal import orthonormal
from trainer.randomness import stream

Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, ...], int, int], Array]


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        limit = np.sqrt(3 * variance(fan_in, fan_out))  # U(-a, a) has variance a²/3
        return np.asarray((2 * rng.random(shape) - 1) * limit)

    return draw


def _normal(variance: Callable[[int, int], float]) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        return np.asarray(normal(rng, shape) * np.sqrt(variance(fan_in, fan_out)))

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


def _orthogonal(
    rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
) -> Array:
    """Orthonormal columns, or rows where there are fewer of these (Saxe et al., 2014).

    Q of a normal matrix, with a positive diagonal of R: else Q would not be spread evenly over the
    orthogonal matrices (Mezzadri, 2007).
    """
    q = orthonormal(normal(rng, (max(fan_in, fan_out), min(fan_in, fan_out))))
    return np.asarray((q if fan_in >= fan_out else q.T).reshape(shape))


def _normal_of(deviation: float) -> Draw:
    return lambda rng, shape, fan_in, fan_out: normal(rng, shape) * deviation


def _uniform_of(limit: float) -> Draw:
    return lambda rng, shape, fan_in, fan_out: (2 * rng.random(shape) - 1) * limit


SMALL: Final = 0.05
INITIALISERS: Final[Mapping[str, Draw]] = {
    "glorot_uniform": _uniform(_glorot),
    "glorot_normal": _normal(_glorot),
    "he_uniform": _uniform(_he),
    "he_normal": _normal(_he),
    "lecun_uniform": _uniform(_lecun),
    "lecun_normal": _normal(_lecun),
    "orthogonal": _orthogonal,
    "normal": _normal_of(SMALL),
    "uniform": _uniform_of(SMALL),
    "zeros": lambda rng, shape, fan_in, fan_out: np.zeros(shape),
    "ones": lambda rng, shape, fan_in, fan_out: np.ones(shape),
}
_OF_SIZE: Final[Mapping[str, Callable[[float], Draw]]] = {
    "normal": _normal_of,
    "uniform": _uniform_of,
}


def initialised(init: Any) -> dict[str, Any]:
    """The attributes of a parameter for an `init` of the spec, for `initial_parameters` to read.

    `init` is a name of `INITIALISERS`, or `{normal: deviation}`, `{uniform: limit}`,
    `{values: rows}`.
    """
    if isinstance(init, str):
        return {"init": init}
    [(kind, given)] = init.items()
    return {"init": kind, "values" if kind == "values" else "size": given}


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
        drawn = _draw(node)(stream(seed, "initialise", k), shape, fan_in, fan_out)
        values[node.name] = np.ascontiguousarray(drawn, dtype=node.dtype)
    return values


def _draw(node: Node) -> Draw:
    kind, size = node.attributes["init"], node.attributes.get("size")
    return INITIALISERS[kind] if size is None else _OF_SIZE[kind](size)


def initial_state(graph: Graph) -> dict[str, Array]:
    """The states of `graph` before the first step that begin at a number (attribute `initial`),
    by name, in the graph's dtype: running averages.
    """
    return {
        node.name: np.full(node.shape, node.attributes["initial"], node.dtype)
        for node in graph.leaves("state")
        if "initial" in node.attributes
    }
