"""The part `model` of the spec: a network of layers, and what losses both kinds of model share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from trainer.graph.initialisers import INITIALISERS
from trainer.graph.ops import ACTIVATIONS
from trainer.spec.fields import (
    Fraction,
    Name,
    Names,
    NestedNumbers,
    OneOf,
    Positive,
    Strict,
    Word,
    as_tuple,
    choose,
    given_numbers,
    wrong,
)
from trainer.spec.messages import describe, near, plural
from trainer.spec.tagged import Tagged, by_type

RESERVED_NAMES: Final = frozenset({"x", "y", "loss", "learning_rate", "grad_norm", "clip", "eval"})
"""Names of nodes that each graph may have, and so no names of layers, inputs or equations."""
Loss: TypeAlias = Literal["squared", "logistic", "huber"]
LOSSES: Final[tuple[Loss, ...]] = get_args(Loss)

# Initial values --------------------------------------------------------------------------------


def _init(value: Any) -> InitValue:
    """The name of an initialiser, or a mapping with its one number or its values."""
    if not isinstance(value, dict):
        return choose(value, "an initialiser", tuple(INITIALISERS))
    keys = ("normal", "uniform", "values")
    if len(value) != 1 or next(iter(value)) not in keys:
        raise wrong(
            "expected one of {normal: …}, {uniform: …}, {values: …}",
            next(filter(None, (near(key, keys) for key in value)), None),
            code="TR-S013",
        )
    [(kind, given)] = value.items()
    if kind == "values":
        return {"values": given_numbers(given, ("values",))}
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1e30:
        number = isinstance(given, int | float) and not isinstance(given, bool)
        bound = "below 1e30" if number and given > 0 else "above 0"
        raise wrong(
            f"expected a number {bound}, found {describe(given)}", at=(kind,), code="TR-S014"
        )
    return {kind: float(given)}


InitValue: TypeAlias = str | dict[Literal["normal", "uniform", "values"], NestedNumbers]
Init: TypeAlias = Annotated[
    InitValue,
    BeforeValidator(_init),
    WithJsonSchema({"anyOf": [
        {"type": "string", "enum": list(INITIALISERS)},
        {"type": "object", "maxProperties": 1, "minProperties": 1, "additionalProperties": False,
         "properties": {"normal": {"type": "number"}, "uniform": {"type": "number"},
                        "values": {"type": ["array", "number"]}}},
    ]}),
]  # fmt: skip
"""The name of an initialiser; or `{normal: deviation}`, `{uniform: limit}`, `{values: …}`."""

# Layers ----------------------------------------------------------------------------------------


class Layer(Tagged):
    """What all layers have."""

    takes: ClassVar[tuple[int, int | None]] = (1, 1)
    """How many inputs at least and at most."""
    advice: ClassVar[str] = "put a layer of the type concat before it"
    """What to do where there are too many."""

    name: Word | None = None
    """Name of the layer and its parameters; by default its type and number: `dense_1`."""
    inputs: Names | None = None
    """The layers or model inputs that it takes, by name; `x` is all features. By default the layer
    before it."""

    @property
    def depends_on_mode(self) -> bool:
        """Whether it computes differently in training and in evaluation."""
        return False

    @field_validator("inputs")
    @classmethod
    def _enough(cls, inputs: Names | None) -> Names | None:
        least, most = cls.takes
        count = 1 if inputs is None else len(as_tuple(inputs))
        if count < least:
            raise wrong(f"expected at least {least} inputs, found {count}",
                        "write inputs: [first, second]", code="TR-G011")  # fmt: skip
        if most is not None and count > most:
            raise wrong(f"expected {plural(most, 'input')}, found {count}",
                        cls.advice, code="TR-G011")  # fmt: skip
        return inputs


class DenseLayer(Layer):
    """A fully connected layer: activation(x @ W + b)."""

    type: Literal["dense"] = "dense"
    """The kind of layer."""
    units: Annotated[int, Field(ge=1)]
    """Number of outputs."""
    activation: Annotated[str, OneOf("an activation", tuple(ACTIVATIONS))] = "identity"
    """What is applied to each output; `softmax` on the last layer only."""
    init: Init = Field(default_factory=lambda data: ACTIVATIONS[data.get("activation", "identity")])
    """How W is drawn: by default `he_uniform` for relu and its like, else `glorot_uniform`. Or
    `{normal: deviation}`, `{uniform: limit}`, `{values: rows}`."""
    bias: bool = True
    """Whether b is there; it starts at 0."""
    freeze: bool = False
    """Whether W and b stay as they are."""


class ActivationLayer(Layer):
    """An activation alone, for example after a normalisation."""

    type: Literal["activation"]
    """The kind of layer."""
    activation: Annotated[str, OneOf("an activation", tuple(ACTIVATIONS))]
    """What is applied to each value."""


class DropoutLayer(Layer):
    """Sets values to 0 by chance while it trains, and scales the others by 1 / (1 - rate)."""

    type: Literal["dropout"]
    """The kind of layer."""
    rate: Annotated[float, Field(gt=0, lt=1)]
    """How probable it is that a value is dropped."""

    @property
    def depends_on_mode(self) -> bool:
        """In evaluation nothing is dropped."""
        return True


class BatchNormLayer(Layer):
    """Each column to mean 0 and variance 1 over the batch; in evaluation by running averages."""

    type: Literal["batch_norm"]
    """The kind of layer."""
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """How much of a running average a batch replaces."""
    epsilon: Positive = 1e-5
    """What is added to the variance."""
    affine: bool = True
    """Whether a trained scale and shift follow."""
    freeze: bool = False
    """Whether scale, shift and running averages stay as they are."""

    @property
    def depends_on_mode(self) -> bool:
        """Frozen it goes by the running averages always."""
        return not self.freeze


class LayerNormLayer(Layer):
    """Each row to mean 0 and variance 1 over its columns."""

    type: Literal["layer_norm"]
    """The kind of layer."""
    epsilon: Positive = 1e-5
    """What is added to the variance."""
    affine: bool = True
    """Whether a trained scale and shift follow."""
    freeze: bool = False
    """Whether scale and shift stay as they are."""


class EmbeddingLayer(Layer):
    """A trained vector for each category of a column that is embedded."""

    advice: ClassVar[str] = "give each column a layer of its own"
    type: Literal["embedding"]
    """The kind of layer."""
    inputs: Names
    """The categorical column, one with `encode: embedding` in `data.columns`."""
    units: Annotated[int, Field(ge=1)]
    """The length of the vectors."""
    init: Init = "normal"
    """How they are drawn: by default normal with deviation 0.05."""
    freeze: bool = False
    """Whether they stay as they are."""


class AddLayer(Layer):
    """The sum of layers of the same width: a residual connection."""

    takes: ClassVar[tuple[int, int | None]] = (2, None)
    type: Literal["add"]
    """The kind of layer."""
    inputs: Names
    """The layers that are added."""


class MultiplyLayer(Layer):
    """The product of layers of the same width, value by value: a gate."""

    takes: ClassVar[tuple[int, int | None]] = (2, None)
    type: Literal["multiply"]
    """The kind of layer."""
    inputs: Names
    """The layers that are multiplied."""


class ConcatLayer(Layer):
    """Layers side by side."""

    takes: ClassVar[tuple[int, int | None]] = (2, None)
    type: Literal["concat"]
    """The kind of layer."""
    inputs: Names
    """The layers, from left to right."""


LayerSpec: TypeAlias = Annotated[
    DenseLayer
    | ActivationLayer
    | DropoutLayer
    | BatchNormLayer
    | LayerNormLayer
    | EmbeddingLayer
    | AddLayer
    | MultiplyLayer
    | ConcatLayer,
    by_type("a type of layer", default=DenseLayer),
]

# The loss --------------------------------------------------------------------------------------


def _class_weights(value: Any) -> Literal["balanced"] | dict[str, float]:
    if value == "balanced":
        return "balanced"
    if not isinstance(value, dict) or not value:
        raise wrong(f"expected 'balanced' or a weight by class, found {describe(value)}",
                    "for example {yes: 2.0, no: 1.0}", code="TR-S013")  # fmt: skip
    if all(weight == 0 for weight in value.values()):
        raise wrong("all weights are 0", "give some class a weight above 0", code="TR-D033")
    for label, weight in value.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight < 1e30:
            bound = "below 1e30" if number and weight > 0 else "of at least 0"
            raise wrong(
                f"expected a number {bound}, found {describe(weight)}", at=(label,), code="TR-S014"
            )
    return {str(label): float(weight) for label, weight in value.items()}


ClassWeights: TypeAlias = Annotated[
    Literal["balanced"] | dict[str, float],
    BeforeValidator(_class_weights),
    WithJsonSchema({"anyOf": [
        {"const": "balanced"},
        {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
    ]}),
]  # fmt: skip


class InitFrom(Strict):
    """The first values of parameters: those of a trained model."""

    run: Name | None = None
    """A run: its id, the beginning of it, or its name."""
    file: Name | None = None
    """Or a file of a run's parameters, as `train export --to safetensors` writes it, relative
    to the spec file."""
    layers: Annotated[tuple[Word, ...], Field(strict=False, min_length=1)] | None = None
    """Which layers take them; by default all, and then all must be there."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The hash that those parameters must have, as `train list` and a run's page show it."""

    @model_validator(mode="after")
    def _one_of_both(self) -> InitFrom:
        if (self.file is None) == (self.run is None):
            raise wrong(
                "expected either a run or a file", "for example {run: hidden_layer}", code="TR-S019"
            )
        return self


