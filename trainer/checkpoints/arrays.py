"""Arrays that are read from files: numbers of a network, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.numpy import load

from trainer.checkpoints.disk import damaged
from trainer.graph.ops import Array

DTYPES: Final = ("float32", "float64")


def read_arrays(path: Path, data: bytes) -> dict[str, Array]:
    """The arrays in the bytes of a safetensors file, by name. Raises `CheckpointError` where it is
    none, or holds others than of the dtypes of networks; `path` is what the message names.
    """
    try:
        arrays = load_arrays(data)
    except ValueError as error:
        raise damaged(path, error) from None
    for name, array in arrays.items():
        if array.dtype not in DTYPES:
            expected = f"expected '{name}' to be {' or '.join(DTYPES)}"
            raise damaged(path, f"{expected}, found {array.dtype}")
    return arrays


def load_arrays(data: bytes) -> dict[str, Array]:
    """The arrays in the bytes of a safetensors file, by name. Raises `ValueError`."""
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no safetensors file: {error}") from None
