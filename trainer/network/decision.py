"""What a run leaves for those who use its model, beside parameters and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainer.network.trivial import Trivial


@dataclass(frozen=True)
class Decision:
    """The trivial result of the training rows, with which others are compared."""

    trivial: Trivial | None = None

    def as_json(self) -> dict[str, Any]:
        """Its fields; `from_json` gives the same numbers again, to the bit."""
        return {"trivial": self.trivial.as_json() if self.trivial else None}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Decision:
        """What `as_json` gave. Raises `KeyError`, `TypeError`, `ValueError` for others."""
        trivial = found["trivial"]
        return cls(None if trivial is None else Trivial.from_json(trivial))


UNDECIDED: Final = Decision()
"""What is known of a model that came without."""
