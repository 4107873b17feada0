"""As many points of a series as a chart can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CHART_POINTS: Final = 320  # what MLflow's charts draw of a series


def thinned(count: int) -> Sequence[int]:
    """The numbers 1 … count; where a chart cannot show that many, as many of them as it can,
    evenly spread, the first and the last among them.
    """
    if count <= CHART_POINTS:
        return range(1, count + 1)
    return [1 + (count - 1) * i // (CHART_POINTS - 1) for i in range(CHART_POINTS)]
