"""From a spec to the graph of its model and loss."""

from __future__ import annotations

from typing import Literal

from trainer.errors import GraphError
from trainer.graph import Expr, Graph, GraphBuilder
from trainer.graph.ops import BATCH
from trainer.spec.expressions import EquationError
from trainer.spec.lifting import lift_model
from trainer.spec.problems import problem_in_equation
from trainer.spec.schema import DenseLayer, EquationsSpec, LayersSpec, Spec, layer_names


def build_graph(spec: Spec, features: int | None = None, outputs: int | None = None) -> Graph:
    """The forward graph of `spec`: inputs x and y, the layers, the loss.

    `features` and `outputs` are the numbers of columns of x and y; where they are left out the
    spec's data is loaded to find them. The outputs are `loss`, a scalar, and `prediction`, of
    shape (batch, outputs): the network's output, or the logits where the loss is logistic.

    Raises `GraphError` with the place in the spec where shapes do not fit.
    """
    if features is None or outputs is None:
        from trainer.data import load_dataset

        dataset = load_dataset(spec)
        features, outputs = len(dataset.features), dataset.outputs
    builder = GraphBuilder(spec.model.dtype)
    h = builder.leaf("input", "x", (BATCH, features))
    y = builder.leaf("input", "y", (BATCH, outputs))
    h = _equations(spec, spec.model, builder) if isinstance(spec.model, EquationsSpec) else (
        _layers(spec.model, h)
    )  # fmt: skip
    builder.outputs["prediction"] = h.node.name
    with builder.at("model.loss"):
        loss = _squared(h, y) if spec.model.loss == "squared" else _logistic(h, y)
    builder.outputs["loss"] = loss.node.name
    return builder.build()


def _equations(spec: Spec, model: EquationsSpec, builder: GraphBuilder) -> Expr:
    """The output of the equations, lifted to a batch."""
    try:
        lifted, _ = lift_model(model, builder)
    except EquationError as error:
        raise GraphError(problem_in_equation(spec, error)) from None
    return lifted.node


def _layers(model: LayersSpec, h: Expr) -> Expr:
    """The layers, one after the other."""
    builder = h.builder
    last = len(model.layers) - 1
    for i, (layer, name) in enumerate(zip(model.layers, layer_names(model.layers), strict=True)):
        activation = layer.activation
        if i == last and model.loss == "logistic":
            # sigmoid or softmax and the logistic loss are one stable function of the logits
            activation = "identity"
        with builder.at(f"model.layers[{i}]"):
            h = _dense(h, layer, name, activation)
    return h


def _dense(x: Expr, layer: DenseLayer, name: str, activation: str) -> Expr:
    """activation(x @ W + b): (B, inputs) to (B, units). The last node is called like the layer."""
    builder = x.builder
    steps: list[Literal["product", "sum", "activation"]] = ["product"]
    if layer.bias:
        steps.append("sum")
    if activation != "identity":
        steps.append("activation")
    names = {step: f"{name}/{step}" for step in steps} | {steps[-1]: name}

    weights = builder.leaf(
        "parameter", f"{name}/W", (x.shape[1], layer.units), init=layer.init, decay=True
    )
    h = x.apply("matmul", weights, name=names["product"])
    if layer.bias:
        bias = builder.leaf("parameter", f"{name}/b", (layer.units,), init="zeros", decay=False)
        h = h.apply("add", bias, name=names["sum"])
    if activation != "identity":
        h = h.apply(activation, name=names["activation"])
    return h


def _squared(prediction: Expr, y: Expr) -> Expr:
    """The mean over examples and outputs of (ŷ - y)²."""
    error = prediction.apply("sub", y, name="loss/error")
    return error.apply("square", name="loss/each").apply("mean", name="loss", axes=(0, 1))


def _logistic(logits: Expr, y: Expr) -> Expr:
    """The mean over examples of the cross-entropy of sigmoid or softmax of the logits."""
    if logits.shape[1] == 1:
        each = logits.apply("logistic_loss", y, name="loss/each")
        return each.apply("mean", name="loss", axes=(0, 1))
    chosen = y.apply("mul", logits.apply("log_softmax", name="loss/log_softmax"))
    each = -chosen.apply("sum", name="loss/likelihood", axes=(1,))
    return each.apply("mean", name="loss", axes=(0,))
