"""Routes of what a job is and what its run has left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from trainer.service.keeping import (
    changes_of,
    curves_of,
    differences,
    files_of,
    open_file,
    outcome_of,
)
from trainer.service.refusals import Missing
from trainer.service.web import examples
from trainer.service.web.answers import Reply
from trainer.service.web.describing import answers
from trainer.service.web.jobs import Id
from trainer.service.web.roles import Reader, TheDesk
from trainer.service.web.schemas import ChangesOut, CurvesOut, DiffOut, FilesOut, RunOut
from trainer.service.web.shown import shown_event

PIECE: Final = 2**18
PAGE_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'"
)
"""Of a page that a run has left: its scripts run, but as of no origin, and reach nothing."""
PICTURE_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
TYPES: Final = {
    "html": ("text/html; charset=utf-8", PAGE_POLICY),
    "svg": ("image/svg+xml", PICTURE_POLICY),
    "png": ("image/png", PICTURE_POLICY),
    "json": ("application/json", PICTURE_POLICY),
    "txt": ("text/plain; charset=utf-8", PICTURE_POLICY),
}
"""Files that a browser shows, by how their names end, and what they may do there."""
SAVED: Final = {
    "csv": "text/csv; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "py": "text/x-python; charset=utf-8",
    "yaml": "text/yaml; charset=utf-8",
}
"""Files that it saves, as all others."""
_BYTES: Final[dict[str, Any]] = {
    "schema": {"type": "string", "format": "binary"}, "example": "…",
}  # fmt: skip

router: Final = APIRouter(tags=["runs"])


@router.get(
    "/jobs/{id}/spec",
    operation_id="get_job_spec",
    summary="The spec as it was written",
    responses=answers(
        None, 404, says="The spec.",
        content={"text/yaml": {"schema": {}, "example": examples.SPEC}},
    ),
    response_class=Response,
)  # fmt: skip
def get_job_spec(user: Reader, desk: TheDesk, name: Id) -> Response:
    """To the character."""
    return Response(desk.job(user, name).text, media_type="text/yaml")


@router.get(
    "/jobs/{id}/resolved",
    operation_id="get_job_resolved",
    summary="The values of the spec, with all defaults",
    responses=answers(
        None, 404, says="The values.",
        content={"application/json": {"schema": {"type": "object"}, "example": {"name": "xor"}}},
    ),
)  # fmt: skip
def get_job_resolved(user: Reader, desk: TheDesk, name: Id) -> Response:
    """As they are trained."""
    return Reply(desk.job(user, name).resolved)


@router.get(
    "/jobs/{id}/changes",
    operation_id="get_job_changes",
    summary="Every state that a job was in, and notes",
    responses=answers(ChangesOut, 404, example=examples.CHANGES),
)
def get_job_changes(user: Reader, desk: TheDesk, name: Id) -> Response:
    """The first first."""
    changes = changes_of(desk.store, desk.job(user, name))
    return Reply({"changes": [shown_event(event) for event in changes]})


@router.get(
    "/jobs/{id}/curves",
    operation_id="get_job_curves",
    summary="What was measured by epoch",
    responses=answers(CurvesOut, 404, example=examples.CURVES),
)
def get_job_curves(user: Reader, desk: TheDesk, name: Id) -> Response:
    """Thinned: of many points the lowest and the highest of each stretch."""
    job = desk.job(user, name)
    series, last = curves_of(desk.store, job, desk.folder(job))
    return Reply({"series": series, "last": last})


@router.get(
    "/jobs/{id}/run",
    operation_id="get_job_run",
    summary="How a job's run ended",
    responses=answers(RunOut, 404, 409, example=examples.RUN),
)
def get_job_run(user: Reader, desk: TheDesk, name: Id) -> Response:
    """Once it has ended."""
    job = desk.job(user, name)
    outcome = outcome_of(desk.folder(job))
    if outcome is None:
        raise Missing(f"the job {job.id} is {job.state}, and its run has not ended")
    return Reply(outcome)


@router.get(
    "/jobs/{id}/diff",
    operation_id="diff_jobs",
    summary="Where two jobs differ",
    responses=answers(DiffOut, 404, example=examples.DIFF),
)
def diff_jobs(
    user: Reader,
    desk: TheDesk,
    name: Id,
    other: Annotated[str, Query(alias="with", max_length=64, description="The other job.")],
) -> Response:
    """By the values of their specs with all defaults."""
    first, second = desk.job(user, name), desk.job(user, other)
    found = [asdict(each) for each in differences(first.resolved, second.resolved)]
    return Reply({"one": first.id, "other": second.id, "differences": found})


@router.get(
    "/jobs/{id}/files",
    operation_id="list_job_files",
    summary="The files that a run has left",
    responses=answers(FilesOut, 404, example=examples.FILES),
)
def list_job_files(user: Reader, desk: TheDesk, name: Id) -> Response:
    """Pictures, tables, pages, and the model."""
    found = files_of(desk.folder(desk.job(user, name)))
    return Reply({"files": [asdict(each) | {"type": type_of(each.path)} for each in found]})


@router.get(
    "/jobs/{id}/files/{path:path}",
    operation_id="get_job_file",
    summary="A file that a run has left",
    responses=answers(None, 404, content={"*/*": _BYTES}, says="The file."),
    response_class=Response,
)
def get_job_file(
    user: Reader,
    desk: TheDesk,
    name: Id,
    path: Annotated[str, Path(description="As the list of files has it.")],
) -> Response:
    """What a browser does with it is decided by how its name ends, not by what it holds."""
    file, size = open_file(desk.folder(desk.job(user, name)), path)
    headers = {"Content-Length": str(size), "Accept-Ranges": "none"}
    ending = path.rpartition(".")[2].lower()
    if ending in TYPES:
        headers["Content-Security-Policy"] = TYPES[ending][1]
        headers["X-Frame-Options"] = "SAMEORIGIN"
    else:
        name = quote(path.rpartition("/")[2], safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return FileReply(file, size, headers, type_of(path))


def type_of(path: str) -> str:
    """The type of a file, by how its name ends."""
    ending = path.rpartition(".")[2].lower()
    return TYPES[ending][0] if ending in TYPES else SAVED.get(ending, "application/octet-stream")


class FileReply(StreamingResponse):
    """So many bytes of a file, also if it grows; the file is closed, whatever becomes of them."""

    def __init__(self, file: IO[bytes], size: int, headers: dict[str, str], type: str) -> None:  # noqa: A002 (of media)
        super().__init__(_pieces(file, size), headers=headers, media_type=type)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        with self._file:
            await super().__call__(scope, receive, send)


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (piece := file.read(min(PIECE, size))):
        size -= len(piece)
        yield piece
