"""No contender but a floor: the matrix products of a step and nothing else, by NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from trainer.graph.ops import Array


def prepare(case: Case) -> Epoch:
    xs, _ = case.batches()
    values = [np.ones((case.batch, n), case.dtype) for n in case.sizes]
    weights = [np.full(shape, 1 / shape[0], case.dtype) for shape in pairwise(case.sizes)]
    gradients = [np.empty_like(weight) for weight in weights]

    def epoch() -> tuple[Array, Array]:
        for x in xs:
            for i, weight in enumerate(weights):
                np.dot(values[i] if i else x, weight, out=values[i + 1])
            for i in reversed(range(len(weights))):
                np.dot((values[i] if i else x).T, values[i + 1], out=gradients[i])
                if i:
                    np.dot(values[i + 1], weights[i].T, out=values[i])
        return np.array([]), np.array([])

    return epoch
