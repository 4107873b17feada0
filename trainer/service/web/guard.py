"""Where a request may come from: names of the service, and origins of what changes something.

A page of another site can have a browser send requests here, and a name of another site can be made
to lead here (DNS rebinding). So a request says which service it means by a name of ours, and one
that changes something comes from a page of ours, or from no browser.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trainer.errors import UsageError
from trainer.service.refusals import Forbidden
from trainer.service.settings import Settings

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing. Whatever is not here does, also what nobody has thought of."""
LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")
OURS: Final = frozenset({"same-origin", "none"})
"""What a browser says of a request from our page, or of one that a person has typed."""
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,}\]|[a-z0-9_](?:[a-z0-9._-]*))(?::([0-9]{1,5}))?")
_PORTS: Final[Mapping[str, str]] = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class Headers:
    """The headers of a request. One of ours that comes twice could be read in two ways."""

    found: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, raw: Sequence[tuple[bytes, bytes]]) -> Headers:
        """Those of an ASGI scope."""
        found: dict[str, list[str]] = {}
        for name, value in raw:
            found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return cls(found)

    def one(self, name: str) -> str | None:
        """The value, None where there is none. Raises `UsageError` where there are several."""
        values = self.found.get(name, ())
        if len(values) > 1:
            raise UsageError(f"the header {name} comes {len(values)} times", code="TR-V012")
        return values[0] if values else None


def names_of(settings: Settings) -> frozenset[str]:
    """The names that requests may call the service by: those that are set, else those of this
    machine where it listens to others, and always the local ones where nothing is set.
    """
    if settings.hosts:
        return frozenset(name.lower().rstrip(".") for name in settings.hosts)
    host = settings.host.lower()
    names = {*LOCAL, f"[{host}]" if ":" in host else host}
    if not _is_local(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_host(host: str | None, names: frozenset[str]) -> None:
    """Raises `UsageError` for a name that is not one of these, with or without its port."""
    found = _HOST.fullmatch((host or "").lower())
    if found is not None:
        name = found[1].rstrip(".")
        if name in names or f"{name}:{found[2]}" in names:
            return
    raise UsageError("the Host of the request is no name of this service", code="TR-V012")


def check_origin(headers: Headers, method: str, scheme: str, cookie: bool) -> None:
    """Raises `Forbidden` where something is to be changed by a page that is not ours. Who comes
    with a `cookie` is a browser, and has to say where from.
    """
    if method in SAFE:
        return
    site = headers.one("sec-fetch-site")
    if site is not None and site not in OURS:
        raise Forbidden("a page of another site may change nothing here")
    origin = headers.one("origin")
    if origin is not None:
        if origin_of(origin) != origin_of(f"{scheme}://{headers.one('host')}"):
            raise Forbidden("a page of another origin may change nothing here")
    elif cookie and site is None:
        raise Forbidden("a request with a cookie that changes something needs its Origin")


def origin_of(text: str) -> tuple[str, str, str] | None:
    """Scheme, host and port; None for what is no origin, such as `null`."""
    scheme, there, host = text.lower().partition("://")
    found = _HOST.fullmatch(host)
    if not there or found is None or scheme not in _PORTS:
        return None
    return scheme, found[1].rstrip("."), found[2] or _PORTS[scheme]
