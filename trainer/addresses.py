"""Addresses without their secrets: what may be printed, recorded and kept of them."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"
"""What stands in the place of a secret."""

_SCHEME: Final = r"(?P<scheme>\b[a-z][a-z0-9+.\-]*://)"
# The last @ ends the credentials: what people write as a password may hold one too, and a slash.
_CREDENTIALS: Final = re.compile(
    _SCHEME + r"(?P<who>[^\s\"'<>/?#:]*:[^\s\"'<>]*|[^\s\"'<>/?#]*)@", re.I
)
_OF_ADDRESS: Final = re.compile(_SCHEME + r"(?P<who>[^/?#:]*:.*|[^/?#]*)@", re.I | re.S)
_ODBC: Final = re.compile(r"(?P<name>[?&]odbc_connect=)(?P<value>[^&\s\"'<>]+)", re.I)
# name=value of a query, by names such as sslpassword, PWD and access_key.
_NAMED: Final = re.compile(
    r"(?P<name>[?&;][\w.\-]*(?:passw|passphrase|pwd|secret|token|key|credential|sig)[\w.\-]*=)"
    r"(?P<value>[^&;\s\"'<>]+)",
    re.I,
)


def without_secrets(text: str) -> str:
    """The text with `***` for the passwords, tokens and keys of all addresses in it.

    Of a server's address (`http://`, `https://`) the user counts too, as it may be a token.
    """
    return _hidden(text, _CREDENTIALS)


def shown_address(address: str) -> str:
    """The same of a text that is one address, whose password may hold blanks too."""
    return _hidden(address, _OF_ADDRESS)


def has_secret(address: str) -> bool:
    """Whether the address holds a password, a token or a key."""
    return shown_address(address) != address


def _hidden(text: str, credentials: re.Pattern[str]) -> str:
    if "://" not in text:
        return text
    text = credentials.sub(_hide_credentials, text)
    for pattern in (_ODBC, _NAMED):
        text = pattern.sub(rf"\g<name>{HIDDEN}", text)
    return text


def _hide_credentials(found: re.Match[str]) -> str:
    user, colon, _ = found["who"].partition(":")
    if found["scheme"].lower().startswith("http"):
        return f"{found['scheme']}{HIDDEN}@"
    return f"{found['scheme']}{user}:{HIDDEN}@" if colon else found[0]
