"""Pages of jobs: filtered, sorted, and gone on with where the page before ended.

A page is found by the value that the last job of the page before was sorted by, and its number: so
no job is shown twice or missed while others come and go. Jobs without the value come last.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    bindparam,
    cast,
    func,
    select,
    tuple_,
)

from trainer.errors import UsageError
from trainer.service.records import Job, Kind
from trainer.service.states import State
from trainer.service.store.part import Part
from trainer.service.store.rows import LIGHT, job_of
from trainer.service.store.tables import counts, jobs

T = TypeVar("T")
MOST: Final = 500
"""Jobs of a page, at most."""
SORTS: Final = ("number", "name", "state", "priority", "created", "ended", "epoch", "seconds")
"""What jobs are sorted by, beside `metrics.<name>`."""
METRICS: Final = "metrics."


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are meant: those for which all of it holds. Empty `states` and `kinds` are all of
    them; `text` is in the name or begins the id; `since` is when they were created, or later.
    """

    user: str | None = None
    states: tuple[State, ...] = ()
    kinds: tuple[Kind, ...] = ()
    text: str | None = None
    parent: str | None = None
    since: float | None = None

    @property
    def counted(self) -> bool:
        """Whether the number of these jobs is kept along."""
        return not (self.kinds or self.text or self.parent) and self.since is None


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of what was asked for, `next` to ask for more, None where there is none, and the number
    of all of it.
    """

    items: Sequence[T]
    next: str | None
    total: int


@dataclass(frozen=True)
class _Cursor:
    """The last job of a page: the value that it was sorted by, None where it has none, and its
    number.
    """

    value: Any
    number: int


class Listing(Part):
    """Pages of jobs."""

    def jobs(
        self,
        filter: JobFilter,  # noqa: A002 (it is one)
        sort: str = "-number",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Job]:
        """A page of jobs, without what is long of them, sorted by one of `SORTS` or a metric, with
        a `-` from the highest. Raises `UsageError` for another sort, and for an `after` that was
        not given with this one.
        """
        limit = max(1, min(limit, MOST))
        return self._db.read(lambda connection: _page(connection, filter, sort, limit, after))


def _page(
    connection: Connection, wanted: JobFilter, sort: str, limit: int, after: str | None
) -> Page[Job]:
    down, name = sort.startswith("-"), sort.removeprefix("-")
    key = _key(name, connection.dialect.name)
    cursor = None if after is None else _read_cursor(after, sort)
    conditions = _conditions(wanted)
    places: list[Any] = []
    query = select(jobs.c.number, key.label("value")).where(*conditions)
    if cursor is None or cursor.value is not None:
        found = _sorted(query, key, down, cursor).limit(limit + 1)
        places += connection.execute(found)
    if len(places) <= limit and name not in _ALWAYS:
        cursor = cursor if cursor is not None and cursor.value is None else None
        found = _without(query, key, down, cursor).limit(limit + 1 - len(places))
        places += connection.execute(found)
    return Page(
        items=_jobs_at(connection, [place.number for place in places[:limit]]),
        next=_cursor(sort, places[limit - 1]) if len(places) > limit else None,
        total=_total(connection, wanted, conditions),
    )


def _jobs_at(connection: Connection, numbers: Sequence[int]) -> tuple[Job, ...]:
    """The jobs with these numbers, in their order."""
    rows = connection.execute(_AT, {"numbers": numbers}).mappings()
    found = {row["number"]: job_of(row) for row in rows}
    return tuple(found[number] for number in numbers)


_AT: Final = LIGHT.where(jobs.c.number.in_(bindparam("numbers", expanding=True)))


_ALWAYS: Final = frozenset(SORTS) - {"ended"}
"""What every job has."""


def _key(name: str, dialect: str) -> ColumnElement[Any]:
    """What jobs are sorted by. Raises `UsageError`."""
    if name in SORTS:
        return jobs.c[name]
    metric = name.removeprefix(METRICS)
    if not name.startswith(METRICS) or not metric or not metric.isprintable() or '"' in metric:
        raise UsageError(
            f"sort: expected one of {', '.join(SORTS)}, metrics.<name>, not '{name}'",
            code="TR-V012",
        )
    if dialect == "sqlite":
        return func.json_extract(jobs.c.metrics, f'$."{metric}"', type_=Double)
    from sqlalchemy import JSON

    value = func.json_extract_path_text(cast(jobs.c.metrics, JSON), metric)
    return cast(value, Double)


def _sorted(
    query: Select[Any], key: ColumnElement[Any], down: bool, cursor: _Cursor | None
) -> Select[Any]:
    """The jobs behind the cursor that have the key."""
    query = query.where(key.is_not(None))
    if key is jobs.c.number:
        if cursor is not None:
            query = query.where(key < cursor.number if down else key > cursor.number)
        return query.order_by(key.desc() if down else key)
    if cursor is not None:
        here, there = tuple_(key, jobs.c.number), tuple_(cursor.value, cursor.number)
        query = query.where(here < there if down else here > there)
    if down:
        return query.order_by(key.desc(), jobs.c.number.desc())
    return query.order_by(key, jobs.c.number)


def _without(
    query: Select[Any], key: ColumnElement[Any], down: bool, cursor: _Cursor | None
) -> Select[Any]:
    """The jobs behind the cursor that do not have the key."""
    number = jobs.c.number
    query = query.where(key.is_(None))
    if cursor is not None:
        query = query.where(number < cursor.number if down else number > cursor.number)
    return query.order_by(number.desc() if down else number)


def _conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.user is not None:
        found.append(jobs.c.user == wanted.user)
    if wanted.states:
        found.append(jobs.c.state.in_(wanted.states))
    if wanted.kinds:
        found.append(jobs.c.kind.in_(wanted.kinds))
    if wanted.text:
        named = jobs.c.name.icontains(wanted.text, autoescape=True)
        found.append(named | jobs.c.id.istartswith(wanted.text, autoescape=True))
    if wanted.parent is not None:
        found.append(jobs.c.parent == wanted.parent)
    if wanted.since is not None:
        found.append(jobs.c.created >= wanted.since)
    return found


def _total(
    connection: Connection, wanted: JobFilter, conditions: Sequence[ColumnElement[bool]]
) -> int:
    if not wanted.counted:
        query = select(func.count()).select_from(jobs).where(*conditions)
        return int(connection.execute(query).scalar_one())
    kept = select(func.coalesce(func.sum(counts.c.jobs), 0))
    if wanted.user is not None:
        kept = kept.where(counts.c.user == wanted.user)
    if wanted.states:
        kept = kept.where(counts.c.state.in_(wanted.states))
    return int(connection.execute(kept).scalar_one())


def _cursor(sort: str, row: Any) -> str:
    text = json.dumps([sort, row.value, row.number])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(text: str, sort: str) -> _Cursor:
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        kept, value, number = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise UsageError(
            "after: expected what came with a page as its `next`", code="TR-V012"
        ) from None
    whole = type(number) is int and (value is None or isinstance(value, str | int | float))
    if kept != sort or not whole:
        raise UsageError(
            f"after: expected the `next` of a page that is sorted by '{sort}'", code="TR-V012"
        )
    return _Cursor(value, number)
