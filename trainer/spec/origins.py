"""Where each value of a spec was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.errors import visible
from trainer.spec.changes import OPTION
from trainer.spec.document import List, Map, Mark, Node, Path, Scalar, plain
from trainer.spec.emit import to_yaml


def places_of(values: Mapping[str, Any], root: Map) -> dict[Path, Mark]:
    """Where values of a resolved spec were said, whose tree is `root`: those of a list or mapping
    that is from one place at its own path, and none for defaults.
    """
    return dict(_places(values, root, root.mark, ()))


def _places(value: Any, node: Node, mark: Mark, path: Path) -> Iterator[tuple[Path, Mark]]:
    below: Iterator[tuple[str | int, Mark, Node]] = iter(())
    if isinstance(node, Map) and isinstance(value, Mapping):
        below = ((key, *entry) for key, entry in node.entries.items() if key in value)
    elif isinstance(node, List) and isinstance(value, list) and len({*_sources(node)}) > 1:
        below = ((i, item.mark, item) for i, item in enumerate(node.items))
    else:
        yield path, node.mark if isinstance(node, Scalar) and node.mark.width else mark
    for key, key_mark, child in below:
        yield from _places(value[key], child, key_mark, (*path, key))


def _sources(node: Node) -> Iterator[str]:
    yield node.mark.source.file
    below = node.items if isinstance(node, List) else ()
    for child in (child for _, child in node.entries.values()) if isinstance(node, Map) else below:
        yield from _sources(child)


def shown(mark: Mark) -> str:
    """A place in a few words: `base.yaml:7`; of a value that was set, the option."""
    if mark.source.file.startswith(f"{OPTION} "):
        return OPTION
    return visible(":".join(filter(None, (mark.source.file, str(mark.line or "")))), keep="")


def with_places(
    root: Map, values: Mapping[str, Any] | None = None, without: str | None = None
) -> str:
    """The YAML of a tree, or of its values with all defaults, each with its place as a comment but
    those from the file `without`.
    """
    written = plain(root) if values is None else values
    assert isinstance(written, Mapping)
    places = places_of(written, root)
    return to_yaml(
        dict(written),
        {path: shown(mark) for path, mark in places.items() if mark.source.file != without},
    )
