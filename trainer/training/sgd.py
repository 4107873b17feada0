"""Stochastic gradient descent, written as nodes of the graph.

For a parameter W with gradient ∇W, with the settings of `SGD` in the spec:

    norm = √(Σ over all parameters of Σ ∇W²)
    g    = ∇W · min(1, clip_norm / (norm + 1e-6))        where clip_norm is set
    g    = g + weight_decay · W                          weights only, not biases
    v'   = momentum · v + g                              v starts at 0
    g    = g + momentum · v'  if nesterov, else v'
    W'   = W - learning_rate · g

These are the update of PyTorch's `torch.optim.SGD` (with dampening 0) and the clipping of
`torch.nn.utils.clip_grad_norm_`, as their documentation gives them. The recorded norms are
those of the loss's gradient, before clipping and decay.
"""

from __future__ import annotations

from functools import reduce
from operator import add

from trainer.graph import Expr, Graph, GraphBuilder, gradients
from trainer.spec.schema import SGDSpec

CLIP_EPSILON = 1e-6


def training_graph(model: Graph, sgd: SGDSpec) -> Graph:
    """`model` with its backward pass and one SGD update.

    Adds the input `learning_rate`, a state `velocity/<parameter>` for each parameter when there
    is momentum, the outputs `grad_norm` and `grad_norm/<parameter>`, and the updates of every
    parameter and state.
    """
    names = [parameter.name for parameter in model.parameters]
    builder = GraphBuilder.extend(gradients(model, model.outputs["loss"], names))
    learning_rate = builder.leaf("input", "learning_rate", ())
    gradient = {name: builder[builder.outputs[f"gradient/{name}"]] for name in names}

    with builder.backward("grad_norm/squares", None):
        squares = {name: _sum(gradient[name].apply("square")) for name in names}
        total = reduce(add, squares.values())
    for name in names:
        norm = squares[name].apply("sqrt", name=f"grad_norm/{name}")
        builder.outputs[f"grad_norm/{name}"] = norm.node.name
    norm = total.apply("sqrt", name="grad_norm")
    builder.outputs["grad_norm"] = norm.node.name
    if sgd.clip_norm is not None:
        room = builder.constant(sgd.clip_norm) / (norm + CLIP_EPSILON)
        clip = room.apply("minimum", 1.0, name="clip")

    for parameter in model.parameters:
        name = parameter.name
        weight, g = builder[name], gradient[name]
        with builder.backward(f"update/{name}", None):
            if sgd.clip_norm is not None:
                g = g * clip
            if sgd.weight_decay and parameter.attributes["decay"]:
                g = g + weight * sgd.weight_decay
            if sgd.momentum:
                velocity = builder.leaf("state", f"velocity/{name}", parameter.shape)
                moved = velocity * sgd.momentum + g
                builder.updates[f"velocity/{name}"] = moved.node.name
                g = g + moved * sgd.momentum if sgd.nesterov else moved
            after = weight - g * learning_rate
        builder.updates[name] = after.node.name
    return builder.build()


def _sum(x: Expr) -> Expr:
    return x.apply("sum", axes=tuple(range(len(x.shape))))
