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
    engine = make_engine(case.graph, engine_name, case.batch, case.steps)
    # as the command `train` does, once the engine has loaded the BLAS that it calls
    threadpool_limits(limits=1, user_api="blas")
    state = case.parameters()
    x, y = case.data()
    arrays, rates = {"x": x, "y": y}, Rates(case.spec.sgd, len(x), case.batch)

    def epoch() -> tuple[Array, Array]:
        done = []
        for first in range(0, case.steps, engine.steps_per_call):
            last = min(first + engine.steps_per_call, case.steps)
            steps, _ = engine.train(
                state, arrays, rates.at(first + 1, last - first), case.batch, first, last
            )
            done.append(steps)
        losses = np.concatenate([steps.losses for steps in done])
        return losses, np.concatenate([steps.grad_norms for steps in done])

    return epoch
