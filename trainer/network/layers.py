"""The layers as nodes: one function for each kind, from its inputs to its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, Final, Literal, TypeAlias

from trainer.errors import GraphError
from trainer.graph import Expr, GraphBuilder, Shape
from trainer.graph.initialisers import initialised
from trainer.graph.ops import show_shape
from trainer.network.features import Features
from trainer.spec.document import Path
from trainer.spec.fields import as_tuple, shape_of
from trainer.spec.layers import (
    ActivationLayer,
    AddLayer,
    BatchNormLayer,
    ConcatLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LayerNormLayer,
    LayerSpec,
    LayersSpec,
    MultiplyLayer,
    layer_names,
)
from trainer.spec.schema import Spec


@dataclass(frozen=True)
class Pass:
    """One pass through the layers: as they train, or as they are evaluated.

    Nodes are called after their layer, with `prefix` before. Parameters and running averages have
    no prefix: the first pass that needs them makes them, and the others share them. Passes that
    share `known` share layers too, up to the first that depends on the mode; it holds what each
    layer took, and its value.
    """

    spec: Spec
    features: Features
    builder: GraphBuilder
    training: bool
    prefix: str = ""
    known: dict[str, tuple[tuple[str, ...], Expr]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """Where a layer is written: its number and name, and the pass."""

    at: Pass
    number: int
    name: str

    @property
    def node(self) -> str:
        """The name of the layer's last node, and the beginning of those of the others."""
        return self.at.prefix + self.name

    def parameter(
        self, name: str, shape: Shape, *, init: Any, decay: bool, freeze: bool = False
    ) -> Expr:
        """The layer's parameter of this name."""
        how = initialised(init) | {"decay": decay} | ({"frozen": True} if freeze else {})
        if "values" in how and shape_of(how["values"]) != shape:
            found = show_shape(shape_of(how["values"]))
            message = f"expected values of the shape {show_shape(shape)}, found {found}"
            hint = "a row for each input (or category), a column for each unit"
            raise self.misshapen(("init", "values"), message, hint)
        return self._leaf("parameter", name, shape, **how)

    def statistic(self, name: str, shape: Shape, initial: float) -> Expr:
        """A running average of the layer, which starts at `initial`."""
        return self._leaf("state", name, shape, initial=initial, statistic=True)

    def misshapen(self, where: Path, message: str, hint: str | None = None) -> GraphError:
        """The error for a place below this layer, where a shape does not fit."""
        path = ("model", "layers", self.number, *where)
        return GraphError(self.at.spec.problem(path, message, hint, code="TR-G007"))

    def _leaf(self, op: str, name: str, shape: Shape, **how: Any) -> Expr:
        builder, full = self.at.builder, f"{self.name}/{name}"
        return builder[full] if full in builder else builder.leaf(op, full, shape, **how)


def write_layers(model: LayersSpec, here: Pass) -> Expr:
    """The prediction: the value of the last layer, or of the `outputs` side by side.

    Sigmoid or softmax of such a layer and the logistic loss are one stable function of the
    logits: the activation is left out where nothing else takes it. Raises `GraphError`.
    """
    builder, names = here.builder, layer_names(model.layers)
    taken = {name for i in range(len(names)) for name in model.sources(i)}
    values: dict[str, Expr] = {}
    logits: dict[str, Expr] = {}
    for i, (layer, name) in enumerate(zip(model.layers, names, strict=True)):
        fused = (
            model.loss == "logistic"
            and name in model.output_layers
            and getattr(layer, "activation", "identity") != "identity"
        )
        if fused and name not in taken:
            layer = layer.model_copy(update={"activation": "identity"})
            fused = False
        with builder.at(f"model.layers[{i}]"), builder.inside(here.prefix + name):
            inputs = [_value(source, values, model, here) for source in model.sources(i)]
            values[name] = _written(layer, _Place(here, i, name), inputs)
        logits[name] = builder[values[name].node.inputs[0]] if fused else values[name]
    with builder.at("model.outputs"), builder.inside(f"{here.prefix}outputs"):
        return reduce(
            lambda a, b: a.apply("concat", b), map(logits.__getitem__, model.output_layers)
        )


def _written(layer: LayerSpec, place: _Place, inputs: Sequence[Expr]) -> Expr:
    """The layer's value; that of an earlier pass where it is the same."""
    sources = tuple(x.node.name for x in inputs)
    taken, known = place.at.known.get(place.name, (None, None))
    if known is not None and taken == sources and not layer.depends_on_mode:
        return known
    value = WRITERS[layer.type](layer, place, inputs)
    place.at.known[place.name] = sources, value
    return value


def _value(name: str, values: Mapping[str, Expr], model: LayersSpec, here: Pass) -> Expr:
    """A layer, an input of the model, or x."""
    if name in values:
        return values[name]
    groups = model.inputs or {}
    if name in groups:
        where = ("model", "inputs", name)
        return here.features.group(name, as_tuple(groups[name]), where)
    return here.features.whole()


# One function a kind ----------------------------------------------------------------------------


def _dense(layer: DenseLayer, place: _Place, inputs: Sequence[Expr]) -> Expr:
    """activation(x @ W + b): (B, inputs) to (B, units)."""
    [x] = inputs
    steps: list[Literal["product", "sum", "activation"]] = ["product"]
    if layer.bias:
        steps.append("sum")
    if layer.activation != "identity":
        steps.append("activation")
    names = {step: f"{place.node}/{step}" for step in steps} | {steps[-1]: place.node}

    shape = (x.shape[1], layer.units)
    weights = place.parameter("W", shape, init=layer.init, decay=True, freeze=layer.freeze)
    h = x.apply("matmul", weights, name=names["product"])
    if layer.bias:
        bias = place.parameter("b", (layer.units,), init="zeros", decay=False, freeze=layer.freeze)
        h = h.apply("add", bias, name=names["sum"])
    if layer.activation != "identity":
        h = h.apply(layer.activation, name=names["activation"])
    return h