class LossSpec(Strict):
    """What a model is trained for."""

    loss: Loss
    """`squared`: mean of (ŷ - y)² over examples and outputs. `logistic`: cross-entropy; one output
    for two classes, K outputs for K classes. `huber`: squared for small errors, linear for large
    ones."""
    huber_delta: Positive = 1.0
    """Where huber's loss goes from half the square to a straight line; in units of the target."""
    label_smoothing: Fraction = 0.0
    """How much of each target is spread evenly over the classes."""
    class_weights: ClassWeights | None = None
    """How much the rows of each class count: `balanced`, or a weight by class."""
    multi_label: bool = False
    """Whether each target column is a yes or no of its own."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of all parameters and values."""
    init_from: InitFrom | None = None
    """Start from the parameters of another run."""

    @field_validator("huber_delta", "label_smoothing", "class_weights", "multi_label")
    @classmethod
    def _fits_loss(cls, value: Any, info: ValidationInfo) -> Any:
        name, loss = str(info.field_name), info.data.get("loss")
        needed = "huber" if name == "huber_delta" else "logistic"
        if loss is not None and loss != needed and value != cls.model_fields[name].default:
            raise wrong(f"{name} belongs to the loss '{needed}'", "leave it out", code="TR-S020")
        if name == "multi_label" and value and info.data.get("class_weights"):
            raise wrong("class weights are for one target, not for several labels",
                        "leave one of them out", code="TR-S019")  # fmt: skip
        return value


