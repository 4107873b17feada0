"""The spec: what one YAML file may say, as frozen, strict pydantic models.

A field's type, bounds and default stand here and nowhere else; the JSON Schema for editors and
the reference in docs/spec.md are made from them. Checks between fields are validators that
raise `wrong(...)`. The messages for simple mistakes are in `messages.py`.
"""

from __future__ import annotations

import hashlib
import json
import keyword
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    Tag,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from trainer.errors import Problem
from trainer.graph.initialisers import INITIALISERS
from trainer.graph.ops import ACTIVATIONS
from trainer.spec.document import Node, Path, locate, show_path
from trainer.spec.messages import describe, near


def wrong(message: str, hint: str | None = None, at: Path = ()) -> PydanticCustomError:
    """The error of a check between fields; `at` is a path below the field that is checked."""
    context: dict[str, Any] = {"message": message, "hint": hint, "at": at}
    return PydanticCustomError("spec", "{message}", context)


@dataclass(frozen=True)
class OneOf:
    """An annotation: a text that is one of `names`; `what` says of what kind they are."""

    what: str
    names: tuple[str, ...]

    def check(self, value: Any) -> str:
        """The value, if it is one of the names."""
        if not isinstance(value, str) or value not in self.names:
            context: dict[str, Any] = {"what": self.what, "names": self.names}
            raise PydanticCustomError("choice", "{what}", context)
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.names)}


def _batch_size(value: Any) -> Any:
    if value == "full" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise PydanticCustomError("expected", "a whole number of at least 1, or 'full'")


RESERVED_NAMES = frozenset({"x", "y", "loss", "learning_rate", "grad_norm", "clip"})


def _unreserved(name: str) -> str:
    if name in RESERVED_NAMES - {"x"}:
        raise wrong(f"the name '{name}' is taken by a node of the graph", "choose another name")
    if keyword.iskeyword(name):  # Python's parser reads the equations
        raise wrong(f"the name '{name}' cannot stand in an equation", f"write {name}_")
    return name


def _numbers(value: Any) -> Any:
    """A number, a list of numbers, or a list of rows of one length; as tuples of floats."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        if value is not None and not math.isfinite(value):
            raise wrong(f"expected a finite number, found {describe(value)}")
        return value if value is None else float(value)
    if not isinstance(value, list | tuple) or not value:
        raise wrong(
            f"expected a number, a list of numbers or a list of rows, found {describe(value)}"
        )
    items = tuple(_numbers(item) for item in value)
    shapes = {shape_of(item) for item in items}
    if None in items or len(shapes) > 1 or len(next(iter(shapes))) > 1:
        raise wrong("expected a list of numbers, or a list of rows of one length")
    return items


def _given_numbers(value: Any) -> Any:
    """As `_numbers`, and there are some."""
    if value is None:
        raise wrong("expected a number, a list of numbers or a list of rows, found nothing")
    return _numbers(value)


def shape_of(values: Any) -> tuple[int, ...]:
    """The shape of nested tuples of numbers."""
    return (len(values), *shape_of(values[0])) if isinstance(values, tuple) else ()


class _Model(BaseModel):
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


Fraction: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Row: TypeAlias = Annotated[tuple[float, ...], Field(strict=False)]

BUNDLED = ("iris", "wine", "breast_cancer", "digits", "diabetes")
SYNTHETIC = ("xor", "two_moons", "spirals", "linear")

# Data ------------------------------------------------------------------------------------------


class CsvSource(_Model):
    """A CSV file with a header line."""

    csv: Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]+$")]
    """Path of the file, relative to the spec file."""
    delimiter: Literal[",", ";", "\t", "|", ":", " "] = ","
    """The character between cells."""


class SyntheticSource(_Model):
    """Points drawn from the seed."""

    synthetic: Annotated[str, OneOf("a synthetic data set", SYNTHETIC)]
    """Which problem: `xor`, `two_moons` and `spirals` have two classes, `linear` real targets."""
    rows: Annotated[int, Field(ge=1, le=10**8)] = 400
    """Number of examples."""
    noise: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation of the normal noise: of the inputs, for `linear` of the target."""


