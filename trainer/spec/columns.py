"""What the spec says of columns: what they are, what fills them, how they are scaled."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from trainer.spec.fields import (
    Strict,
    choose,
    wrong,
)
from trainer.spec.messages import describe
from trainer.spec.writing import DateFormat, Decimal, Thousands, Unit, apart

Fill: TypeAlias = Literal["error", "mean", "median", "most_frequent"]
Step: TypeAlias = Literal["log1p", "quantile", "standard", "minmax", "robust"]
FILLS: Final[tuple[Fill, ...]] = get_args(Fill)
CURVES: Final = ("log1p", "quantile")
STEPS: Final[tuple[Step, ...]] = get_args(Step)


def _missing(value: Any) -> Fill | dict[Literal["constant"], float | str]:
    if isinstance(value, dict) and set(value) == {"constant"}:
        constant = value["constant"]
        number = isinstance(constant, int | float) and not isinstance(constant, bool)
        if isinstance(constant, str) or (number and math.isfinite(constant)):
            return {"constant": constant}
        raise wrong(
            f"expected a number or a text, found {describe(constant)}",
            at=("constant",),
            code="TR-S013",
        )
    return choose(value, "a way to treat missing values", FILLS, other="{constant: …}")


def _scale(value: Any) -> tuple[Step, ...]:
    """One scale, or a curve and a range; as a tuple, which is empty for none."""
    if value == "none" or value == () or value == []:
        return ()
    steps = value if isinstance(value, list | tuple) else [value]
    for i, step in enumerate(steps):
        at = (i,) if isinstance(value, list | tuple) else ()
        choose(step, "a scale", ("none", *STEPS), at)
        if step == "none":
            raise wrong(
                "'none' stands alone", "leave the others out, or this one", at, code="TR-S019"
            )
    kinds = [step in CURVES for step in steps]
    if len(steps) > 2 or (len(steps) == 2 and kinds != [True, False]):
        raise wrong("expected one scale, or first log1p or quantile and then another",
                    "for example [log1p, standard]", code="TR-S019")  # fmt: skip
    return tuple(steps)


Missing: TypeAlias = Annotated[
    Fill | dict[Literal["constant"], int | float | str],
    BeforeValidator(_missing),
    WithJsonSchema({"anyOf": [
        {"type": "string", "enum": list(FILLS)},
        {"type": "object", "properties": {"constant": {"type": ["number", "string"]}},
         "required": ["constant"], "additionalProperties": False},
    ]}),
]  # fmt: skip
Scale: TypeAlias = Annotated[
    tuple[Step, ...],
    BeforeValidator(_scale),
    WithJsonSchema({"anyOf": [
        {"type": "string", "enum": ["none", *STEPS]},
        {"type": "array", "items": {"type": "string", "enum": list(STEPS)}, "maxItems": 2},
    ]}),
]  # fmt: skip

Kind: TypeAlias = Literal["numeric", "categorical", "boolean", "ordinal", "date"]
DatePart: TypeAlias = Literal[
    "year", "month", "day", "weekday", "yearday", "hour", "minute", "days"
]


class ColumnSpec(Strict):
    """What a feature is, and how it becomes numbers. What is left out is found in the data."""

    type: Kind | None = None
    """`numeric`, `categorical` (one of some texts), `boolean`, `ordinal` (categories in an order)
    or `date`; by default what its cells look like."""
    missing: Missing | None = None
    """What stands for missing values: `mean`, `median`, `most_frequent` (of the training rows),
    `{constant: …}`, or `error`; by default `data.missing`."""
    indicator: bool = False
    """Whether a further column tells where a value was missing."""
    scale: Scale | None = None
    """How a number is scaled: `none`, `standard`, `minmax`, `robust`, `log1p`, `quantile`, or
    `[log1p, standard]` and the like; by default `data.scale`."""
    encode: Literal["one_hot", "embedding"] = "one_hot"
    """How categories become numbers: a column for each, or a trained vector for each."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """The length of an embedding's vectors; by default half the categories, at most 50."""
    order: Annotated[tuple[Any, ...], Field(strict=False, min_length=2)] | None = None
    """The labels of an ordinal column, the least first."""
    parts: Annotated[tuple[DatePart, ...], Field(strict=False, min_length=1)] | None = None
    """What is taken of a date; by default `year`, `month`, `day` and `weekday` (0 is Monday).
    `days` counts from 1970-01-01."""
    unknown: Literal["zeros", "error"] = "zeros"
    """What a category becomes that no training row has."""
    max_categories: Annotated[int, Field(ge=2)] | None = None
    """The most categories of the column: the rarest of the training rows become one, `other`, which
    counts; so does then every category that no training row has. By default
    `data.max_categories`."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """The fewest training rows of a category that stays alone: the others become one, as with
    `max_categories`. By default `data.min_count`."""
    decimal: Decimal | None = None
    """The decimal sign of the column's numbers, where it is not that of the source. It may be said
    of every column, also of the target; so may `thousands`, `unit` and `format`."""
    thousands: Thousands | None = None
    """The sign between the thousands of the column's numbers."""
    unit: Unit | None = None
    """What stands before or behind the column's numbers: `$`, `%`, `kg`."""
    format: DateFormat | None = None
    """How the column's dates are written: `day/month/year` and the like, with `/`, `.`, `-` or a
    blank, `yy` for a year of two digits; or `yearmonthday`. By default it is found."""

    @field_validator("thousands")
    @classmethod
    def _signs_differ(cls, thousands: str | None, info: ValidationInfo) -> str | None:
        return apart(thousands, info.data.get("decimal"))

    @field_validator("decimal", "thousands", "unit")
    @classmethod
    def _is_numeric(cls, sign: str | None, info: ValidationInfo) -> str | None:
        if sign is not None and info.data.get("type") not in (None, "numeric"):
            raise wrong(
                f"{info.field_name} belongs to a numeric column",
                "write type: numeric",
                code="TR-S020",
            )
        return sign

    @field_validator("format")
    @classmethod
    def _is_of_dates(cls, form: str | None, info: ValidationInfo) -> str | None:
        if form is not None and info.data.get("type") not in (None, "date"):
            raise wrong("a format belongs to a date", "write type: date", code="TR-S020")
        return form

    @field_validator("encode")
    @classmethod
    def _has_categories(cls, encode: str, info: ValidationInfo) -> str:
        if encode == "embedding" and info.data.get("type") not in (None, "categorical", "ordinal"):
            raise wrong(f"a column of the type '{info.data['type']}' has no categories to embed",
                        "leave encode out, or write type: categorical", code="TR-S020")  # fmt: skip
        return encode

    @field_validator("dimensions")
    @classmethod
    def _is_embedded(cls, dimensions: int | None, info: ValidationInfo) -> int | None:
        if dimensions is not None and info.data.get("encode") == "one_hot":
            raise wrong(
                "dimensions belong to an embedding",
                "write encode: embedding, or leave it out",
                code="TR-S020",
            )
        return dimensions

    @field_validator("order")
    @classmethod
    def _is_ordinal(
        cls, order: tuple[Any, ...] | None, info: ValidationInfo
    ) -> tuple[Any, ...] | None:
        if order is None:
            return order
        if info.data.get("type") not in (None, "ordinal"):
            raise wrong(
                "an order belongs to an ordinal column", "write type: ordinal", code="TR-S020"
            )
        for i, label in enumerate(order):
            if isinstance(label, bool) or not isinstance(label, str | int | float):
                raise wrong(
                    f"expected a text or a number, found {describe(label)}", at=(i,), code="TR-S013"
                )
            if str(label) in map(str, order[:i]):
                raise wrong(f"{label!r} stands twice", at=(i,), code="TR-S018")
        return order

    @field_validator("parts")
    @classmethod
    def _is_date(
        cls, parts: tuple[DatePart, ...] | None, info: ValidationInfo
    ) -> tuple[DatePart, ...] | None:
        if parts is None:
            return parts
        if info.data.get("type") not in (None, "date"):
            raise wrong("parts belong to a date", "write type: date", code="TR-S020")
        if info.data.get("order") is not None:
            raise wrong(
                "an ordinal column has no parts", "leave order or parts out", code="TR-S020"
            )
        for i, part in enumerate(parts):
            if part in parts[:i]:
                raise wrong(f"'{part}' is named twice", at=(i,), code="TR-S018")
        return parts

    @field_validator("max_categories", "min_count")
    @classmethod
    def _none_is_unknown(cls, limit: int | None, info: ValidationInfo) -> int | None:
        if limit is not None and info.data.get("unknown") == "error":
            raise wrong("where rare categories become one, unknown ones are in it and no error",
                        "leave it out, or unknown", code="TR-S020")  # fmt: skip
        return limit

    @property
    def kind(self) -> Kind | None:
        """The declared type; an order, parts, a format, or signs of numbers declare it too."""
        if self.type is not None:
            return self.type
        if self.order is not None:
            return "ordinal"
        if self.parts is not None or self.format is not None:
            return "date"
        return "numeric" if self.decimal or self.thousands or self.unit else None
