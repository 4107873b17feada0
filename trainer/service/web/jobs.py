"""Routes of jobs: a spec comes in, is looked at, and steered."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from trainer.checkpoints.facts import recorded_of
from trainer.service.desk import Desk
from trainer.service.records import Job, Kind
from trainer.service.states import State
from trainer.service.store import JobFilter
from trainer.service.web.answers import Reply
from trainer.service.web.describing import answers, body
from trainer.service.web.examples import JOB, JOBS, SPEC
from trainer.service.web.reading import takes
from trainer.service.web.roles import AUDIT, Reader, Submitter, TheDesk
from trainer.service.web.schemas import JobOut, JobsOut, PriorityIn, SubmitIn
from trainer.service.web.shown import shown_job
from trainer.service.web.specs import YAML, AskedToSubmit

SORTS: Final = (
    r"^-?(number|name|state|priority|created|ended|epoch|seconds|metrics\.[^\x00-\x1f]{1,200})$"
)
router: Final = APIRouter(tags=["jobs"])

Id = Annotated[
    str, Path(alias="id", description="Of a job: all of its id, or six digits or more of it.")
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern="^[!-~]+$",
        description="The same request with the same key is taken in once.",
    ),
]


@router.post(
    "/jobs",
    operation_id="submit_job",
    summary="Submit a spec, to be trained",
    status_code=201,
    responses=answers(
        JobOut, 409, 413, 422, status=201, example=JOB,
        more={200: "The same came before, or the same was trained before."},
    ),
    openapi_extra=body(SubmitIn, {"spec": SPEC, "priority": 1}, **YAML),
)  # fmt: skip
def submit_job(
    request: Request, user: Submitter, desk: TheDesk, asked: AskedToSubmit, key: Key = None
) -> Response:
    """Queues a spec that has no mistakes."""
    submitted = desk.submit(user, asked, key)
    job = submitted.job
    request.scope[AUDIT]["job"] = job.id
    status = 201 if submitted.new and not job.known else 200
    headers = {"Location": f"/jobs/{job.id}"}
    return Reply(shown_job(job, submitted.place), status, headers)


@router.get(
    "/jobs",
    operation_id="list_jobs",
    summary="List jobs, a page at a time",
    responses=answers(JobsOut, example=JOBS),
)
def list_jobs(
    user: Reader,
    desk: TheDesk,
    state: Annotated[list[State] | None, Query()] = None,
    kind: Annotated[list[Kind] | None, Query()] = None,
    owner: Annotated[str | None, Query(alias="user", max_length=200)] = None,
    text: Annotated[
        str | None, Query(max_length=200, description="Within the name, or the id.")
    ] = None,
    parent: Annotated[str | None, Query(max_length=64)] = None,
    since: Annotated[float | None, Query(ge=0, le=1e12, allow_inf_nan=False)] = None,
    sort: Annotated[str, Query(pattern=SORTS)] = "-number",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[
        str | None, Query(max_length=1000, description="The `next` of the page before.")
    ] = None,
) -> Response:
    """Those that the user may see."""
    wanted = JobFilter(
        user=owner or None,
        states=tuple(state or ()),
        kinds=tuple(kind or ()),
        text=text or None,
        parent=parent or None,
        since=since,
    )
    page = desk.jobs(user, wanted, sort, limit, after or None)
    return Reply(
        {
            "jobs": [shown_job(job) for job in page.items],
            "next": page.next,
            "total": page.total,
            "counts": desk.counts(user),
        }
    )


@router.get(
    "/jobs/{id}",
    operation_id="get_job",
    summary="A job as it is",
    responses=answers(JobOut, 404, example=JOB),
)
def get_job(request: Request, user: Reader, desk: TheDesk, name: Id) -> Response:
    """With its place in the queue, and its page in MLflow."""
    return _told(request, desk, desk.job(user, name))


def _told(request: Request, desk: Desk, job: Job) -> Response:
    mlflow = _page_of(desk, job) if request.app.state.mlflow is not None else None
    return Reply(shown_job(job, desk.place(job), mlflow))


def _page_of(desk: Desk, job: Job) -> str | None:
    """Where MLflow shows the run of a job, once it has it."""
    known = recorded_of(desk.folder(job))
    return None if known is None or known.run_id is None else f"/mlflow/#/runs/{known.run_id}"


@router.patch(
    "/jobs/{id}",
    operation_id="prioritize_job",
    summary="Have a job begin sooner or later than the user's others",
    responses=answers(JobOut, 404, 409, 413, example=JOB),
    openapi_extra=body(PriorityIn, {"priority": 5}),
)
def prioritize_job(
    request: Request,
    user: Submitter,
    desk: TheDesk,
    name: Id,
    wanted: Annotated[Any, Depends(takes(PriorityIn))],
) -> Response:
    """Higher ones begin first."""
    request.scope[AUDIT]["priority"] = wanted.priority
    return _told(request, desk, desk.prioritize(user, name, wanted.priority))


@router.post(
    "/jobs/{id}/cancel",
    operation_id="cancel_job",
    summary="End a job; what was trained is kept",
    responses=answers(JobOut, 404, 409, example=JOB),
)
def cancel_job(request: Request, user: Submitter, desk: TheDesk, name: Id) -> Response:
    """One that runs ends when its worker has saved: its `wish` says so until then."""
    return _told(request, desk, desk.cancel(user, name))


@router.post(
    "/jobs/{id}/pause",
    operation_id="pause_job",
    summary="Have a job wait until it is resumed",
    responses=answers(JobOut, 404, 409, example=JOB),
)
def pause_job(request: Request, user: Submitter, desk: TheDesk, name: Id) -> Response:
    """One that runs pauses when its worker has saved: its `wish` says so until then."""
    return _told(request, desk, desk.pause(user, name))


@router.post(
    "/jobs/{id}/resume",
    operation_id="resume_job",
    summary="Queue a paused job again",
    responses=answers(JobOut, 404, 409, example=JOB),
)
def resume_job(request: Request, user: Submitter, desk: TheDesk, name: Id) -> Response:
    """It goes on where it was."""
    return _told(request, desk, desk.resume(user, name))