class InlineTable(_Model):
    """Rows written in the spec itself."""

    x: Annotated[tuple[Row, ...], Field(strict=False, min_length=1)]
    """The examples: a list of rows, each a list of numbers."""
    y: Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]
    """The targets: a number or class label a row, or a list of numbers a row."""

    @field_validator("x")
    @classmethod
    def _rectangular(cls, x: tuple[Row, ...]) -> tuple[Row, ...]:
        for i, row in enumerate(x):
            if not row or len(row) != len(x[0]):
                message = f"expected {len(x[0]) or 'some'} numbers as in the first row"
                raise wrong(f"{message}, found {len(row)}", at=(i,))
        return x

    @field_validator("y")
    @classmethod
    def _targets(cls, y: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if "x" in info.data and len(y) != len(info.data["x"]):
            raise wrong(f"expected {len(info.data['x'])} targets, one a row of x, found {len(y)}")
        first = _kind(y[0])
        if first is None:
            message = f"expected a number, a text or a list of numbers, found {describe(y[0])}"
            raise wrong(message, at=(0,))
        for i, value in enumerate(y):
            if isinstance(value, float) and not math.isfinite(value):
                raise wrong(f"expected a finite number, found {describe(value)}", at=(i,))
            if _kind(value) != first:
                raise wrong(
                    f"expected {first} as in the first row, found {describe(value)}", at=(i,)
                )
        return tuple(tuple(value) if isinstance(value, list) else value for value in y)


def _kind(value: Any) -> str | None:
    """What sort of target a value is; None where it can be no target."""
    if isinstance(value, str | bool):
        return "a text" if isinstance(value, str) else "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple) and value and {_kind(v) for v in value} == {"a number"}:
        return f"a list of {len(value)} number{'s' * (len(value) > 1)}"
    return None


class InlineSource(_Model):
    """Rows written in the spec itself."""

    inline: InlineTable
    """The examples and their targets."""


def _source_kind(value: Any) -> str:
    if isinstance(value, dict):
        for kind in ("csv", "inline", "synthetic"):
            if kind in value:
                return kind
        return "mapping"
    if isinstance(value, BaseModel):
        return type(value).__name__.removesuffix("Source").lower()
    return "bundled"


SourceSpec: TypeAlias = Annotated[
    Annotated[str, OneOf("a bundled data set", BUNDLED), Tag("bundled")]
    | Annotated[CsvSource, Tag("csv")]
    | Annotated[SyntheticSource, Tag("synthetic")]
    | Annotated[InlineSource, Tag("inline")],
    Discriminator(
        _source_kind,
        custom_error_type="source_kind",
        custom_error_message="expected the name of a bundled data set, or csv, inline or synthetic",
    ),
]


class SplitSpec(_Model):
    """Which fractions of the rows are held back from training."""

    validation: Fraction = 0.0
    """Fraction evaluated after each epoch."""
    test: Fraction = 0.0
    """Fraction evaluated once, after the last epoch."""

    @field_validator("test")
    @classmethod
    def _leaves_rows(cls, test: float, info: ValidationInfo) -> float:
        if test + info.data.get("validation", 0) >= 1:
            total = f"{test + info.data['validation']:g}"
            raise wrong(f"validation and test together take {total} of the rows",
                        "leave some rows for training: keep the sum below 1")  # fmt: skip
        return test


class DataSpec(_Model):
    """The examples, and what is done to them before training."""

    source: SourceSpec
    """A bundled data set's name, or `{csv: path}`, `{inline: {x: …, y: …}}`,
    `{synthetic: name}`."""
    target: Name | None = Field(
        default_factory=lambda data: _default_target(data), validate_default=True
    )
    """The column to predict. CSV files need it; bundled data sets have `target`."""
    features: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] | None = None
    """The columns to predict from; by default all but the target."""
    split: SplitSpec = SplitSpec()
    """Rows held back; by default none, and every row trains."""
    standardize: bool = False
    """Subtract each feature's mean and divide by its deviation, as found in the training rows."""

    @field_validator("target")
    @classmethod
    def _target_fits(cls, target: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source")
        if isinstance(source, CsvSource) and target is None:
            raise wrong("required key is missing", "name the column to predict: `target: …`")
        return target

    @field_validator("features")
    @classmethod
    def _features_differ(
        cls, features: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        for i, name in enumerate(features or ()):
            if name == info.data.get("target"):
                raise wrong(f"'{name}' is the target and cannot also be a feature", at=(i,))
            if features and name in features[:i]:
                raise wrong(f"the feature '{name}' is named twice", at=(i,))
        return features


def _default_target(data: dict[str, Any]) -> str | None:
    source = data.get("source")
    if isinstance(source, CsvSource):
        return None
    return "y" if isinstance(source, SyntheticSource | InlineSource) else "target"


# Model -----------------------------------------------------------------------------------------


class DenseLayer(_Model):
    """A fully connected layer: activation(x @ W + b)."""

    type: Literal["dense"] = "dense"
    """The kind of layer."""
    units: Annotated[int, Field(ge=1)]
    """Number of outputs."""
    activation: Annotated[str, OneOf("an activation", tuple(ACTIVATIONS))] = "identity"
    """What is applied to each output; `softmax` on the last layer only."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=60)] | None = None
    """Name of the layer and its parameters; by default `dense_1`, `dense_2`, …"""
    init: Annotated[str, OneOf("an initialiser", tuple(INITIALISERS))] = Field(
        default_factory=lambda data: ACTIVATIONS[data.get("activation", "identity")]
    )
    """How W is drawn: by default `he_uniform` for relu and its like, else `glorot_uniform`."""
    bias: bool = True
    """Whether b is there; it starts at 0."""


class LayersSpec(_Model):
    """A network of layers, one after the other, and its loss."""

    layers: Annotated[tuple[DenseLayer, ...], Field(strict=False, min_length=1)]
    """The layers, from the input to the output."""
    loss: Literal["squared", "logistic"]
    """`squared`: mean of (ŷ - y)² over examples and outputs. `logistic`: cross-entropy; one output
    for two classes, K outputs for K classes."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of all parameters and values."""

    @field_validator("layers")
    @classmethod
    def _layers_fit(cls, layers: tuple[DenseLayer, ...]) -> tuple[DenseLayer, ...]:
        names: dict[str, int] = {}
        for i, name in enumerate(layer_names(layers)):
            if name in names:
                first = f"layer {names[name] + 1} has it already"
                raise wrong(f"the layer name '{name}' is used twice", first, at=(i, "name"))
            if name in RESERVED_NAMES:
                message = f"the layer name '{name}' is taken by a node of the graph"
                raise wrong(message, "choose another name", at=(i, "name"))
            names[name] = i
        for i, layer in enumerate(layers[:-1]):
            if layer.activation == "softmax":
                hint = "use it on the last layer, or another activation here"
                raise wrong("softmax fits the last layer alone", hint, at=(i, "activation"))
        return layers

    @field_validator("loss")
    @classmethod
    def _loss_fits(cls, loss: str, info: ValidationInfo) -> str:
        layers = info.data.get("layers")
        if loss == "logistic" and layers:
            last, allowed = layers[-1], ("identity", _OUTPUT[layers[-1].units == 1])
            if last.activation not in allowed:
                outputs = f"{last.units} output{'s' * (last.units > 1)}"
                raise wrong(
                    f"the loss 'logistic' with {outputs} does not fit a last layer with "
                    f"'{last.activation}'",
                    f"give the last layer no activation, or '{allowed[1]}'",
                )
        return loss

    @property
    def units(self) -> int:
        """The number of outputs."""
        return self.layers[-1].units


_OUTPUT = {True: "sigmoid", False: "softmax"}


def layer_names(layers: tuple[DenseLayer, ...]) -> list[str]:
    """The layers' names, with `dense_<number>` for those without."""
    return [layer.name or f"dense_{i}" for i, layer in enumerate(layers, start=1)]


# Equations --------------------------------------------------------------------------------------

Letter: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=60)]
Identifier: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=60), AfterValidator(_unreserved)
]
Dimension: TypeAlias = Annotated[int, Field(ge=1)]


