"""JAX with the whole epoch in one compiled call: `jax.lax.scan` over its batches."""

from __future__ import annotations

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from benchmarks.peers.jax_step import Parameters, make_step
from trainer.graph.ops import Array


def prepare(case: Case) -> Epoch:
    step, parameters = make_step(case)

    def scan(parameters: Parameters, x: jax.Array, y: jax.Array) -> tuple[Parameters, jax.Array]:
        return jax.lax.scan(lambda carried, batch: step(carried, *batch), parameters, (x, y))

    compiled = jax.jit(scan, donate_argnums=0)
    x, y = map(jnp.asarray, case.batches())

    def epoch() -> tuple[Array, Array]:
        nonlocal parameters
        parameters, records = compiled(parameters, x, y)
        found = np.asarray(jax.block_until_ready(records))
        jax.block_until_ready(parameters)
        return found[:, 0], found[:, 1]

    return epoch
