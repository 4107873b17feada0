"""The service as a whole: how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from trainer.errors import MachineError
from trainer.service.serve import Service


@dataclass
class Work:
    """Workers that are busy for so many looks; then somebody presses Ctrl-C, or they are idle."""

    busy: int
    impatient: bool = False
    done: list[str] = field(default_factory=list)

    def drain(self) -> None:
        self.done.append("drain")

    @property
    def is_idle(self) -> bool:
        self.busy -= 1
        if self.busy == 0 and self.impatient:
            self.busy, self.impatient = 1, False  # it still is
            raise KeyboardInterrupt
        return self.busy < 0


def ending(work: Work, failed: bool = False) -> Any:
    """A service that has nothing but workers, and tells when it is closed."""
    service: Any = object.__new__(Service)
    service.work, service._web = work, SimpleNamespace(failed=failed)
    service.close = lambda: work.done.append(f"close, {max(work.busy, 0)} looks too soon")
    return service


def asked_at_the(look: int) -> Any:
    looks: Iterator[bool] = iter([*[False] * (look - 1), True])
    return lambda: next(looks)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.service.serve.LOOK_SECONDS", 0.0)


@pytest.mark.parametrize(("drain", "impatient", "ends", "says"), [
    (True, False, "close, 0 looks too soon", "Waiting for the running jobs"),
    (True, True, "close, 0 looks too soon", "Saving the running jobs"),
    (False, False, "close, 5 looks too soon", "Saving the running jobs"),
])  # fmt: skip
def test_who_stops_it_is_asked_once_and_may_lose_patience(
    drain: bool, impatient: bool, ends: str, says: str
) -> None:
    """`asked` is not looked at again: it was asked once, and stays so."""
    work, said = Work(6, impatient), []
    ending(work).run(asked_at_the(3), drain, said.append)
    assert work.done == ["drain", ends]
    assert any(says in text for text in said)


def test_a_web_server_that_ended_by_itself_is_told() -> None:
    with pytest.raises(MachineError, match="ended by itself"):
        ending(Work(0), failed=True).run(lambda: False, False, lambda _: None)
