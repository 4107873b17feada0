"""Which commands there are. Each is loaded when it is asked for, so that none waits for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.main import get_command

COMMANDS: Final[Mapping[str, str]] = {
    "run": "training.run",
    "init": "drafting.init",
    "crossval": "crossval.crossval",
    "sweep": "sweep.sweep",
    "resume": "training.resume",
    "reproduce": "training.reproduce",
    "lr-find": "rate_search.lr_find",
    "sync": "training.sync",
    "list": "compare.list_runs",
    "compare": "compare.compare",
    "predict": "models.predict",
    "evaluate": "models.evaluate",
    "importance": "importance.importance",
    "promote": "models.promote",
    "export": "exporting.export",
    "serve": "models.serve",
    "explain": "explaining.explain",
    "gradcheck": "explaining.gradcheck",
    "check": "inspecting.check",
    "schema": "inspecting.schema",
    "ui": "inspecting.ui",
    "doctor": "doctor.doctor",
    "help": "helping.help_",
    "submit": "submitting.submit",
    "jobs": "jobs.jobs",
    "watch": "watching.watch",
    "pause": "jobs.pause",
    "cancel": "jobs.cancel",
    "upload": "submitting.upload",
    "service": "service.app",
    "token": "tokens.app",
}
"""The module and the function of each command; an `app` is a group with commands of its own."""
STYLE: Final[dict[str, Any]] = {
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["--help", "-h"]},
}
"""What the whole command and all groups in it have in common."""


def load(name: str) -> Callable[..., None] | typer.Typer:
    """The function of a command, or the group that it is. Raises `KeyError`."""
    module, _, attribute = COMMANDS[name].partition(".")
    found: Callable[..., None] | typer.Typer = getattr(
        import_module(f"trainer.cli.{module}"), attribute
    )
    return found


class Loaded(Mapping[str, Any]):
    """The commands by their names, as typer has them; made when they are asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS


def _made(name: str) -> Any:
    found = load(name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, **STYLE)
        alone.command(name)(found)
        found = alone
    made = get_command(found)
    made.name = name
    return made