class ParameterSpec(_Model):
    """A trainable array: its shape and how it is drawn, or its values."""

    shape: Annotated[tuple[Dimension, ...], Field(strict=False, max_length=2)] | None = None
    """`[]` for a number, `[n]` for a vector, `[m, n]` for a matrix."""
    values: Annotated[Any, AfterValidator(_numbers), Field(validate_default=True)] = None
    """The first values instead: a number, a list of numbers, or a list of rows."""
    init: Annotated[str, OneOf("an initialiser", tuple(INITIALISERS))] = "glorot_uniform"
    """How it is drawn; a matrix has as many inputs as rows."""
    decay: bool = Field(default_factory=lambda data: data.get("init") != "zeros")
    """Whether weight_decay pulls it towards 0; by default unless it starts there."""

    @field_validator("values")
    @classmethod
    def _one_of_both(cls, values: Any, info: ValidationInfo) -> Any:
        if "shape" not in info.data:  # it is wrong, and told
            return values
        shape = info.data["shape"]
        if (values is None) == (shape is None):
            raise wrong("expected either a shape or values", "for example {shape: [3, 2]}")
        return values

    @property
    def dims(self) -> tuple[int, ...]:
        """Its shape."""
        return self.shape if self.shape is not None else shape_of(self.values)


class EquationsSpec(_Model):
    """A network as equations for one example, and its loss."""

    inputs: Annotated[dict[Identifier, Dimension], Field(min_length=1)]
    """The features: `{x: 3}` for a vector of 3."""
    parameters: dict[Identifier, ParameterSpec] = Field(default_factory=dict)
    """What is trained."""
    equations: Annotated[dict[Identifier, str], Field(min_length=1)]
    """Each names a value: `h: sigmoid(W @ x + b)`."""
    output: str
    """The equation that predicts."""
    loss: Literal["squared", "logistic"]
    """As for layers; an outermost sigmoid or softmax of the output and `logistic` are one."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of all parameters and values."""

    @field_validator("inputs")
    @classmethod
    def _one_input(cls, inputs: dict[str, int]) -> dict[str, int]:
        if list(inputs) != ["x"]:
            raise wrong(f"expected the one input x, found {', '.join(inputs)}",
                        "x is the vector of the features: `inputs: {x: 3}`")  # fmt: skip
        return inputs

    @field_validator("output")
    @classmethod
    def _is_an_equation(cls, output: str, info: ValidationInfo) -> str:
        return _known_output(output, info)

    @property
    def units(self) -> int:
        """The number of outputs. Raises `EquationError`."""
        from trainer.spec.lifting import lift_model

        lifted, _ = lift_model(self)
        return lifted.dims[0] if lifted.dims else 1


