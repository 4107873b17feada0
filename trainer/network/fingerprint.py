"""The hash of parameters, by which two runs are told to be the same to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from trainer.graph.ops import Array


def parameters_sha256(parameters: Mapping[str, Array]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names.

    For each parameter the digest takes the UTF-8 text `name NUL dtype NUL shape NUL`, where
    dtype is `float32` or `float64` and shape is like `30,16`, and then the values in C order,
    little-endian.
    """
    digest = hashlib.sha256()
    for name in sorted(parameters):
        value = parameters[name]
        shape = ",".join(map(str, value.shape))
        digest.update(f"{name}\0{value.dtype.name}\0{shape}\0".encode())
        digest.update(np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
