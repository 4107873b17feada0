"""JSON that names its own hash, so that damage shows before anything of it is used.

Its key `sha256` is that of the rest: JSON with sorted keys, as Python's `json.dumps` writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def sealed(content: Mapping[str, Any], indent: int | None = None) -> bytes:
    """The content and its hash."""
    whole = {**content, "sha256": _hash(content)}
    return json.dumps(whole, indent=indent).encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """What was sealed. Raises `ValueError` where it was changed."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    said = content.pop("sha256", None)
    if said is None:
        raise ValueError("it does not name its hash, as another version's would not")
    if said != _hash(content):
        raise ValueError("its JSON was changed")
    return content


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
