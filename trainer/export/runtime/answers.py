"""What a program says: from outputs or logits (rows, outputs) to a value for each column."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from trainer.export.runtime.facts import CLASSES, COLUMNS, CUT
from trainer.export.runtime.functions import sigmoid
from trainer.export.runtime.scales import decode
from trainer.graph.ops import Array
from trainer.graph.ops.softmax import softmax

Answer: TypeAlias = Callable[[Array, dict[str, Array]], dict[str, Array]]


def of_numbers(out: Array, p: dict[str, Array]) -> dict[str, Array]:
    """The outputs themselves."""
    return dict(zip(COLUMNS, out.T, strict=True))


def of_scaled_numbers(out: Array, p: dict[str, Array]) -> dict[str, Array]:
    """The outputs in the units of the targets."""
    return dict(zip(COLUMNS, decode(out, p).T, strict=True))


def of_labels(out: Array, p: dict[str, Array]) -> dict[str, Array]:
    """0 or 1 for each of several labels, and its probability."""
    return dict(zip(COLUMNS, [*(out > 0).astype(np.int64).T, *sigmoid(out).T], strict=True))


def of_one_logit(out: Array, p: dict[str, Array]) -> dict[str, Array]:
    """One of two classes, the second above a logit, and the probability of each."""
    labels = np.array(CLASSES)[(out[:, 0] > CUT).astype(int)]
    return dict(zip(COLUMNS, [labels, sigmoid(-out)[:, 0], sigmoid(out)[:, 0]], strict=True))


def of_two_logits(out: Array, p: dict[str, Array]) -> dict[str, Array]:
    """The same of two outputs, by their difference."""
    labels = np.array(CLASSES)[(out[:, 1] - out[:, 0] > CUT).astype(int)]
    return dict(zip(COLUMNS, [labels, *softmax(out).T], strict=True))


def of_logits(out: Array, p: dict[str, Array]) -> dict[str, Array]:
    """The most probable class, and the probability of each."""
    labels = np.array(CLASSES)[out.argmax(axis=-1)]
    return dict(zip(COLUMNS, [labels, *softmax(out).T], strict=True))
