"""A run in the words of MLflow: the names and values of its parameters."""

from __future__ import annotations

import json
from typing import Any, Final

MAX_VALUE: Final = 500  # characters of a parameter; MLflow's tables show fewer


def flatten(value: Any, path: str = "") -> dict[str, str]:
    """Nested values as MLflow parameters, one a leaf: `model/layers/0/units`.

    A list of plain values is one leaf, and so are inline rows; long values are shortened.
    """
    if isinstance(value, dict):
        items = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        items = [(str(i), child) for i, child in enumerate(value)]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > MAX_VALUE:
            text = f"{text[: MAX_VALUE - 30]}… ({len(text)} characters)"
        return {path: text}
    flat: dict[str, str] = {}
    for key, child in items:
        flat |= flatten(child, f"{path}/{key}" if path else key)
    return flat
