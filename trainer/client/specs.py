"""A spec on its way to the service: a file, a text, values, or a spec of this package."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from trainer.client.answers import Sent
from trainer.client.sending import opened
from trainer.errors import Problem, SpecError, UsageError

MOST_BYTES: Final = 2**20


@runtime_checkable
class Declared(Protocol):
    """A spec or a sweep of this package."""

    def resolved(self) -> dict[str, Any]:
        """Its values, with all defaults."""


class Written(NamedTuple):
    """What is sent, and where it is from."""

    spec: str | Mapping[str, Any]
    sent: Sent


SpecLike: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Declared | Written
"""A path of a YAML file, YAML text, the values, or a `Spec` or `SweepSpec`; or what was made of
these. A text in one line that ends with `.yaml` or `.yml` is a path.
"""
_NAMES_OTHERS: Final = re.compile(r"""(?m)^[{ '"]*(defaults|spec)\b""")
"""What a file may name others by. Most name none, and need not be understood here."""


def written(spec: SpecLike) -> Written:
    """What is sent of a spec: of a file all that it takes from others, too. Raises `SpecError` for
    files that cannot be read.
    """
    if isinstance(spec, Written):
        return spec
    if isinstance(spec, Mapping):
        return Written(dict(spec), Sent())
    if isinstance(spec, Declared):
        return Written(spec.resolved(), Sent())
    if isinstance(spec, str) and not _is_path(spec):
        return Written(spec, Sent(text=spec))
    if not isinstance(spec, str | os.PathLike):
        raise UsageError(f"expected a spec, found {type(spec).__name__}", code="TR-U009")
    text = _read(Path(spec))
    if not _NAMES_OTHERS.search(text):
        return Written(text, Sent(str(spec), text))
    from trainer.client.whole import read_whole

    return Written(*read_whole(text, str(spec)).sent())


def _is_path(text: str) -> bool:
    return "\n" not in text and text.endswith((".yaml", ".yml"))


def _read(file: Path) -> str:
    def refused(message: str, code: str) -> SpecError:
        return SpecError(Problem("", message, file=str(file), code=code))

    try:
        with opened(file) as data:
            content = data.read(MOST_BYTES + 1)
    except UsageError as error:
        raise refused(error.message, "TR-S002") from None
    if len(content) > MOST_BYTES:
        message = f"a spec of more than {MOST_BYTES // 2**20} MiB is too large"
        raise refused(message, "TR-S003")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused("it is not encoded as UTF-8", "TR-S004") from None