class SketchModel(_Model):
    """A graph of equations on given numbers."""

    inputs: Annotated[dict[Letter, Annotated[Any, AfterValidator(_given_numbers)]],
                      Field(min_length=1)]  # fmt: skip
    """Numbers, lists of numbers or lists of rows: `{a: 2.0, b: 1.0}`."""
    parameters: dict[Letter, ParameterSpec] = Field(default_factory=dict)
    """Further values, drawn or given."""
    equations: Annotated[dict[Letter, str], Field(min_length=1)]
    """Each names a value: `c: a + b`."""
    output: str
    """The equation whose gradient is asked for; a number."""
    dtype: Literal["float32", "float64"] = "float64"
    """Type of all values."""

    @field_validator("output")
    @classmethod
    def _is_an_equation(cls, output: str, info: ValidationInfo) -> str:
        return _known_output(output, info)


class Sketch(_Model):
    """A graph without data: it can be explained and checked, not trained."""

    name: Name
    """What the graph is called."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Decides the values that are drawn."""
    model: SketchModel
    """The equations and their inputs."""

    _document: Node | None = PrivateAttr(default=None)
    _text: str | None = PrivateAttr(default=None)
    _file: str | None = PrivateAttr(default=None)

    def problem_within(
        self, path: Path, text: str, at: int, width: int, message: str, hint: str | None = None
    ) -> Problem:
        """A problem with some characters of the `text` at `path`."""
        return _problem_within(self._document, path, text, (at, width), message, hint)


def _problem(
    document: Node | None, path: Path, message: str, hint: str | None, key: bool = False
) -> Problem:
    if document is None:
        return Problem(show_path(path), message, hint)
    return locate(document, path, key=key).problem(show_path(path), message, hint)


