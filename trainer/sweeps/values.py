"""What stands in a space: the bounds of numbers, and lists of values."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from trainer.spec.document import show_text
from trainer.spec.fields import wrong
from trainer.spec.messages import describe

LARGEST: Final = 1e30
LARGEST_INTEGER: Final = 10**12
MOST_STEPS: Final = 10**6


# Bounds -----------------------------------------------------------------------------------------


def _two(value: Any, *, whole: bool = False, above: float | None = None) -> tuple[Any, Any]:
    """The bounds [lowest, highest] of a dimension: whole numbers, or floats; `above` a number."""
    numbers = "two whole numbers" if whole else "two numbers"
    if not isinstance(value, list | tuple) or len(value) != 2:
        found = f"a list of {len(value)}" if isinstance(value, list) and value else describe(value)
        raise wrong(f"expected {numbers}, [lowest, highest], found {found}", code="TR-W002")
    low, high = (_bound(each, i, whole, above) for i, each in enumerate(value))
    if not low < high:
        shown = number(low), number(high)
        hint = (
            f"write [{shown[1]}, {shown[0]}]" if low > high else f"write {{values: [{shown[0]}]}}"
        )
        raise wrong(
            f"the lowest, {shown[0]}, is not below the highest, {shown[1]}", hint, code="TR-W002"
        )
    return low, high


def number(x: float) -> str:
    """A number as people write it."""
    return str(x) if isinstance(x, int) or float(f"{x:g}") != x else f"{x:g}"


def _bound(value: Any, place: int, whole: bool, above: float | None) -> float | int:
    kind, size = ("whole number", LARGEST_INTEGER) if whole else ("number", LARGEST)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        wrote = isinstance(value, float) and value.is_integer() and abs(value) < size
        raise wrong(f"expected a {kind}, found {describe(value)}",
                    f"write {value:.0f}" if wrote else None, (place,), code="TR-W002")  # fmt: skip
    if not abs(value) <= size:
        raise wrong(
            f"expected a {kind} of at most {size:g}, found {describe(value)}",
            at=(place,),
            code="TR-W002",
        )
    if above is not None and not value > above:
        hint = "a logarithm is of numbers above 0; write {uniform: …} for a range with 0"
        raise wrong(f"expected a {kind} above {above:g}, found {describe(value)}",
                    hint, (place,), code="TR-W002")  # fmt: skip
    return value if whole else float(value)


def _schema(kind: str, **bounds: float) -> WithJsonSchema:
    item = {"type": kind, **bounds}
    return WithJsonSchema({"type": "array", "items": item, "minItems": 2, "maxItems": 2})


Floats: TypeAlias = Annotated[
    tuple[float, float], BeforeValidator(lambda value: _two(value)), _schema("number")
]
Positives: TypeAlias = Annotated[
    tuple[float, float],
    BeforeValidator(lambda value: _two(value, above=0)),
    _schema("number", exclusiveMinimum=0),
]
Integers: TypeAlias = Annotated[
    tuple[int, int],
    BeforeValidator(lambda value: _two(value, whole=True)),
    _schema("integer", minimum=-LARGEST_INTEGER, maximum=LARGEST_INTEGER),
]
Steps: TypeAlias = Annotated[int, Field(ge=2, le=MOST_STEPS)]


def _values(value: Any) -> tuple[Any, ...]:
    """One value or more, which differ."""
    if not isinstance(value, list | tuple):
        hint = None if isinstance(value, dict) else f"write [{value}]"
        raise wrong(f"expected a list of values, found {describe(value)}", hint, code="TR-W002")
    if not value:
        raise wrong("expected a list of at least 1 value, found an empty list", code="TR-W002")
    seen: set[str] = set()
    for i, each in enumerate(value):
        if (form := _form(each)) in seen:
            raise wrong(
                f"{_shown(each)} stands here a second time", "leave it out", (i,), code="TR-S018"
            )
        seen.add(form)
    return tuple(value)


def show_value(value: Any) -> str:
    """A value of a spec in a line, as people write it."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(value)
    return show_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def same(a: Any, b: Any) -> bool:
    """Whether two values of a spec are one: 1 and 1.0 are, 1 and true are not."""
    return _form(a) == _form(b)


def _form(value: Any) -> str:
    """A text that two values share which are one."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return json.dumps(plain(value), sort_keys=True, default=str)


def _shown(value: Any) -> str:
    return describe(value) if isinstance(value, list | dict) else f"'{value}'"


Values: TypeAlias = Annotated[
    tuple[Any, ...],
    BeforeValidator(_values),
    WithJsonSchema({"type": "array", "minItems": 1}),
]
