"""Requests of every kind to the service, right ones and wrong ones, as its own description allows
and forbids them: no answer is a fault of the service, and each is one that is described.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode

from trainer.service.store import JobFilter

from .served import SPEC, Served, listening, serving
from .tally import Tally

CHECKS_LEFT: Final = (
    "positive_data_acceptance",  # a text of the right form may be a wrong spec, or no job's id
    "missing_required_header",
    "ignored_auth",  # the tests of the gate walk all routes
)
ONLY: tuple[str, ...] = ()
"""Operations that are asked, by their names; none are all of them."""
SHOWN: Final = 3
"""Failures that are told of each operation."""


def campaign(folder: Path, cases: int) -> Tally:
    """So many requests, shared by the operations and by right and wrong data."""
    tally = Tally("requests to the service")
    with serving(folder, requests_per_second=1e9, logins_per_minute=1e9) as served:
        prepare(served)
        with listening(served) as address:
            schema = described(served)
            found = [each.ok() for each in schema.get_all_operations()]
            operations = [each for each in found if not ONLY or _name(each) in ONLY]
            each = max(1, cases // (2 * len(operations)))
            for number, operation in enumerate(operations):
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    _ask(operation, mode, each, number, tally, asking(served, address))
    return tally


def _name(operation: Any) -> str:
    return str(operation.definition.raw["operationId"])


def prepare(served: Served) -> None:
    """Jobs in several states, so that there is something to find; streams end at once."""
    served.app.state.feed.closed = True
    client = served.client(served.token("root", "admin"))
    jobs = [client.submit(f"name: job {k}").json()["id"] for k in range(4)]
    served.store.claim({})
    client.post(f"/jobs/{jobs[1]}/pause")
    client.post(f"/jobs/{jobs[2]}/cancel")


def described(served: Served) -> Any:
    """The service's own description of itself."""
    raw = served.client(served.token("root", "admin")).get("/openapi.json").json()
    return schemathesis.openapi.from_dict(raw)


def asking(served: Served, address: str) -> Callable[[Any], None]:
    """A function that sends a case, some of them to a job that there is, and checks the answer."""
    jobs = [job.id for job in served.store.jobs(JobFilter()).items]
    headers = {"Authorization": f"Bearer {served.token('root', 'admin')}"}
    excluded = [getattr(schemathesis.checks, name) for name in CHECKS_LEFT]
    chance = random.Random(1)

    def ask(case: Any) -> None:
        served.work.draining = False
        if "id" in (case.path_parameters or {}) and chance.random() < 0.7:
            case.path_parameters["id"] = chance.choice(jobs)
        if case.media_type in ("application/yaml", "text/plain") and chance.random() < 0.5:
            case.body = SPEC
        left = excluded
        if case.operation.path == "/check" and case.media_type != "application/json":
            left = [*excluded, schemathesis.checks.negative_data_rejection]  # any text may come
        case.call_and_validate(base_url=address, headers=headers, excluded_checks=left)

    return ask


def _ask(
    operation: Any, mode: Any, count: int, number: int, tally: Tally, ask: Callable[[Any], None]
) -> None:
    """So many requests of one operation, each a case of the tally."""
    try:
        strategy = operation.as_strategy(generation_mode=mode)
    except Exception:  # an operation that takes nothing has no wrong data
        return
    found: dict[str, None] = {}
    asked = 0

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def run(case: Any) -> None:
        nonlocal asked
        asked += 1
        try:
            ask(case)
        except (Failure, FailureGroup) as error:
            for each in getattr(error, "exceptions", (error,)):
                found.setdefault(f"{type(each).__name__}: {str(each)[:300]}")

    try:
        run()
    except Exception as error:
        if "Unsatisfiable" not in type(error).__name__:
            raise
    for _ in range(max(0, asked - len(found))):
        tally.case(operation.label, None)
    for text in list(found)[:SHOWN]:
        tally.case(operation.label, text)
