"""JAX with one compiled call a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from trainer.graph.ops import Array

Parameters: TypeAlias = list[tuple[jax.Array, jax.Array]]
Step: TypeAlias = Callable[[Parameters, Any, Any], tuple[Parameters, jax.Array]]

ACTIVATION = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}
LOSS = {
    "squared": lambda z, y: jnp.mean((z - y) ** 2),
    "logistic": lambda z, y: jnp.mean(jax.nn.softplus(z) - z * y),
}


def make_step(case: Case) -> tuple[Step, Parameters]:
    """One step, not yet compiled, and the first parameters. It returns the loss and the norm."""
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    activation, loss_of = ACTIVATION[case.activation], LOSS[case.loss]

    def loss(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
        for i, (W, b) in enumerate(parameters):
            x = (activation(x) if i else x) @ W + b
        return loss_of(x, y)

    def step(parameters: Parameters, x: jax.Array, y: jax.Array) -> tuple[Parameters, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(parameters, x, y)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients)))
        after = jax.tree.map(lambda p, g: p - case.learning_rate * g, parameters, gradients)
        return after, jnp.stack([value, norm])

    values = [jnp.asarray(value) for value in case.parameters().values()]
    return step, list(zip(values[::2], values[1::2], strict=True))


def prepare(case: Case) -> Epoch:
    step, parameters = make_step(case)
    compiled = jax.jit(step, donate_argnums=0)
    batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in zip(*case.batches(), strict=True)]

    def epoch() -> tuple[Array, Array]:
        nonlocal parameters
        records = []
        for x, y in batches:
            parameters, record = compiled(parameters, x, y)
            records.append(record)
        found = np.array(jax.device_get(records))
        jax.block_until_ready(parameters)
        return found[:, 0], found[:, 1]

    return epoch
