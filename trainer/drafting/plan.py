"""What a draft has decided, and why: what `writing` writes down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trainer.drafting.source import Source
from trainer.drafting.task import Loss


@dataclass
class Plan:
    """A spec to be, with the reason beside what has one.

    `out` are the columns that are left out, each with its reason, and `doubts` those that perhaps
    should be; `oddities` tell of cells that perhaps mean something else; `columns` what is said of
    single columns and `why` of the keys that stand alone, by their path (`data.missing`).
    `proposals` are further values of keys, told as comments under them. `task` says what the target
    asks for. Where a column has no name, all others are `listed`.

    Layers and SGD are the least that can be read until the table's size is known.
    """

    name: str
    head: str
    source: Source
    target: str
    loss: Loss
    task: str
    seed: int = 0
    out: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    oddities: dict[str, str] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    column_why: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    layers: list[dict[str, Any]] = field(default_factory=lambda: [{"units": 1}])
    sgd: dict[str, Any] = field(default_factory=lambda: {"learning_rate": 0.1, "epochs": 1})
    why: dict[str, str] = field(default_factory=dict)
    proposals: dict[str, list[str]] = field(default_factory=dict)
    listed: tuple[str, ...] | None = None

    def say(self, column: str, why: str = "", **says: Any) -> None:
        """Adds what is said of a column, and the reason."""
        if says:
            self.columns.setdefault(column, {}).update(says)
        if why:
            before = self.column_why.get(column)
            self.column_why[column] = f"{before}; {why}" if before else why

    @property
    def features(self) -> list[str]:
        """The listed columns that are features."""
        return [n for n in self.listed or () if n != self.target and n not in self.out]

    def leave_out(self, column: str, why: str) -> None:
        """The column is no feature; what was said of it is forgotten, unless it is the target."""
        self.out.setdefault(column, why)
        self.columns.pop(column, None)
        self.column_why.pop(column, None)
