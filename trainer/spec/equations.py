"""Models as equations."""

from __future__ import annotations

import keyword
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from trainer.graph.initialisers import INITIALISERS
from trainer.spec.fields import (
    TEXTS,
    NestedNumbers,
    Numbers,
    OneOf,
    Strict,
    Word,
    one_or_more,
    shape_of,
    wrong,
)
from trainer.spec.layers import RESERVED_NAMES, LossSpec
from trainer.spec.messages import describe, near


def _unreserved(name: str) -> str:
    if name in RESERVED_NAMES - {"x"}:
        raise wrong(
            f"the name '{name}' is taken by a node of the graph",
            "choose another name",
            code="TR-S021",
        )
    if keyword.iskeyword(name):  # Python's parser reads the equations
        raise wrong(
            f"the name '{name}' cannot stand in an equation", f"write {name}_", code="TR-S016"
        )
    return name


def _known_output(output: str, info: ValidationInfo) -> str:
    equations = info.data.get("equations")
    if equations and output not in equations:
        raise wrong(f"there is no equation '{output}'", near(output, equations), code="TR-G004")
    return output


Identifier: TypeAlias = Annotated[Word, AfterValidator(_unreserved)]
Output: TypeAlias = Annotated[str, AfterValidator(_known_output)]
Dimension: TypeAlias = Annotated[int, Field(ge=1)]


class ParameterSpec(Strict):
    """A trainable array: its shape and how it is drawn, or its values."""

    shape: Annotated[tuple[Dimension, ...], Field(strict=False, max_length=2)] | None = None
    """`[]` for a number, `[n]` for a vector, `[m, n]` for a matrix."""
    values: Annotated[Numbers | None, Field(validate_default=True)] = None
    """The first values instead: a number, a list of numbers, or a list of rows."""
    init: Annotated[str, OneOf("an initialiser", tuple(INITIALISERS))] = "glorot_uniform"
    """How it is drawn; a matrix has as many inputs as rows."""
    decay: bool = Field(default_factory=lambda data: data.get("init") != "zeros")
    """Whether weight_decay pulls it towards 0; by default unless it starts there."""

    @field_validator("values")
    @classmethod
    def _one_of_both(
        cls, values: NestedNumbers | None, info: ValidationInfo
    ) -> NestedNumbers | None:
        if "shape" not in info.data:  # it is wrong, and told
            return values
        shape = info.data["shape"]
        if (values is None) == (shape is None):
            raise wrong(
                "expected either a shape or values", "for example {shape: [3, 2]}", code="TR-S019"
            )
        return values

    @property
    def dims(self) -> tuple[int, ...]:
        """Its shape."""
        return shape_of(self.values) if self.values is not None else self.shape or ()


def _taken(value: Any) -> int | str | tuple[str, ...]:
    """A number of columns, or the names of features."""
    if isinstance(value, str | list | tuple):
        return one_or_more(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PydanticCustomError(
            "expected", "a whole number of at least 1, or the names of features"
        )
    return value


Taken: TypeAlias = Annotated[
    int | str | tuple[str, ...],
    BeforeValidator(_taken),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, *TEXTS["anyOf"]]}),
]


class _Equations(Strict):
    inputs: Annotated[dict[Identifier, Taken], Field(min_length=1)]
    """The features: `{x: 3}` for the vector of all 3 columns. Or some of them by name, of one
    column each: `{place: [lon, lat], age: age}` for a vector of 2 and a number."""
    parameters: dict[Identifier, ParameterSpec] = Field(default_factory=dict)
    """What is trained."""
    equations: Annotated[dict[Identifier, str], Field(min_length=1)]
    """Each names a value: `h: sigmoid(W @ x + b)`."""
    output: Output
    """The equation that predicts."""

    @field_validator("inputs")
    @classmethod
    def _x_is_all(cls, inputs: dict[str, Taken]) -> dict[str, Taken]:
        for name, value in inputs.items():
            if name == "x" and not isinstance(value, int):
                raise wrong(
                    f"x is the vector of all columns, found {describe(value)}",
                    "write how many: `x: 3`; or choose another name",
                    (name,),
                    code="TR-G014",
                )
            if name != "x" and isinstance(value, int):
                hint = f"the vector of all columns is called x: `x: {value}`"
                raise wrong(
                    f"expected the names of features, found {describe(value)}",
                    hint,
                    (name,),
                    code="TR-S013",
                )
        return inputs


class EquationsSpec(LossSpec, _Equations):  # in this order the equations' keys come first
    """A network as equations for one example, and its loss. An outermost sigmoid or softmax of the
    output and the loss `logistic` are one.
    """

    depends_on_mode: ClassVar[bool] = False
    """Training and evaluation compute the same."""

    @property
    def units(self) -> int:
        """The number of outputs. Raises `EquationError`."""
        from trainer.spec.lifting import lift_model

        lifted, _ = lift_model(self)
        return lifted.dims[0] if lifted.dims else 1


class SketchModel(Strict):
    """A graph of equations on given numbers."""

    inputs: Annotated[dict[Word, Numbers], Field(min_length=1)]
    """Numbers, lists of numbers or lists of rows: `{a: 2.0, b: 1.0}`."""
    parameters: dict[Word, ParameterSpec] = Field(default_factory=dict)
    """Further values, drawn or given."""
    equations: Annotated[dict[Word, str], Field(min_length=1)]
    """Each names a value: `c: a + b`."""
    output: Output
    """The equation whose gradient is asked for; a number."""
    dtype: Literal["float32", "float64"] = "float64"
    """Type of all values."""
