"""What is shown of a proof that something was carried out again."""

from __future__ import annotations

from typing import Any, Protocol

import typer

from trainer.cli.streams import print_json


class Proof(Protocol):
    """A proof, of a run or of a sweep; its text says what differs."""

    @property
    def identical(self) -> bool:
        """Whether nothing does."""

    def as_json(self) -> dict[str, Any]:
        """What it prints with `--json`."""


def show_proof(proof: Proof, quiet: bool, json_: bool) -> None:
    """Prints the proof as asked for. Exits with 1 where anything differs."""
    if json_:
        print_json(proof.as_json())
    elif not quiet or not proof.identical:
        print(proof)
    if not proof.identical:
        raise typer.Exit(1)
