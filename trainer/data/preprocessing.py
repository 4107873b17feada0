"""What lies between the columns of a table and the arrays of a network, in both directions.

It is fitted on the training rows, kept with the model, and done again at every prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.data.table import Label
from trainer.graph.ops import Array


@dataclass(frozen=True)
class Preprocessing:
    """From raw columns to x and y.

    `features` and `target` are the columns' names. `classes` are the labels of a class target, in
    the order of their numbers. `mean` and `scale`, of shape (features,), are what standardisation
    subtracts and divides by, in float64; None without it. `outputs` is the number of columns of
    y, and `dtype` that of the network.
    """

    features: tuple[str, ...]
    target: str
    classes: tuple[Label, ...] | None
    mean: Array | None
    scale: Array | None
    outputs: int
    dtype: str

    def standardise(self, x: Array) -> Array:
        """Raw features of shape (rows, features) in float64, as they are scaled."""
        return x if self.mean is None else (x - self.mean) / self.scale

    def encode(self, target: Array) -> Array:
        """Class numbers of shape (rows, 1) as columns of y; other targets as they are.

        For one output the number itself, 0 or 1; for several, 1 in the column of the class.
        """
        if self.classes is None or self.outputs == 1:
            return target
        return np.asarray(target == np.arange(len(self.classes)))

    def as_json(self) -> dict[str, Any]:
        """Its fields; `from_json` gives the same numbers again, to the bit."""
        return {
            "features": list(self.features),
            "target": self.target,
            "classes": None if self.classes is None else list(self.classes),
            "mean": None if self.mean is None else self.mean.tolist(),
            "scale": None if self.scale is None else self.scale.tolist(),
            "outputs": self.outputs,
            "dtype": self.dtype,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """From what `as_json` gave. Raises `KeyError` where something is missing."""
        return cls(
            features=tuple(fields["features"]),
            target=fields["target"],
            classes=None if fields["classes"] is None else tuple(fields["classes"]),
            mean=None if fields["mean"] is None else np.array(fields["mean"]),
            scale=None if fields["scale"] is None else np.array(fields["scale"]),
            outputs=fields["outputs"],
            dtype=fields["dtype"],
        )
