"""Where a service is, and the token that lets in: told by flags, by variables, or by a profile.

A profile is a YAML file with `server`, and `token` or `token_file`, and `ca` where the service's
certificate is signed by an authority of one's own.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from trainer.addresses import has_secret, without_secrets
from trainer.errors import UsageError
from trainer.inputs import open_regular

SERVER: Final = "TRAINER_SERVER"
TOKEN: Final = "TRAINER_TOKEN"  # noqa: S105 (the name of a variable)
PROFILE: Final = "TRAINER_PROFILE"
FOLDER: Final = Path("trainer")
"""Below the folder of a user's settings, `~/.config`."""
DEFAULT: Final = "profile"
KEYS: Final = ("server", "token", "token_file", "ca")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_MOST_BYTES: Final = 2**16


@dataclass(frozen=True)
class Access:
    """A service and what lets in. The token is no part of what is shown of it.

    `ca` is a file of certificates that are trusted in the place of the system's.
    """

    server: str
    token: str | None = field(default=None, repr=False)
    ca: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "server", _checked(self.server))
        # a header would be refused in words that have the token in them
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError(
                "the token is no token: it is empty or holds blanks or line breaks", code="TR-V015"
            )

    @property
    def in_the_clear(self) -> bool:
        """Whether the token can be read by whoever is on the way to another machine."""
        parts = urlsplit(self.server)
        own = parts.hostname in ("localhost", "127.0.0.1", "::1")
        return parts.scheme == "http" and self.token is not None and not own


def _checked(server: str) -> str:
    """The address without a slash at its end. Raises `UsageError`."""
    shown = without_secrets(server)
    try:
        parts = urlsplit(server)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or re.search(r"[\s\x00-\x1f]", server):
        hint = "it looks like https://train.example.org or http://127.0.0.1:8400"
        raise UsageError(f"'{shown}' is no address of a service\n  hint: {hint}", code="TR-V014")
    if has_secret(server) or "@" in parts.netloc or parts.query or parts.fragment:
        hint = "a token is given on its own"
        raise UsageError(
            f"'{shown}': an address of a service is all there may be\n  hint: {hint}",
            code="TR-V014",
        )
    return server.rstrip("/")


def find_access(
    server: str | None = None,
    token: str | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Access:
    """Where the service is: as the arguments say, else the profile, else the variables
    `TRAINER_SERVER` and `TRAINER_TOKEN`, else the default profile. Raises `UsageError`.

    A token of a profile is for the profile's server alone.
    """
    found = known_access(server, token, profile, environ)
    if found is None:
        raise UsageError(
            "which service? Neither a flag nor a variable nor a profile says it\n"
            f"  hint: give --server URL, set {SERVER} and {TOKEN}, "
            f"or write {profile_file(DEFAULT, environ)}",
            code="TR-V014",
        )
    return found


def known_access(
    server: str | None = None,
    token: str | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Access | None:
    """As `find_access`; None where nothing says which service."""
    environ = os.environ if environ is None else environ
    if server is not None and token is not None and profile is None:
        return Access(server, token)
    named = profile or (None if server else environ.get(PROFILE))
    if named:
        found: Access | None = read_profile(profile_file(named, environ))
    else:
        found = _of_variables(server, environ) or _default(environ)
    if server is not None and (found is None or _checked(server) != found.server):
        found = Access(server)  # what lets in elsewhere is not for it
    return found and replace(found, token=token or found.token)


def _of_variables(server: str | None, environ: Mapping[str, str]) -> Access | None:
    """The token among the variables is for the server there; without one for that of the flag."""
    where, token = environ.get(SERVER), environ.get(TOKEN) or None
    if where:
        return Access(where, token)
    return Access(server, token) if server and token else None


def _default(environ: Mapping[str, str]) -> Access | None:
    file = profile_file(DEFAULT, environ)
    return read_profile(file) if os.path.lexists(file) else None


# Profiles ---------------------------------------------------------------------------------------


def profile_file(name: str, environ: Mapping[str, str] | None = None) -> Path:
    """The file of a profile: a path, or a name that stands for one among a user's settings."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    environ = os.environ if environ is None else environ
    home = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / FOLDER / f"{name}.yaml"


def read_profile(file: Path) -> Access:
    """What a profile says. Raises `UsageError` for one that cannot be used, or that holds a token
    and that others can read.
    """
    values = _values(file)
    if values.get("token") is not None:
        _check_private(file)
    token = values.get("token")
    if values.get("token_file") is not None:
        token = _token_of(file.parent / Path(values["token_file"]).expanduser())
    ca = values.get("ca")
    return Access(values["server"], token, file.parent / Path(ca).expanduser() if ca else None)


def _values(file: Path) -> Mapping[str, str]:
    import yaml

    try:
        values = yaml.safe_load(_text(file))
    except yaml.YAMLError:  # its words may show the line with the token
        raise UsageError(f"the profile {file} is no YAML", code="TR-V015") from None
    if not isinstance(values, dict) or not isinstance(values.get("server"), str):
        raise UsageError(
            f"the profile {file} names no server\n  hint: write `server: https://…`", code="TR-V015"
        )
    for key, value in values.items():
        if key not in KEYS:
            expected = f"expected {', '.join(KEYS)}"
            raise UsageError(
                f"the profile {file} has an unknown key '{key}': {expected}", code="TR-V015"
            )
        if value is not None and not isinstance(value, str):
            raise UsageError(f"the profile {file}: expected '{key}' to be a text", code="TR-V015")
    if values.get("token") is not None and values.get("token_file") is not None:
        raise UsageError(
            f"the profile {file} has both token and token_file: keep one", code="TR-V015"
        )
    return _texts(values)


def _texts(values: Mapping[str, Any]) -> Mapping[str, str]:
    return {key: value for key, value in values.items() if value is not None}


def _token_of(file: Path) -> str:
    text = _text(file).strip()
    _check_private(file)
    return text


def _text(file: Path) -> str:
    try:
        with open_regular(file) as opened:
            return opened.read(_MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text of a file"
        raise UsageError(f"the profile {file} cannot be read: {reason}", code="TR-V015") from None


def _check_private(file: Path) -> None:
    """Raises `UsageError` for a file with a token that is not its owner's alone."""
    status = file.stat()
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UsageError(
            f"others can read {file}, which holds a token\n  hint: chmod 600 {file}", code="TR-V015"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise UsageError(f"{file}, which holds a token, belongs to another user", code="TR-V015")
