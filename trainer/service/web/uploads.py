"""Routes of files that are sent to the service."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from trainer.errors import UsageError
from trainer.service.records import Upload
from trainer.service.uploading import Piece, Uploads
from trainer.service.web import examples
from trainer.service.web.answers import Reply
from trainer.service.web.describing import answers
from trainer.service.web.roles import AUDIT, Reader, Submitter, TheDesk
from trainer.service.web.schemas import UploadOut, UploadsOut
from trainer.service.web.shown import shown_upload

PIECE: Final = 2**20
"""Bytes that are written at a time."""
MAX: Final = 2**53

router: Final = APIRouter(tags=["data"])

Sha256 = Annotated[
    str, Path(pattern="^[0-9a-f]{64}$", description="Of the whole file, in hexadecimal digits.")
]


async def uploads_of(request: Request) -> Uploads:
    """The files that were sent."""
    uploads: Uploads = request.app.state.uploads
    return uploads


TheUploads = Annotated[Uploads, Depends(uploads_of)]


@router.get(
    "/data",
    operation_id="list_data",
    summary="The files that the user has sent",
    responses=answers(UploadsOut, example=examples.UPLOADS),
)
def list_data(user: Reader, desk: TheDesk, uploads: TheUploads) -> Response:
    """And those of which a part is here."""
    sent = uploads.sent(user)
    return Reply(
        {
            "uploads": [shown_upload(each) for each in sent],
            "held": sum(each.received for each in sent),
            "most": desk.settings.data_per_user,
        }
    )


@router.head(
    "/data/{sha256}",
    operation_id="head_data",
    summary="How much of a file is here",
    responses=answers(None, 404, says="In `Upload-Offset`, of `Upload-Length`."),
    response_class=Response,
)
def head_data(user: Reader, uploads: TheUploads, sha256: Sha256) -> Response:
    """Sending goes on from there."""
    return Response(headers=_headers(uploads.one(user, sha256)))


@router.put(
    "/data/{sha256}",
    operation_id="put_data",
    summary="Send a file, or a piece of it",
    status_code=201,
    responses=answers(
        UploadOut, 409, 413, 422, status=201, example=examples.UPLOAD,
        more={202: "A part of it is here; go on from `Upload-Offset`."},
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)  # fmt: skip
async def put_data(
    request: Request,
    user: Submitter,
    uploads: TheUploads,
    sha256: Sha256,
    upload_offset: Annotated[
        int, Header(ge=0, le=MAX, description="Which byte of the file is the first here.")
    ] = 0,
    upload_length: Annotated[
        int | None,
        Header(ge=0, le=MAX, description="Of the whole file; by default all that comes here."),
    ] = None,
) -> Response:
    """What came is kept also if the connection is lost."""
    size = upload_length if upload_length is not None else upload_offset + _length(request)
    upload, piece = await run_in_threadpool(uploads.begin, user, sha256, size, upload_offset)
    if piece is not None:
        upload = await _received(request, uploads, upload, piece)
    status = 201 if upload.whole else 202
    if status == 202:
        request.scope[AUDIT]["skip"] = True
    return Reply(shown_upload(upload), status, _headers(upload))


async def _received(request: Request, uploads: Uploads, upload: Upload, piece: Piece) -> Upload:
    """The file after what comes; what came before the connection is lost is kept."""
    held = bytearray()
    try:
        try:
            async for data in request.stream():
                held += data
                if len(held) >= PIECE:
                    await run_in_threadpool(piece.write, bytes(held))
                    held.clear()
        finally:
            piece.write(bytes(held))
        return await run_in_threadpool(uploads.end, upload, piece)
    finally:
        uploads.leave(upload, piece)


def _length(request: Request) -> int:
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise UsageError("Upload-Length: expected how many bytes the file has", code="TR-V012")
    return int(length)


def _headers(upload: Upload) -> dict[str, Any]:
    return {"Upload-Offset": str(upload.received), "Upload-Length": str(upload.size)}


@router.delete(
    "/data/{sha256}",
    operation_id="delete_data",
    summary="Forget a file",
    status_code=204,
    responses=answers(None, 404, status=204, says="It is forgotten."),
    response_class=Response,
)
def delete_data(user: Submitter, uploads: TheUploads, sha256: Sha256) -> Response:
    """A job that needs it and has not read it yet fails."""
    uploads.drop(user, sha256)
    return Response(status_code=204)