class _Network(Strict):
    inputs: dict[Word, Names] | None = None
    """Named groups of features, for layers to take: `{place: [lon, lat], rest: [age]}`."""
    layers: Annotated[tuple[LayerSpec, ...], Field(strict=False, min_length=1)]
    """The layers, from the input to the output."""
    outputs: Names | None = None
    """The layers whose values, side by side, are the prediction; by default the last layer."""

    @field_validator("inputs")
    @classmethod
    def _inputs_named(cls, inputs: dict[str, Names] | None) -> dict[str, Names] | None:
        for name in inputs or ():
            if name in RESERVED_NAMES:
                raise wrong(f"the input name '{name}' is taken by a node of the graph",
                            "choose another name", (name,), key=True, code="TR-S021")  # fmt: skip
        return inputs

    @field_validator("layers")
    @classmethod
    def _layers_fit(
        cls, layers: tuple[LayerSpec, ...], info: ValidationInfo
    ) -> tuple[LayerSpec, ...]:
        given = dict.fromkeys(info.data.get("inputs") or (), 0)
        names: dict[str, int] = {}
        for i, (layer, name) in enumerate(zip(layers, layer_names(layers), strict=True)):
            if name in names:
                first = f"layer {names[name] + 1} has it already"
                raise wrong(
                    f"the layer name '{name}' is used twice", first, at=(i, "name"), code="TR-S021"
                )
            if name in RESERVED_NAMES or name in given:
                what = "an input" if name in given else "a node of the graph"
                message = f"the layer name '{name}' is taken by {what}"
                raise wrong(message, "choose another name", at=(i, "name"), code="TR-S021")
            if not isinstance(layer, EmbeddingLayer):  # which takes a column
                _check_inputs(layer, i, ["x", *given, *names])
            names[name] = i
        return layers

    @field_validator("outputs")
    @classmethod
    def _outputs_known(cls, outputs: Names | None, info: ValidationInfo) -> Names | None:
        known = layer_names(info.data.get("layers", ()))
        for i, name in enumerate(as_tuple(outputs or ())):
            if known and name not in known:
                at = () if isinstance(outputs, str) else (i,)
                hint = near(name, known) or f"the layers are {', '.join(known)}"
                raise wrong(f"there is no layer '{name}'", hint, at, code="TR-G010")
        return outputs


