"""Records as rows of the database, and back."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, bindparam, select

from trainer.service.records import Cost, Job
from trainer.service.store.tables import jobs, specs

LONG: Final = ("text", "resolved")
"""What of a job is in a table of its own."""
SHORT: Final = tuple(each.name for each in fields(Job) if each.name not in LONG)
LIGHT: Final[Select[Any]] = select(*(jobs.c[name] for name in SHORT))
"""Jobs without what is long."""
WHOLE: Final[Select[Any]] = select(
    *(jobs.c[name] for name in SHORT), specs.c.text, specs.c.resolved
).join(specs, specs.c.job == jobs.c.id)
_WHOLE_BY_ID: Final = WHOLE.where(jobs.c.id == bindparam("job"))
_BY_ID: Final = LIGHT.where(jobs.c.id == bindparam("job"))


def job_by_id(connection: Connection, job: str, *, whole: bool = True) -> Job | None:
    """The job with this id; without what is long, unless it is to be `whole`."""
    found = connection.execute(_WHOLE_BY_ID if whole else _BY_ID, {"job": job}).mappings().first()
    return None if found is None else job_of(found)


def job_of(row: RowMapping) -> Job:
    """The job of a row. A metric that is not finite was kept as null, and is NaN again."""
    values: dict[str, Any] = {name: row[name] for name in SHORT}
    values["cost"] = Cost(**values["cost"])
    values["metrics"] = {
        name: math.nan if value is None else value for name, value in values["metrics"].items()
    }
    for name in LONG:
        values[name] = row.get(name, "" if name == "text" else {})
    return Job(**values)


def row_of(job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is kept of a job: its row of `jobs`, and its row of `specs`."""
    short = {name: getattr(job, name) for name in SHORT} | {"cost": asdict(job.cost)}
    return short, {"job": job.id, "text": job.text, "resolved": job.resolved}
