"""scikit-learn: `partial_fit` over the batches of an epoch.

It computes no gradient norm, and records the mean loss of the epoch alone. Its squared loss is
half the mean of the squares, but its gradient is that of half their sum over the outputs: the
learning rate and the loss are rescaled to match.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from trainer.graph.ops import Array


def prepare(case: Case) -> Epoch:
    squared = case.loss == "squared"
    model = (MLPRegressor if squared else MLPClassifier)(
        hidden_layer_sizes=case.sizes[1:-1],
        activation="relu" if case.activation == "relu" else "logistic",
        solver="sgd",
        alpha=0.0,
        batch_size=case.batch,
        learning_rate_init=case.learning_rate * (2 / case.sizes[-1] if squared else 1),
        shuffle=False,
        momentum=0.0,
        nesterovs_momentum=False,
    )
    x, y = case.data()
    if case.sizes[-1] == 1:
        y = y.ravel()
    fit = model.partial_fit if squared else partial(model.partial_fit, classes=[0, 1])
    fit(x[: case.batch], y[: case.batch])  # makes the parameters
    own = [array for pair in zip(model.coefs_, model.intercepts_, strict=True) for array in pair]
    for array, value in zip(own, case.parameters().values(), strict=True):
        array[...] = value

    def epoch() -> tuple[Array, Array]:
        fit(x, y)
        return np.array([model.loss_ * (2 if squared else 1)]), np.array([])

    return epoch
