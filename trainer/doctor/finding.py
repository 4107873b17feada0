"""One thing that was looked at, and what may be told of it."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from trainer.addresses import without_secrets

State: TypeAlias = Literal["ok", "note", "warning", "bad"]
"""`note` tells what is neither right nor wrong; `warning`: it works, and not as it could; `bad`:
`train CONFIG` does not work before it is mended."""


@dataclass(frozen=True)
class Finding:
    """What was found of one thing: in words, and as `facts` for programs.

    `todo` says what to do about it. `exit_code` is that of `train doctor` where it is bad.
    """

    name: str
    state: State
    says: str
    todo: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 7

    def as_json(self) -> dict[str, Any]:
        """What `train doctor --json` prints of it."""
        return {
            "name": self.name, "state": self.state, "says": self.says, "todo": self.todo,
            "facts": dict(self.facts),
        }  # fmt: skip

    def clean(self) -> Finding:
        """The same as it may stand in a report that all can read."""
        says, todo, facts = (_clean(part) for part in (self.says, self.todo, self.facts))
        return Finding(self.name, self.state, says, todo, facts, self.exit_code)


def _clean(value: Any) -> Any:
    """Without passwords and tokens of addresses, names of users and homes."""
    if isinstance(value, str):
        return _anonymous(without_secrets(value))
    if isinstance(value, Mapping):
        return {_clean(name): _clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


_OF_ADDRESS: Final = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@:\"']+(?P<rest>:[^\s/@]*)?@"
)
"""Whom an address names; passwords are hidden before."""


def _anonymous(text: str) -> str:
    for home in _homes():
        text = re.sub(rf"{re.escape(home)}(?![\w-]|\.\w)", "~", text)
    text = _OF_ADDRESS.sub(lambda found: f"{found['scheme']}USER{found['rest'] or ''}@", text)
    user = _user()
    if not user:
        return text
    # a part of a path, or a value: not a word, as users may be called as commands are
    return re.sub(rf"(?<=[/\\=\"'._-]){re.escape(user)}(?![A-Za-z0-9])", "USER", text)


def _homes() -> list[str]:
    """The paths of the user's home as they may be written, the longest first."""
    try:
        home = Path.home()
        found = {str(home), str(home.resolve())}
    except (OSError, RuntimeError):  # there is none
        return []
    return sorted(found - {"/", ""}, key=len, reverse=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user number
        return ""
