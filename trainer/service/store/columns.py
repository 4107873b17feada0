"""The types of the database's columns, which are the same for SQLite and for PostgreSQL."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator, TypeEngine


class Words(TypeDecorator[str]):
    """A text, compared by its code points. What no database takes becomes `�`: a NUL, half of a
    surrogate pair.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """PostgreSQL would compare as the language of its folder does."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it is kept."""
        return None if value is None else storable_text(value)


class Json(TypeDecorator[Any]):
    """A value as a text of JSON. A number that is not finite is kept as null."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """The text."""
        return json_text(storable(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The value."""
        return None if value is None else json.loads(value)


Whole: Final = BigInteger().with_variant(Integer(), "sqlite")
"""A number that may be large; as a primary key of SQLite it is the row's own."""


def storable_text(value: str) -> str:
    """The text without what no database takes."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "�").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def storable(value: Any) -> Any:
    """The value as it comes back from a column of JSON."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {storable_text(str(key)): storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    return value


def json_text(value: Any) -> str:
    """The one text of a value that can be stored: the order of keys is as it is in the value."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
