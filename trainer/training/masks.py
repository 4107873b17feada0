"""Which values dropout keeps, drawn by counter from the seed, the epoch and the row's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from trainer.graph import Graph, Node
from trainer.graph.ops import BATCH, Array
from trainer.randomness import random_rows

WORDS: Final = 2**32
DRAWN: Final = 2**19  # cells at a time


def masks_of(graph: Graph) -> tuple[Node, ...]:
    """The inputs of a graph that are masks: (batch, units), with the rate as their attribute."""
    return tuple(node for node in graph.leaves("input") if "rate" in node.attributes)


def draw_masks(
    masks: Sequence[Node], seed: int, epoch: int, first: int, rows: int
) -> dict[str, Array]:
    """The masks for the rows `first` … `first + rows` of an epoch's order, by name.

    A value is 0 with the mask's rate, to 1 part in 2³², and 1 / (1 - rate) else.
    """
    return {
        node.name: _draw(node, seed, epoch, number, first, rows)
        for number, node in enumerate(masks)
    }


def _draw(node: Node, seed: int, epoch: int, number: int, first: int, rows: int) -> Array:
    assert node.shape[0] == BATCH
    units, rate = int(node.shape[1]), float(node.attributes["rate"])
    mask = np.empty((rows, units), node.dtype)
    least, kept = np.uint32(min(round(rate * WORDS), WORDS - 1)), 1 / (1 - rate)
    size = max(1, DRAWN // units)
    for start in range(0, rows, size):
        count = min(size, rows - start)
        drawn = random_rows(seed, "dropout", epoch, number, first + start, count, units)
        np.multiply(drawn >= least, mask.dtype.type(kept), out=mask[start : start + count])
    return mask


def mask_bytes(masks: Sequence[Node]) -> int:
    """The bytes of all masks for one row."""
    return sum(int(node.shape[1]) * np.dtype(node.dtype).itemsize for node in masks)
