"""What a run leaves for those who use its model, beside parameters and preprocessing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainer.metrics.threshold import threshold_of
from trainer.network.trivial import Trivial


@dataclass(frozen=True)
class Decision:
    """The trivial result of the training rows, with which others are compared, and from above which
    logit the second of two classes is said.
    """

    trivial: Trivial | None = None
    cut: float = 0.0

    @property
    def threshold(self) -> float:
        """The probability from above which the second of two classes is said."""
        return threshold_of(self.cut)

    def as_json(self) -> dict[str, Any]:
        """Its fields; `from_json` gives the same numbers again, to the bit."""
        trivial = self.trivial.as_json() if self.trivial else None
        return {"threshold": self.threshold, "cut": self.cut, "trivial": trivial}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Decision:
        """What `as_json` gave. Raises `KeyError`, `TypeError`, `ValueError` for others."""
        trivial, cut = found["trivial"], float(found["cut"])
        if not math.isfinite(cut):
            raise ValueError(f"the cut is {cut}")
        return cls(None if trivial is None else Trivial.from_json(trivial), cut)


UNDECIDED: Final = Decision()
"""What is known of a model that came without."""
