"""PyTorch as its tutorials write it: a module, autograd, `torch.optim.SGD`."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.nn import functional

from benchmarks.cases import Case
from benchmarks.peers import Epoch
from trainer.graph.ops import Array

ACTIVATION = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU}
LOSS = {
    "squared": functional.mse_loss,
    "logistic": functional.binary_cross_entropy_with_logits,
}


def prepare(case: Case) -> Epoch:
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(case.sizes):
        dtype = getattr(torch, case.dtype)
        layers += [torch.nn.Linear(inputs, outputs, dtype=dtype), ACTIVATION[case.activation]()]
    model = torch.nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), case.parameters().values(), strict=True):
            parameter.copy_(torch.from_numpy(value.T))  # Linear keeps W transposed
    optimizer = torch.optim.SGD(model.parameters(), lr=case.learning_rate)
    loss_of = LOSS[case.loss]
    xs, ys = map(torch.from_numpy, case.batches())
    batches = list(zip(xs, ys, strict=True))
    losses, norms = torch.empty(case.steps, dtype=xs.dtype), torch.empty(case.steps, dtype=xs.dtype)

    def epoch() -> tuple[Array, Array]:
        for i, (x, y) in enumerate(batches):
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            losses[i] = loss.detach()
            norms[i] = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
            optimizer.step()
        return losses.numpy().copy(), norms.numpy().copy()

    return epoch
