"""A resolved spec as YAML that the loader reads back to the same values."""

from __future__ import annotations

from typing import Any

import yaml

from trainer.spec.document import means_text


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # as YAML was built
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> yaml.ScalarNode:
    style = None if means_text(value) and value.isprintable() else '"'
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)
    return node


_Dumper.add_representer(str, _text)


def to_yaml(resolved: dict[str, Any]) -> str:
    """YAML of plain values, keys in their order, texts in quotes where they would read as else."""
    return yaml.dump(resolved, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