def _activation(layer: ActivationLayer, place: _Place, inputs: Sequence[Expr]) -> Expr:
    """The activation of each value; of `identity` nothing."""
    [x] = inputs
    return x if layer.activation == "identity" else x.apply(layer.activation, name=place.node)


def _dropout(layer: DropoutLayer, place: _Place, inputs: Sequence[Expr]) -> Expr:
    """The product x · mask while it trains, else x (Srivastava et al., 2014).

    The mask is an input of the graph, of 0 and 1 / (1 - rate).
    """
    [x] = inputs
    if not place.at.training:
        return x
    mask = place.at.builder.leaf("input", f"{place.name}/mask", x.shape, rate=layer.rate)
    return x.apply("mul", mask, name=place.node)


def _batch_norm(layer: BatchNormLayer, place: _Place, inputs: Sequence[Expr]) -> Expr:
    """(x - mean) / √(variance + ε) · scale + shift, of each column (Ioffe and Szegedy, 2015).

    While it trains the mean and the biased variance are those of the batch, and the running
    averages move to the mean and the unbiased variance, as in PyTorch's BatchNorm1d; of a batch of
    one row to the biased one. In evaluation, and frozen, they are the running averages.
    """
    [x] = inputs
    shape = x.shape[1:]
    running_mean = place.statistic("mean", shape, 0.0)
    running_variance = place.statistic("variance", shape, 1.0)
    if layer.freeze or not place.at.training:
        mean, variance = running_mean, running_variance
        centered = x.apply("sub", mean, name=f"{place.node}/centered")
    else:
        mean = x.apply("mean", axes=(0,), name=f"{place.node}/batch_mean")
        centered = x.apply("sub", mean, name=f"{place.node}/centered")
        square = centered.apply("square")
        variance = square.apply("mean", axes=(0,), name=f"{place.node}/batch_variance")
        rows = x.apply("count", axes=(0,))
        unbiased = variance * -(rows / (1 - rows).apply("minimum", -1.0))  # n / max(n - 1, 1)
        for running, batch in ((running_mean, mean), (running_variance, unbiased)):
            after = running * (1 - layer.momentum) + batch * layer.momentum
            place.at.builder.updates[running.node.name] = after.node.name
    return _normalised(layer, place, centered, variance)


def _layer_norm(layer: LayerNormLayer, place: _Place, inputs: Sequence[Expr]) -> Expr:
    """(x - mean) / √(variance + ε) · scale + shift, of each row (Ba, Kiros and Hinton, 2016).

    The variance is the biased one, the mean of the squares.
    """
    [x] = inputs
    columns = float(x.shape[1])
    mean = x.apply("sum", axes=(1,), keepdims=True) / columns
    centered = x.apply("sub", mean, name=f"{place.node}/centered")
    variance = centered.apply("square").apply("sum", axes=(1,), keepdims=True) / columns
    return _normalised(layer, place, centered, variance)


def _normalised(
    layer: BatchNormLayer | LayerNormLayer, place: _Place, centered: Expr, variance: Expr
) -> Expr:
    """The quotient centered / √(variance + ε), scaled and shifted where the layer is affine."""
    deviation = (variance + layer.epsilon).apply("sqrt", name=f"{place.node}/deviation")
    if not layer.affine:
        return centered.apply("div", deviation, name=place.node)
    how: dict[str, Any] = {"decay": False, "freeze": layer.freeze}
    scale = place.parameter("scale", centered.shape[1:], init="ones", **how)
    shift = place.parameter("shift", centered.shape[1:], init="zeros", **how)
    normalised = centered.apply("div", deviation, name=f"{place.node}/normalised")
    return normalised.apply("mul", scale).apply("add", shift, name=place.node)


def _embedding(layer: EmbeddingLayer, place: _Place, _inputs: Sequence[Expr]) -> Expr:
    """A row of W for each example, by the number of its category: (B, units)."""
    [feature] = as_tuple(layer.inputs)
    where = ("model", "layers", place.number, "inputs")
    codes, categories = place.at.features.codes(feature, where)
    shape = (categories, layer.units)
    table = place.parameter("W", shape, init=layer.init, decay=True, freeze=layer.freeze)
    return table.apply("lookup", codes, name=place.node)


def _combined(
    layer: AddLayer | MultiplyLayer | ConcatLayer, place: _Place, inputs: Sequence[Expr], *, op: str
) -> Expr:
    """The inputs, one after the other, by an op of two."""
    if op != "concat" and len({x.shape for x in inputs}) > 1:
        found = ", ".join(
            f"'{name}' {show_shape(x.shape)}"
            for name, x in zip(as_tuple(layer.inputs), inputs, strict=True)
        )
        message = f"{layer.type} takes inputs of one width, found {found}"
        raise place.misshapen(("inputs",), message, "give the layers as many units")
    h = inputs[0]
    for i, x in enumerate(inputs[1:], start=2):
        h = h.apply(op, x, name=place.node if i == len(inputs) else None)
    return h


Writer: TypeAlias = Callable[[Any, _Place, Sequence[Expr]], Expr]
WRITERS: Final[Mapping[str, Writer]] = {
    "dense": _dense,
    "activation": _activation,
    "dropout": _dropout,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "embedding": _embedding,
    "add": partial(_combined, op="add"),
    "multiply": partial(_combined, op="mul"),
    "concat": partial(_combined, op="concat"),
}
