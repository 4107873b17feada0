"""Which columns and rows of the data take part: `features` and `drop_rows`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, WithJsonSchema

from trainer.spec.document import Path, show_text
from trainer.spec.fields import TEXTS, ColumnNames, Strict, as_tuple, column_names, wrong
from trainer.spec.messages import describe, near

Part: TypeAlias = Literal["except", "also"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)


def _features(value: Any) -> tuple[str, ...] | dict[Part, str | tuple[str, ...]]:
    """A list of columns; or which are left out, and which are taken too."""
    if isinstance(value, dict) and value:
        found: dict[Part, str | tuple[str, ...]] = {}
        for key, names in value.items():
            part = next((part for part in PARTS if part == key), None)
            if part is None:
                advice = near(key, PARTS) or "the keys here are except, also"
                raise wrong("unknown key", advice, (key,), key=True, code="TR-S011")
            found[part] = column_names(names, (part,))
        for at, name in listed(found, "also"):
            if name in as_tuple(found.get("except", ())):
                raise wrong(f"'{name}' is left out and taken too", at=at, code="TR-S019")
        return found
    if not isinstance(value, list | tuple):
        hint = f"write [{show_text(value)}]" if isinstance(value, str) else None
        raise wrong(f"expected a list, found {describe(value)}", hint, code="TR-S013")
    if not value:
        raise wrong("expected a list of at least 1 item, found an empty list", code="TR-S017")
    return as_tuple(column_names(value, ()))


Features: TypeAlias = Annotated[
    tuple[str, ...] | dict[Part, str | tuple[str, ...]],
    BeforeValidator(_features),
    WithJsonSchema({"anyOf": [
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        {"type": "object", "properties": dict.fromkeys(PARTS, TEXTS), "minProperties": 1,
         "additionalProperties": False},
    ]}),
]  # fmt: skip


def named(features: Features | None) -> list[tuple[Path, str]]:
    """The features that are named, each with its place below the field."""
    if isinstance(features, dict):
        return listed(features, "also")
    return [((i,), name) for i, name in enumerate(features or ())]


def listed(features: Features | None, part: Part) -> list[tuple[Path, str]]:
    """The columns that are left out, or taken too, each with its place below the field."""
    names = features.get(part, ()) if isinstance(features, dict) else ()
    if isinstance(names, str):
        return [((part,), names)]
    return [((part, i), name) for i, name in enumerate(names)]


class DropSpec(Strict):
    """Rows that take no part in training and in measuring."""

    missing: ColumnNames
    """The columns in which a row must have a value: `target` (all targets), `features` (all of
    them), or names of columns; one, or a list."""
