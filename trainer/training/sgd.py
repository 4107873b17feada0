"""Stochastic gradient descent, written as nodes of the graph.

For a parameter W with gradient ∇W, with the settings of `SGD` in the spec:

    g    = Σ over the steps of an update of share · ∇W   where gradients accumulate
    norm = √(Σ over all parameters of Σ g²)
    g    = g · min(1, clip_norm / (norm + 1e-6))         where clip_norm is set
    g    = g + weight_decay · W + l1 · sign(W)           weights only, not biases
    v'   = momentum · v + g                              v starts at 0
    g    = g + momentum · v'  if nesterov, else v'
    W'   = W - learning_rate · g
    W'   = W' · min(1, max_norm / (‖column of W'‖ + 1e-6))   weights only, where it is set
    a'   = a + (W' - a) · average/rate                   the average; a starts at W

These are the update of PyTorch's `torch.optim.SGD` (with dampening 0) and the clipping of
`torch.nn.utils.clip_grad_norm_`, as their documentation gives them; `max_norm` is the constraint
of Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors",
2012. The recorded norms are those of the loss's gradient at each step, before all of this.

What differs from step to step are scalar inputs, the `rates`: `learning_rate`;
`accumulate/share`, the part of an update's rows that the step has, `accumulate/carry`, 0 at the
first step of an update and 1 at the others, and `accumulate/apply`, 1 at its last step and 0
before; `average/rate`. So are the numbers of `SETTINGS`, though they stay as they are: runs that
differ in them alone have the same graph, which is compiled once.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Final

from trainer.graph import Expr, Graph, GraphBuilder, gradients
from trainer.spec.sgd import SGDSpec

CLIP_EPSILON = 1e-6
SETTINGS: Final = ("momentum", "weight_decay", "l1", "clip_norm", "max_norm")
"""Numbers of the spec's `sgd` that are inputs of the graph, `sgd/momentum` and so on, where they
are set.
"""


def training_graph(model: Graph, sgd: SGDSpec) -> Graph:
    """`model` with its backward pass and one SGD update.

    Adds the inputs that `rates` feed, the outputs `grad_norm` and `grad_norm/<parameter>`, and the
    updates of every parameter that is trained and of the states: `velocity/<parameter>` where
    there is momentum, `accumulated/<parameter>` where gradients accumulate,
    `average/<parameter>` where parameters (and running averages) are averaged.
    """
    names = [parameter.name for parameter in model.trainable]
    builder = GraphBuilder.extend(gradients(model, model.outputs["loss"], names))
    for output in ("loss", "prediction"):  # where a model computes the same in evaluation
        builder.outputs.setdefault(f"eval/{output}", model.outputs[output])
    gradient = {name: builder[builder.outputs[f"gradient/{name}"]] for name in names}
    _Update(builder, model, sgd).write(gradient)
    return builder.build()


class _Update:
    """Writes the update of one training graph."""

    def __init__(self, builder: GraphBuilder, model: Graph, sgd: SGDSpec) -> None:
        self._builder = builder
        self._model = model
        self._sgd = sgd
        self._learning_rate = builder.leaf("input", "learning_rate", ())
        self._apply: Expr | None = None

    def write(self, gradient: dict[str, Expr]) -> None:
        """All of it, from the gradients by the parameters' names."""
        sgd, builder = self._sgd, self._builder
        norm = self._norms(gradient, record=True)
        if sgd.accumulate > 1:
            gradient = self._accumulated(gradient)
            norm = self._norms(gradient) if sgd.clip_norm is not None else norm
        clip = None
        if sgd.clip_norm is not None:
            room = self._setting("clip_norm") / (norm + CLIP_EPSILON)
            clip = room.apply("minimum", 1.0, name="clip")
        for name in gradient:
            with builder.backward(f"update/{name}", None):
                after = self._step(name, gradient[name], clip)
            builder.updates[name] = after.node.name
        if sgd.average is not None:
            self._average()

    def _norms(self, gradient: dict[str, Expr], record: bool = False) -> Expr:
        """The norm of the whole gradient; with `record` it and each parameter's are outputs."""
        builder, prefix = self._builder, "grad_norm" if record else "update_norm"
        with builder.backward(f"{prefix}/squares", None):
            squares = {name: _sum(g.apply("square")) for name, g in gradient.items()}
            total = reduce(add, squares.values())
        if not record:
            return total.apply("sqrt", name=prefix)
        for name in gradient:
            norm = squares[name].apply("sqrt", name=f"grad_norm/{name}")
            builder.outputs[f"grad_norm/{name}"] = norm.node.name
        norm = total.apply("sqrt", name="grad_norm")
        builder.outputs["grad_norm"] = norm.node.name
        return norm

    def _accumulated(self, gradient: dict[str, Expr]) -> dict[str, Expr]:
        """The weighted sums of the gradients since the last update."""
        builder = self._builder
        share, carry, self._apply = (
            builder.leaf("input", f"accumulate/{name}", ()) for name in ("share", "carry", "apply")
        )
        sums = {}
        for name, g in gradient.items():
            with builder.backward(f"accumulate/{name}", None):
                kept = builder.leaf("state", f"accumulated/{name}", g.shape)
                sums[name] = kept * carry + g * share
            builder.updates[f"accumulated/{name}"] = sums[name].node.name
        return sums

    def _step(self, name: str, g: Expr, clip: Expr | None) -> Expr:
        """The parameter after the step."""
        sgd, builder, parameter = self._sgd, self._builder, self._model[name]
        weight, decays = builder[name], parameter.attributes["decay"]
        if clip is not None:
            g = g * clip
        if sgd.weight_decay and decays:
            g = g + weight * self._setting("weight_decay")
        if sgd.l1 and decays:
            g = g + weight.apply("sign") * self._setting("l1")
        if sgd.momentum:
            velocity = builder.leaf("state", f"velocity/{name}", parameter.shape)
            moved = velocity * self._setting("momentum") + g
            kept = moved if self._apply is None else self._apply.apply("where", moved, velocity)
            builder.updates[f"velocity/{name}"] = kept.node.name
            g = g + moved * self._setting("momentum") if sgd.nesterov else moved
        after = weight - g * self._learning_rate
        if sgd.max_norm is not None and decays and len(parameter.shape) == 2:
            square = after.apply("square").apply("sum", axes=(0,), keepdims=True)
            norm = square.apply("sqrt") + CLIP_EPSILON
            after = after * (self._setting("max_norm") / norm).apply("minimum", 1.0)
        return after if self._apply is None else self._apply.apply("where", after, weight)

    def _setting(self, name: str) -> Expr:
        """The input that has this number of the spec's."""
        builder, leaf = self._builder, f"sgd/{name}"
        return builder[leaf] if leaf in builder else builder.leaf("input", leaf, ())

    def _average(self) -> None:
        """The averages of what a model consists of."""
        builder = self._builder
        rate = builder.leaf("input", "average/rate", ())
        for leaf in self._model.learned:
            updated = builder.updates.get(leaf.name)
            if updated is None:  # it is frozen
                continue
            name = f"average/{leaf.name}"
            with builder.backward(f"update/{name}", None):
                kept = builder.leaf("state", name, leaf.shape)
                after = kept + (builder[updated] - kept) * rate
            builder.updates[name] = after.node.name


def _sum(x: Expr) -> Expr:
    return x.apply("sum", axes=tuple(range(len(x.shape))))