class LayersSpec(LossSpec, _Network):  # in this order the layers' keys come first
    """A network of layers, and its loss."""

    @model_validator(mode="after")
    def _loss_fits(self) -> LayersSpec:
        names = layer_names(self.layers)
        for name in self.output_layers:
            if self._width(name) is None:
                message = f"the width of the last layer '{name}' depends on the features"
                raise wrong(
                    message, "end with a dense layer", ("layers", names.index(name)), code="TR-G008"
                )
            last = self.layers[names.index(name)]
            activation = getattr(last, "activation", "identity")
            allowed = self._activations()
            if allowed and activation not in allowed:
                outputs = f"{self.units} output{'s' * (self.units > 1)}"
                message = f"the loss 'logistic' with {outputs} does not fit a last layer with"
                other = f", or '{allowed[1]}'" * (allowed[1] != "identity")
                hint = f"give the last layer no activation{other}"
                raise wrong(f"{message} '{activation}'", hint, at=("loss",), code="TR-G009")
        for i, (layer, name) in enumerate(zip(self.layers, names, strict=True)):
            if getattr(layer, "activation", "") == "softmax" and name not in self.output_layers:
                hint = "use it on the last layer, or another activation here"
                raise wrong(
                    "softmax fits the last layer alone",
                    hint,
                    ("layers", i, "activation"),
                    code="TR-G009",
                )
        return self

    @model_validator(mode="after")
    def _all_is_used(self) -> LayersSpec:
        names = layer_names(self.layers)
        used = set(self.output_layers)
        for number in range(len(names)):
            used.update(self.sources(number))
        for i, name in enumerate(names):
            if name not in used:
                hint = "name it in `inputs` of a later layer or in `outputs`, or remove it"
                raise wrong(
                    f"nothing takes the layer '{name}'", hint, ("layers", i), code="TR-G006"
                )
        for name in self.inputs or ():
            if name not in used:
                hint = "name it in `inputs` of a layer, or remove it"
                message = f"no layer takes the input '{name}'"
                raise wrong(message, hint, ("inputs", name), key=True, code="TR-G006")
        return self

    def _activations(self) -> tuple[str, str] | None:
        """What a last layer may have with the logistic loss; None for any."""
        if self.loss != "logistic":
            return None
        single = self.multi_label or self.units == 1
        if not single and len(self.output_layers) > 1:  # softmax is over all of them together
            return ("identity", "identity")
        return ("identity", "sigmoid" if single else "softmax")

    @property
    def units(self) -> int:
        """The number of outputs."""
        return sum(self._width(name) or 0 for name in self.output_layers)

    def _width(self, name: str) -> int | None:
        """The columns of a layer's value; None where they are those of the features."""
        names = layer_names(self.layers)
        while name in names:
            number = names.index(name)
            layer = self.layers[number]
            if hasattr(layer, "units"):
                return int(layer.units)
            taken = self.sources(number)
            if isinstance(layer, ConcatLayer):
                widths = [self._width(source) for source in taken]
                return None if None in widths else sum(width or 0 for width in widths)
            name = taken[0]
        return None

    def sources(self, number: int) -> tuple[str, ...]:
        """What layer `number`, from 0, takes: names of layers and inputs, or `x`; of an embedding
        nothing, since it takes a feature.
        """
        layer = self.layers[number]
        if isinstance(layer, EmbeddingLayer):
            return ()
        before = layer_names(self.layers)[number - 1] if number else "x"
        return as_tuple(layer.inputs or before)

    @property
    def output_layers(self) -> tuple[str, ...]:
        """The names of the layers whose values are the prediction."""
        return as_tuple(self.outputs) if self.outputs else (layer_names(self.layers)[-1],)

    @property
    def depends_on_mode(self) -> bool:
        """Whether training and evaluation compute differently."""
        return any(layer.depends_on_mode for layer in self.layers)


def _check_inputs(layer: Layer, number: int, known: list[str]) -> None:
    for k, name in enumerate(as_tuple(layer.inputs or ())):
        if name not in known:
            at = (number, "inputs") if isinstance(layer.inputs, str) else (number, "inputs", k)
            hint = near(name, known) or f"known here are {', '.join(known)}"
            raise wrong(
                f"no input or layer before this one is called '{name}'", hint, at, code="TR-G010"
            )


def layer_names(layers: Sequence[LayerSpec]) -> list[str]:
    """The layers' names, with `<type>_<number>` for those without."""
    return [layer.name or f"{layer.type}_{i}" for i, layer in enumerate(layers, start=1)]
