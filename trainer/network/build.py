"""From a spec to the graph of its model and loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.errors import GraphError
from trainer.graph import Expr, Graph, GraphBuilder
from trainer.graph.ops import BATCH
from trainer.network.features import Features
from trainer.network.layers import Pass, write_layers
from trainer.network.losses import write_loss
from trainer.spec.document import Path
from trainer.spec.equations import EquationsSpec
from trainer.spec.expressions import EquationError
from trainer.spec.fields import as_tuple
from trainer.spec.lifting import lift_model
from trainer.spec.problems import problem_in_equation
from trainer.spec.schema import Spec

if TYPE_CHECKING:
    from trainer.data import Layout

EVALUATION = "eval"


def build_graph(spec: Spec, layout: Layout | None = None, *, training: bool = True) -> Graph:
    """The forward graph of `spec`: inputs, the layers or equations, the loss.

    `layout` says which columns of x and y are what; where it is left out the spec's data is loaded
    to find it. The inputs are `x`, of shape (B, columns), `y`, (B, outputs), `weight`, (B, 1),
    where rows have weights, and `<layer>/mask` for each dropout layer while it trains. The outputs
    are `loss`, a scalar, and `prediction`, (B, outputs): the network's output, or the logits where
    the loss is logistic.

    With `training` these are as the model trains, and `eval/loss` and `eval/prediction` as it is
    evaluated: the same nodes, but from the first dropout or batch normalisation on nodes called
    `eval/…`, which share the parameters and running averages. The graph's `updates` move the
    averages. Without `training` there is the evaluation alone, under plain names.

    Raises `GraphError` with the place in the spec where shapes do not fit.
    """
    if layout is None:
        from trainer.data import load_dataset

        layout = load_dataset(spec).layout
    builder = GraphBuilder(spec.model.dtype)
    features = Features(spec, layout, builder)
    builder.leaf("input", "y", (BATCH, layout.outputs))
    here = Pass(spec, features, builder, training)
    _write(here, layout)
    if training:
        if spec.model.depends_on_mode:
            with builder.inside(EVALUATION):
                _write(Pass(spec, features, builder, False, f"{EVALUATION}/", here.known), layout)
        for role in ("prediction", "loss"):
            builder.outputs.setdefault(f"{EVALUATION}/{role}", builder.outputs[role])
    graph = builder.build()
    if training and graph.parameters and not graph.trainable:
        raise GraphError(
            spec.problem(("model",), "nothing is trained: every layer is frozen", code="TR-G012")
        )
    return graph


def _write(here: Pass, layout: Layout) -> None:
    """One pass, from x to the loss."""
    builder, model = here.builder, here.spec.model
    prediction = (
        _equations(here, model) if isinstance(model, EquationsSpec) else write_layers(model, here)
    )
    builder.outputs[f"{here.prefix}prediction"] = prediction.node.name
    weight = _weight(here) if layout.weighted else None
    with builder.at("model.loss"):
        loss = write_loss(model, prediction, builder["y"], weight, f"{here.prefix}loss")
    builder.outputs[f"{here.prefix}loss"] = loss.node.name


def _weight(here: Pass) -> Expr:
    """The weights of the rows, (B, 1)."""
    builder = here.builder
    if "weight" not in builder:
        return builder.leaf("input", "weight", (BATCH, 1))
    if builder["weight"].node.op == "input":
        return builder["weight"]
    message = "the name 'weight' is taken by the weights of the rows"
    raise GraphError(here.spec.problem(("model",), message, "choose another name", code="TR-S021"))


def _equations(here: Pass, model: EquationsSpec) -> Expr:
    """The output of the equations, lifted to a batch."""
    given = {name: _input(here, name, value) for name, value in model.inputs.items()}
    try:
        lifted, _ = lift_model(model, here.builder, given)
    except EquationError as error:
        raise GraphError(problem_in_equation(here.spec, error)) from None
    return lifted.node


def _input(here: Pass, name: str, value: int | str | tuple[str, ...]) -> Expr:
    """An input of equations: all columns, of which there are `value`, or features by name."""
    where: Path = ("model", "inputs", name)
    if isinstance(value, int):
        x = here.features.whole()
        if (width := x.shape[1]) != value:
            message = f"the features are {width} column{'s' * (width != 1)}, found {value}"
            raise GraphError(
                here.spec.problem(where, message, f"write {name}: {width}", code="TR-G014")
            )
        return x
    for i, feature in enumerate(as_tuple(value)):
        place = where if isinstance(value, str) else (*where, i)
        if (width := here.features.width(feature, place)) != 1:
            message = f"the feature '{feature}' is {width} columns, expected one"
            hint = "take it with all others: x is the vector of all columns"
            raise GraphError(here.spec.problem(place, message, hint, code="TR-G014"))
    return here.features.group(name, as_tuple(value), where)
