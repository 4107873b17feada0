"""Who may come in: tokens, sessions of a browser, and codes that open a session once.

Of each secret only the SHA-256 is kept: they are random enough that nobody finds them by it, and
one is looked for by its hash, so how long that takes tells nothing about it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, insert, or_, select, update

from trainer.errors import UsageError
from trainer.service.records import Role, Token, User
from trainer.service.store.database import Database
from trainer.service.store.part import Part, new_mark
from trainer.service.store.tables import codes, sessions, tokens

PREFIX: Final = "trn_"
"""How the secret of a token begins, so that one that got out can be searched for."""
CODE_SECONDS: Final = 15 * 60.0
USED_SECONDS: Final = 60.0
"""How exactly it is known when a token was last used."""
_TOKEN: Final = select(tokens).where(tokens.c.hash == bindparam("of_secret"))


class Access(Part):
    """Tokens, sessions and codes."""

    def __init__(self, db: Database, clock: Callable[[], float]) -> None:
        super().__init__(db, clock)
        self._used: dict[str, float] = {}

    # Tokens -------------------------------------------------------------------------------------

    def add_token(self, name: str, user: str, role: Role, all: bool, expires: float | None) -> str:  # noqa: A002 (as of `User`)
        """A new secret, which is told this once. Raises `UsageError` where a token has this name,
        be it revoked.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        values = {
            "name": name, "hash": _hash(secret), "user": user, "role": role, "all": all,
            "created": self._clock(), "expires": expires,
        }  # fmt: skip

        def write(connection: Connection) -> None:
            query = select(tokens.c.hash).where(tokens.c.name == name)
            kept = connection.execute(query).scalar()
            if kept is None:
                connection.execute(insert(tokens).values(values))
            elif kept != values["hash"]:
                raise UsageError(
                    f"there is a token '{name}' already, or was before it was revoked",
                    code="TR-A007",
                )

        self._db.write(write)
        return secret

    def token(self, secret: str) -> User | None:
        """Who has this secret; None where nobody does, or does no more."""
        if not secret.startswith(PREFIX):
            return None
        values = {"of_secret": _hash(secret)}
        row = self._db.read(lambda connection: connection.execute(_TOKEN, values).first())
        if row is None or not _valid(row, self._clock()):
            return None
        self._note_use(row.name)
        return User(row.user, row.role, row.name, row.all)

    def _note_use(self, name: str) -> None:
        """Writes when the token was used, if that was not written a moment ago. Nobody waits."""
        now = self._clock()
        if abs(now - self._used.get(name, -USED_SECONDS)) < USED_SECONDS:
            return
        self._used[name] = now
        asked = update(tokens).where(tokens.c.name == name).values(used=now)
        self._db.writing(lambda connection: connection.execute(asked).rowcount)

    def tokens(self) -> list[Token]:
        """All tokens, also those that let nobody in any more, by name."""
        query = select(tokens).order_by(tokens.c.name)
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return [
            Token(
                row.name, row.user, row.role, row.all, row.created, row.expires, row.revoked,
                row.used,
            )
            for row in rows
        ]  # fmt: skip

    def revoke(self, name: str) -> None:
        """Has a token let nobody in any more, nor the sessions that it opened. Raises `UsageError`
        where there is none with this name.
        """
        now = self._clock()

        def write(connection: Connection) -> None:
            named = tokens.c.name == name
            if connection.execute(select(tokens.c.name).where(named)).first() is None:
                raise UsageError(f"there is no token '{name}'", code="TR-A007")
            asked = update(tokens).where(named, tokens.c.revoked.is_(None)).values(revoked=now)
            connection.execute(asked)
            connection.execute(delete(sessions).where(sessions.c.token == name))
            connection.execute(delete(codes).where(codes.c.token == name))

        self._db.write(write)

    # Sessions -----------------------------------------------------------------------------------

    def add_session(self, user: User, hours: float) -> str:
        """The secret of a new session, which ends after so many hours, or with the user's token."""
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        values = _row(user, secret, now + hours * 3600)

        def write(connection: Connection) -> None:
            connection.execute(delete(sessions).where(sessions.c.expires <= now))
            same = sessions.c.hash == values["hash"]
            if connection.execute(select(sessions.c.hash).where(same)).first() is None:
                connection.execute(insert(sessions).values(values))

        self._db.write(write)
        return secret

    def session(self, secret: str) -> User | None:
        """Whose session this is; None where it has ended."""
        query = self._still_valid(select(sessions), sessions, _hash(secret))
        row = self._db.read(lambda connection: connection.execute(query).first())
        return None if row is None else User(row.user, row.role, row.token, row.all)

    def end_session(self, secret: str) -> None:
        """Ends a session, if there is one."""
        asked = delete(sessions).where(sessions.c.hash == _hash(secret))
        self._db.write(lambda connection: connection.execute(asked).rowcount)

    # Codes --------------------------------------------------------------------------------------

    def one_time(self, user: User) -> str:
        """A code that lets this user in once, for a quarter of an hour."""
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        values = _row(user, secret, now + CODE_SECONDS)

        def write(connection: Connection) -> None:
            connection.execute(delete(codes).where(codes.c.expires <= now))
            same = codes.c.hash == values["hash"]
            if connection.execute(select(codes.c.hash).where(same)).first() is None:
                connection.execute(insert(codes).values(values))

        self._db.write(write)
        return secret

    def redeem(self, code: str) -> User | None:
        """Whom the code lets in, once; None for every other time and code."""
        mark = new_mark()
        query = self._still_valid(select(codes), codes, _hash(code)).where(
            or_(codes.c.redeemed.is_(None), codes.c.redeemed == mark)
        )
        asked = update(codes).where(codes.c.hash == _hash(code)).values(redeemed=mark)

        def write(connection: Connection) -> User | None:
            row = connection.execute(query).first()
            if row is None:
                return None
            connection.execute(asked)
            return User(row.user, row.role, row.token, row.all)

        return self._db.write(write)

    def _still_valid(self, query: Select[Any], table: Any, hash_: str) -> Select[Any]:
        """The row with this hash, unless it or the token behind it has run out."""
        now = self._clock()
        return (
            query.outerjoin(tokens, tokens.c.name == table.c.token)
            .where(table.c.hash == hash_, table.c.expires > now, tokens.c.revoked.is_(None))
            .where(or_(tokens.c.expires.is_(None), tokens.c.expires > now))
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _valid(row: Any, now: float) -> bool:
    return row.revoked is None and (row.expires is None or row.expires > now)


def _row(user: User, secret: str, expires: float) -> dict[str, Any]:
    return {
        "hash": _hash(secret), "user": user.name, "role": user.role, "all": user.all,
        "token": user.token, "expires": expires,
    }  # fmt: skip
