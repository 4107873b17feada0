"""The page, as it lies in the package: one HTML file and what it names."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from starlette.responses import Response

from trainer.service.refusals import Missing
from trainer.service.web.describing import answers
from trainer.service.web.roles import Anybody

STATIC: Final = Path(__file__).parent.parent / "page" / "static"
NONCE: Final = b"__NONCE__"
"""Stands in the page where the nonce of its styles comes."""
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
_POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; frame-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HTML: Final[dict[str, Any]] = {
    "text/html": {"schema": {"type": "string"}, "example": "<!doctype html>"}
}
_ANY: Final[dict[str, Any]] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}

router: Final = APIRouter(tags=["page"], dependencies=[Anybody])


@dataclass(frozen=True)
class Static:
    """A file of the page, and the tag that changes with it."""

    data: bytes
    type: str
    sha256: str


@cache
def static_files() -> dict[str, Static]:
    """The files of the page by name, read once: whatever is asked for is looked up here, and no
    path is made of it.
    """
    if not STATIC.is_dir():
        return {}
    return {
        path.name: Static(data, TYPES[path.suffix], hashlib.sha256(data).hexdigest())
        for path in sorted(STATIC.iterdir())
        if path.suffix in TYPES and (data := path.read_bytes()) is not None
    }


@cache
def _page() -> bytes:
    path = STATIC / "index.html"
    return path.read_bytes() if path.is_file() else b"<!doctype html><title>trainer</title>"


@router.get(
    "/",
    operation_id="get_page",
    summary="The page",
    responses=answers(None, content=_HTML, says="The page."),
    openapi_extra={"security": []},
    response_class=Response,
)
async def get_page() -> Response:
    """Without data: these it asks for."""
    nonce = secrets.token_urlsafe(16)
    headers = {
        "Content-Security-Policy": _POLICY.format(nonce=nonce),
        "Cache-Control": "no-store",
    }
    page = _page().replace(NONCE, nonce.encode())
    return Response(page, headers=headers, media_type="text/html")


@router.get(
    "/static/{name:path}",
    operation_id="get_static",
    summary="A file of the page",
    responses=answers(
        None, 404, content=_ANY, says="The file.", more={304: "It is as it was."}
    ),
    openapi_extra={"security": []},
    response_class=Response,
)  # fmt: skip
async def get_static(
    request: Request,
    name: Annotated[str, InPath(description="Its name.")],
    v: Annotated[str | None, Query(description="The beginning of its SHA-256.")] = None,
) -> Response:
    """Kept for ever where its address names its hash."""
    file = static_files().get(name)
    if file is None:
        raise Missing(f"the page has no file '{name}'")
    tag = f'"{file.sha256[:32]}"'
    exact = v is not None and len(v) >= 8 and file.sha256.startswith(v)
    headers = {"ETag": tag, "Cache-Control": FOR_EVER if exact else "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, headers=headers, media_type=file.type)
