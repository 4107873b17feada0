"""What a campaign counts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """The cases of one campaign, and what was lost in which."""

    campaign: str
    cases: int = 0
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missed: int = 0
    """Cases whose fault came too late to strike."""

    def case(self, what: str, fault: str | None) -> None:
        """Counts a case; `fault` says what was lost, if anything was."""
        self.cases += 1
        if fault is not None:
            self.lost.append(f"{what}: {fault}")

    @property
    def survived(self) -> int:
        return self.cases - len(self.lost)
