"""This project: an epoch as the training loop runs it."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from trainer.engine import EngineName, make_engine
from trainer.graph.ops import Array
from trainer.training.rates import Rates


def prepare(case: Case, engine_name: EngineName) -> Epoch:
    engine = make_engine(case.graph, engine_name, case.batch)
    threadpool_limits(limits=1, user_api="blas")  # as `train` does: the reference engine calls it
    session = engine.load(case.parameters())
    x, y = case.data()
    arrays, rates = {"x": x, "y": y}, Rates(case.spec.sgd, len(x), case.batch)

    def epoch() -> tuple[Array, Array]:
        done = []
        for first in range(0, case.steps, engine.steps_per_call):
            last = min(first + engine.steps_per_call, case.steps)
            now = rates.at(first + 1, last - first)
            done.append(session.train(arrays, now, case.batch, first, last)[0])
        losses = np.concatenate([steps.losses for steps in done])
        return losses, np.concatenate([steps.grad_norms for steps in done])

    return epoch
