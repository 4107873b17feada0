"""What the models of the spec are made of: the strict base, and kinds of values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from trainer.spec.described import described
from trainer.spec.document import Path
from trainer.spec.messages import describe, near_or_all
from trainer.spec.names import clean_names

T = TypeVar("T", bound=str)


class Strict(BaseModel):
    """A part of the spec: unknown keys, other types and numbers that are not finite are errors."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """With what is said of each key. Pydantic would look for the texts below them when it makes
        the class, which costs every command a twentieth of a second.
        """
        found = handler(schema)
        properties = handler.resolve_ref_schema(found).get("properties", {})
        for name, said in described(cls).items():
            key = cls.model_fields[name].alias or name if name in cls.model_fields else name
            if key in properties:
                properties[key].update({**said, **properties[key]})
        return found


def wrong(
    message: str,
    hint: str | None = None,
    at: Path = (),
    *,
    key: bool = False,
    code: str | None,
) -> PydanticCustomError:
    """The error of a check between fields; `at` is a path below the field that is checked, and
    with `key` the key there is at fault rather than its value.
    """
    context: dict[str, Any] = {"message": message, "hint": hint, "at": at, "key": key, "code": code}
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


def choose(value: Any, what: str, names: tuple[T, ...], at: Path = (), other: str = "") -> T:
    """The value, if it is one of the names; else the error that says so, and what `other` can
    stand there.
    """
    for name in names:
        if name == value:
            return name
    hint = near_or_all(value, (*names, other) if other else names)
    raise wrong(f"expected {what}, found {describe(value)}", hint, at, code="TR-S015")


def one_or_more(value: Any) -> str | tuple[str, ...]:
    """A text, or a list of texts that differ, as a tuple."""
    return texts(value, ())


def one_or_more_columns(value: Any) -> str | tuple[str, ...]:
    """The name of a column, or a list of names that differ, as a tuple."""
    return column_names(value, ())


def texts(value: Any, base: Path) -> str | tuple[str, ...]:
    """A text, or a list of texts that differ, as a tuple; `base` is where it stands below the
    field.
    """
    return _texts(value, base, 1000, ", none of them control characters", lambda t: min(t) >= " ")


def column_names(value: Any, base: Path) -> str | tuple[str, ...]:
    """The same of names of columns, in their one form; they may hold line breaks."""
    return _texts(clean_names(value), base, LONGEST_COLUMN, "", lambda _: True)


def _texts(
    value: Any, base: Path, longest: int, more: str, fits: Callable[[str], bool]
) -> str | tuple[str, ...]:
    """Texts of up to so many characters; `more` says what else makes them fit."""
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise wrong(
            "expected a text or a list of texts, found an empty list", at=base, code="TR-S017"
        )
    for i, item in enumerate(items):
        at = (*base, i) if isinstance(value, list | tuple) else base
        if not isinstance(item, str):
            number = isinstance(item, bool | int | float)
            hint = "put it in quotes if it is meant as a text" if number else None
            raise wrong(f"expected a text, found {describe(item)}", hint, at, code="TR-S013")
        if not item or len(item) > longest or not fits(item):
            raise wrong(
                f"expected a text of 1 to {longest} characters{more}", at=at, code="TR-S016"
            )
        if item in items[:i]:
            raise wrong(f"'{item}' is named twice", at=at, code="TR-S018")
    return value if isinstance(value, str) else tuple(value)


def as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """The texts of a field that takes one or several."""
    return (value,) if isinstance(value, str) else value


_TEXT = {"type": "string", "minLength": 1}
TEXTS: dict[str, Any] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
"""The JSON Schema of one text or several."""

Fraction: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
LONGEST_COLUMN: Final = 10_000
ColumnName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=LONGEST_COLUMN), BeforeValidator(clean_names)
]
"""What a header may hold, line breaks too, in its one form."""
Word: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=60)]
Names: TypeAlias = Annotated[
    str | tuple[str, ...], BeforeValidator(one_or_more), WithJsonSchema(TEXTS)
]
"""A text, or a list of texts that differ."""
ColumnNames: TypeAlias = Annotated[
    str | tuple[str, ...], BeforeValidator(one_or_more_columns), WithJsonSchema(TEXTS)
]
"""The name of a column, or a list of names that differ."""
Row: TypeAlias = Annotated[tuple[float, ...], Field(strict=False)]


def given_numbers(value: Any, at: Path = ()) -> NestedNumbers:
    """A number, a list of numbers, or a list of rows of one length; as tuples of floats. `at` is
    where they stand below the field.
    """
    found: NestedNumbers = _numbers(value, (), at)
    return found


def _numbers(value: Any, at: Path, base: Path) -> Any:
    """The same for what stands at the place `at` of the whole, which stands at `base`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise wrong(
                f"expected a finite number, found {describe(value)}",
                at=(*base, *at),
                code="TR-S014",
            )
        return float(value)
    if not isinstance(value, list | tuple) or not value:
        wanted = "a number" if at else "a number, a list of numbers or a list of rows"
        raise wrong(f"expected {wanted}, found {describe(value)}", at=(*base, *at), code="TR-S013")
    items = tuple(_numbers(item, (*at, i), base) for i, item in enumerate(value))
    shapes = {shape_of(item) for item in items}
    if len(shapes) > 1 or len(next(iter(shapes))) > 1:
        raise wrong(
            "expected a list of numbers, or a list of rows of one length", at=base, code="TR-S013"
        )
    return items


def shape_of(values: NestedNumbers) -> tuple[int, ...]:
    """The shape of nested tuples of numbers."""
    return (len(values), *shape_of(values[0])) if isinstance(values, tuple) else ()


NestedNumbers: TypeAlias = float | tuple[float, ...] | tuple[tuple[float, ...], ...]
Numbers: TypeAlias = Annotated[
    NestedNumbers,
    BeforeValidator(given_numbers),
    WithJsonSchema({"type": ["number", "array"]}),
]
"""A number, a list of numbers, or a list of rows of one length."""
