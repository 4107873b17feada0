"""Two trees as one: what a spec says, and below it what it builds on."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from trainer.spec.document import Map, Node, Scalar
from trainer.spec.tagged import by_tag

TYPE: Final = "type"
"""The key by which mappings of several kinds are told apart, where that is no key of one kind."""


def merged(own: Map, base: Map, kind: Any) -> Map:
    """The tree of both, each value with its place. `kind` is the model that it is of, or a union.

    A mapping has the keys of both, those of `base` first; a list or a single value is `own`'s, and
    so is a mapping of another kind than that of `base`. A key with null in `own` takes that of
    `base` away.
    """
    entries = dict(base.entries)
    for key, (mark, node) in own.entries.items():
        if key not in base.entries:
            entries[key] = (mark, node)
        elif isinstance(node, Scalar) and node.value is None:
            del entries[key]
        else:
            entries[key] = (mark, _of_both(node, base.entries[key][1], _at(kind, key)))
    return Map(own.mark, entries)


def _of_both(own: Node, base: Node, kind: Any) -> Node:
    base = _spelled_out(base, kind)
    if isinstance(own, Map) and isinstance(base, Map) and not _differ(own, base, kind):
        return merged(own, base, kind)
    return own


def _differ(own: Map, base: Map, kind: Any) -> bool:
    """Whether the mappings are of two kinds: by their types, or by a key that only another kind
    than that of `base` has.
    """
    if any(TYPE in fields_of(model) for model in models_at(kind)):
        types = {_text(own.entries.get(TYPE)), _text(base.entries.get(TYPE))}
        return len(types - {None}) == 2
    kinds = by_tag(kind)
    known = next((fields_of(kinds[tag]) for tag in kinds if tag in base.entries), None)
    return known is not None and bool(own.entries.keys() & kinds.keys() - known.keys())


def _text(entry: tuple[Any, Node] | None) -> str | None:
    value = entry[1].value if entry and isinstance(entry[1], Scalar) else None
    return value if isinstance(value, str) else None


def _spelled_out(node: Node, kind: Any) -> Node:
    """The name of a type alone, as `schedule: cosine`, in the form in which it may say more."""
    typed = {tag for tag, model in by_tag(kind).items() if TYPE in fields_of(model)}
    if isinstance(node, Scalar) and node.value in typed:
        return Map(node.mark, {TYPE: (node.mark, node)})
    return node


# The models at a place --------------------------------------------------------------------------


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """The annotations of a model's fields by the keys of a spec."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def models_at(kind: Any) -> Iterator[type[BaseModel]]:
    """The models of which one is a mapping of this annotation."""
    return (
        each for each in _members(kind) if isinstance(each, type) and issubclass(each, BaseModel)
    )


def _members(kind: Any) -> Iterator[Any]:
    """What the annotation is, without its remarks; each of a union."""
    if get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _members(each)
    elif kind is not NoneType:
        yield kind


def _at(kind: Any, key: str) -> Any:
    """The annotation of the value of a key; None where none is known."""
    for each in _members(kind):
        if get_origin(each) is dict:  # of names that the user chose
            return get_args(each)[1]
    found = (fields_of(model).get(key) for model in models_at(kind))
    return next(filter(None, found), None)
