"""PyTorch with the whole step, gradient and update included, in one `torch.compile`."""

from __future__ import annotations

import torch

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from benchmarks.peers.torch_eager import LOSS
from trainer.graph.ops import Array

ACTIVATION = {"sigmoid": torch.sigmoid, "relu": torch.relu}


def prepare(case: Case) -> Epoch:
    activation, loss_of = ACTIVATION[case.activation], LOSS[case.loss]
    parameters = [torch.from_numpy(value) for value in case.parameters().values()]

    def loss(parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for i in range(0, len(parameters), 2):
            x = torch.addmm(parameters[i + 1], activation(x) if i else x, parameters[i])
        return loss_of(x, y)

    @torch.compile(fullgraph=True)
    def step(parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        gradients, value = torch.func.grad_and_value(loss)(parameters, x, y)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=case.learning_rate)
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        return torch.stack([value, norm])

    xs, ys = map(torch.from_numpy, case.batches())
    batches = list(zip(xs, ys, strict=True))

    @torch.no_grad()
    def epoch() -> tuple[Array, Array]:
        record = torch.stack([step(parameters, x, y) for x, y in batches]).numpy()
        return record[:, 0], record[:, 1]

    return epoch
