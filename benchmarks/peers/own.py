"""This project: an epoch as the training loop runs it."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from trainer.engine import EngineName, make_engine
from trainer.graph.ops import Array


def prepare(case: Case, engine_name: EngineName) -> Epoch:
    engine = make_engine(case.graph, engine_name, case.batch, case.steps)
    # as the command `train` does, once the engine has loaded the BLAS that it calls
    threadpool_limits(limits=1, user_api="blas")
    state = case.parameters()
    x, y = case.data()

    def epoch() -> tuple[Array, Array]:
        done = []
        for first in range(0, case.steps, engine.steps_per_call):
            last = min(first + engine.steps_per_call, case.steps)
            steps, _ = engine.train(state, x, y, case.batch, first, last, case.learning_rate)
            done.append(steps)
        losses = np.concatenate([steps.losses for steps in done])
        return losses, np.concatenate([steps.grad_norms for steps in done])

    return epoch
