"""Models of which one stands in a place, such as the layers.

Each is one class, and one name in a union: `Annotated[A | B, by_type(…)]`. Their tags, what is said
where none of them fits, and the JSON Schema come from the union.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin

from pydantic import Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import core_schema

from trainer.spec.fields import Strict

OTHER: Final = "other"
"""The tag of a member of a union that is no such model: it stands for all that is no mapping."""
NONE: Final = "none"
"""The tag of what no member fits."""


class Tagged(Strict):
    """One of several models. Its tag is the value of its key `type`, or else its first key."""

    @classmethod
    def tag(cls) -> str:
        """What tells it from the others."""
        field = cls.model_fields.get("type")
        return str(get_args(field.annotation)[0]) if field else next(iter(cls.model_fields))


Models: TypeAlias = Mapping[str, type[Tagged]]


def models_of(union: Any) -> Models:
    """The tagged models in a union, by their tags."""
    while get_origin(union) is Annotated:
        union = get_args(union)[0]
    members = [member for member in get_args(union) if isinstance(member, type)]
    return {member.tag(): member for member in members if issubclass(member, Tagged)}


@cache
def by_tag(union: Any) -> Mapping[str, Any]:
    """The models in a union by the tags that pydantic knows them by."""
    while get_origin(union) is Annotated:
        union = get_args(union)[0]
    marked = {
        str(mark.tag): member
        for member in get_args(union)
        for mark in getattr(member, "__metadata__", ())
        if isinstance(mark, Tag)
    }
    return {**marked, **models_of(union)}


@dataclass(frozen=True)
class _Choice:
    """An annotation of a union: how its models are told apart, and what is said of other values."""

    error: str
    what: Callable[[Models], str]
    choose: Callable[[Any, Models], str]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        models = models_of(source)
        tags = {model: tag for tag, model in models.items()}
        members = [Annotated[member, Tag(tags.get(member, OTHER))] for member in get_args(source)]
        context: dict[str, Any] = {"what": self.what(models), "names": tuple(models)}
        how = Discriminator(
            lambda value: self.choose(value, models),
            custom_error_type=self.error,
            custom_error_message="{what}",
            custom_error_context=context,
        )
        return handler(Annotated[reduce(or_, members), how])


def by_type(what: str, default: type[Tagged]) -> _Choice:
    """Models that are told apart by their key `type`. A mapping without one is of the model
    `default`, if it has a key that this needs, or no key that only others have.
    """

    def choose(value: Any, models: Models) -> str:
        if not isinstance(value, dict):
            return str(getattr(value, "type", default.tag()))
        if "type" in value:
            return value["type"] if isinstance(value["type"], str) else NONE
        fields = default.model_fields
        needed = any(name in value and field.is_required() for name, field in fields.items())
        others = {key for model in models.values() for key in model.model_fields} - fields.keys()
        return default.tag() if needed or not others & value.keys() else NONE

    return _Choice("by_type", lambda _: what, choose)


def by_key(what: str = "") -> _Choice:
    """Models that are told apart by which of their first keys is there; `what` else can stand there
    is no mapping.
    """

    def expected(models: Models) -> str:
        forms = f"one of {', '.join(f'{{{tag}: …}}' for tag in models)}"
        return f"{what}, or {forms}" if what else forms

    def choose(value: Any, models: Models) -> str:
        if isinstance(value, dict):
            return next((tag for tag in models if tag in value), NONE)
        return value.tag() if isinstance(value, Tagged) else OTHER

    return _Choice("by_key", expected, choose)