def _problem_within(
    document: Node | None, path: Path, text: str, where: tuple[int, int], message: str,
    hint: str | None,
) -> Problem:  # fmt: skip
    if document is None or where[0] < 0:
        return _problem(document, path, message, hint, key=where[0] < 0)
    mark = locate(document, path).within(text, *where)
    return mark.problem(show_path(path), message, hint)


def _known_output(output: str, info: ValidationInfo) -> str:
    equations = info.data.get("equations")
    if equations and output not in equations:
        raise wrong(f"there is no equation '{output}'", near(output, equations))
    return output


def _model_kind(value: Any) -> str:
    if isinstance(value, EquationsSpec):
        return "equations"
    return "equations" if isinstance(value, dict) and "equations" in value else "layers"


ModelSpec: TypeAlias = Annotated[
    Annotated[LayersSpec, Tag("layers")] | Annotated[EquationsSpec, Tag("equations")],
    Discriminator(_model_kind),
]

# Training, evaluation, tracking ----------------------------------------------------------------


class SGDSpec(_Model):
    """Stochastic gradient descent."""

    learning_rate: Annotated[float, Field(gt=0)]
    """Size of a step along the negative gradient."""
    momentum: Fraction = 0.0
    """How much of the last update is kept."""
    nesterov: bool = False
    """Look ahead along the momentum."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """L2 penalty on weights, not biases: adds weight_decay · W to the gradient."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the whole gradient; longer ones are scaled down."""
    batch_size: Annotated[
        Annotated[int, Field(ge=1)] | Literal["full"], BeforeValidator(_batch_size)
    ] = 32
    """Examples a step, or `full` for all training rows."""
    epochs: Annotated[int, Field(ge=1)]
    """Passes over the training rows."""

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise wrong("nesterov needs momentum", "set sgd.momentum, for example to 0.9")
        return nesterov


class EvaluationSpec(_Model):
    """How validation and test rows are evaluated."""

    batch_size: Annotated[int, Field(ge=1)] = 1024
    """Rows evaluated at a time; the last bits of a loss depend on it."""


class TrackingSpec(_Model):
    """Where MLflow records the run."""

    experiment: Name | None = None
    """The experiment; by default the spec's name."""
    uri: Name | None = None
    """MLflow's tracking store; by default a database in `runs/`."""


class Spec(_Model):
    """The validated content of one YAML file. It alone decides the numbers of a run.

    Made by `load_spec`; `Spec(**values)` validates too, with pydantic's own errors.
    """

    name: Name
    """What the run is called."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Decides every random number of the run."""
    data: DataSpec
    """The examples."""
    model: ModelSpec
    """The network and its loss."""
    sgd: SGDSpec
    """How it is trained."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How it is evaluated."""
    tracking: TrackingSpec = TrackingSpec()
    """Where the run is recorded."""

    _document: Node | None = PrivateAttr(default=None)
    _text: str | None = PrivateAttr(default=None)
    _file: str | None = PrivateAttr(default=None)

    def resolved(self) -> dict[str, Any]:
        """All values with every default filled in, as plain JSON values."""
        return self.model_dump(mode="json")

    @property
    def sha256(self) -> str:
        """The fingerprint: SHA-256 of the resolved spec as canonical JSON in UTF-8.

        Canonical: keys sorted, no spaces, floats in their shortest exact form.
        """
        text = json.dumps(
            self.resolved(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def text(self) -> str | None:
        """The YAML as it was written, where the spec came from a file."""
        return self._text

    @property
    def file(self) -> str | None:
        """The path of the YAML file as it was given to `load_spec`."""
        return self._file

    def problem(
        self, path: Path, message: str, hint: str | None = None, *, key: bool = False
    ) -> Problem:
        """A problem with the value at `path`, located in the file that the spec came from."""
        return _problem(self._document, path, message, hint, key)

    def problem_within(
        self, path: Path, text: str, at: int, width: int, message: str, hint: str | None = None
    ) -> Problem:
        """A problem with some characters of the `text` at `path`."""
        return _problem_within(self._document, path, text, (at, width), message, hint)
