"""What the desk needs of the rest of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from trainer.service.records import Cost, Kind


class Checked(Protocol):
    """A spec without mistakes, and what is known of it before it is trained."""

    @property
    def kind(self) -> Kind:
        """What is to be done with it."""

    @property
    def name(self) -> str:
        """The spec's name."""

    @property
    def text(self) -> str:
        """The spec, as it was written."""

    @property
    def resolved(self) -> Mapping[str, Any]:
        """Its values with all defaults."""

    @property
    def file(self) -> str:
        """The name that paths in it are relative to."""

    @property
    def fingerprint(self) -> str | None:
        """What decides the result, None where that is not known."""

    @property
    def cost(self) -> Cost:
        """What it will take."""

    @property
    def epochs(self) -> int | None:
        """How many it has, at most."""

    @property
    def known(self) -> str | None:
        """The id of the run that has trained the same before."""

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Name, shape, parameters and formula of each layer."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Those of its kind."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is worth knowing."""


class Checker(Protocol):
    """Tells a spec's mistakes, or what it will take."""

    def check(
        self,
        text: str,
        user: str,
        kind: Kind | None,
        options: Mapping[str, Any],
    ) -> Checked:
        """Raises `SpecError`, `DataError` and `UsageError` with all mistakes."""


class Work(Protocol):
    """The workers, as far as the desk tells them something."""

    @property
    def draining(self) -> bool:
        """Whether nothing new is begun."""

    def poke(self) -> None:
        """Something was queued."""

    def stop_job(self, job: str) -> None:
        """There is a wish for a running job: its worker saves and stops."""

    def workers(self) -> list[dict[str, Any]]:
        """Name, kind, state and job of each."""

    def drain(self) -> None:
        """Begins nothing new."""
