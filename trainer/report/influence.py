"""How much each key of a sweep matters: the share of the trials' ranks that its values explain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.report.choices import Choice

LEAST: Final = 12
"""Trials below which nothing is said."""
GROUPS: Final = 6
MEMBERS: Final = 4  # of a group, at least, on average
NORMAL_95: Final = 1.6449  # the quantile of the standard normal distribution


@dataclass(frozen=True)
class Influence:
    """The `share` of the variance of ranks that a key explains alone, from 0 to 1, and what one in
    twenty keys that do nothing would reach by `chance`.
    """

    share: float
    chance: float


def influences(
    choices: Mapping[str, Choice], chosen: Sequence[Mapping[str, Any]], losses: Sequence[float]
) -> dict[str, Influence]:
    """The influence of each key, by key; nothing for fewer than `LEAST` trials, or alike ones.

    Of `losses`, less is better; infinite ones are the worst. A one-way analysis of variance of
    their ranks, in which nothing depends on a scale: trials are put in groups by their value of the
    key, numbers in equal shares, and the variance between groups is held against the whole, less
    what groups of chance would have (the ε² of Kelley, 1935). It sees what a key does by itself,
    rising or not, and nothing that only two keys do together.
    """
    if len(losses) < LEAST:
        return {}
    ranks = _ranks(np.array(losses, dtype=float))
    if not np.ptp(ranks):
        return {}
    most = min(GROUPS, len(losses) // MEMBERS)
    return {
        key: _explained(ranks, choice.groups([values.get(key) for values in chosen], most))
        for key, choice in choices.items()
    }


def _explained(ranks: Array, groups: Array) -> Influence:
    count = int(groups.max()) + 1
    within = len(ranks) - count
    if count < 2 or within < 1:
        return Influence(0.0, 0.0)
    members = np.bincount(groups)
    means = np.bincount(groups, weights=ranks) / members
    whole = float(np.square(ranks - ranks.mean()).sum())
    between = float((members * np.square(means - ranks.mean())).sum())
    noise = (whole - between) / within
    share = (between - (count - 1) * noise) / whole
    chance = (_chi_squared_95(count - 1) - (count - 1)) / (len(ranks) - 1)
    return Influence(max(share, 0.0), min(chance, 1.0))


def _ranks(losses: Array) -> Array:
    """The place of each from 1, equal ones at the mean of theirs."""
    order = np.argsort(losses, kind="stable")
    places = np.empty(len(losses))
    places[order] = np.arange(1, len(losses) + 1)
    kinds, which = np.unique(losses, return_inverse=True)
    sums = np.bincount(which, weights=places, minlength=len(kinds))
    return (sums / np.bincount(which, minlength=len(kinds)))[which]


def _chi_squared_95(freedom: int) -> float:
    """The 95 % quantile of χ², by Wilson and Hilferty, 1931."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + NORMAL_95 * math.sqrt(part)) ** 3
