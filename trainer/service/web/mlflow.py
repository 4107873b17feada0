"""MLflow's server behind this one: its page and what that reads, for who sees the jobs of all.

MLflow knows no users here, so its server listens to this machine alone, and what is handed on is
told by list: its page may read, and only an admin may write. Its assistant, which runs commands for
whoever comes from this machine, is for nobody, since everything comes from this machine.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from trainer.errors import MachineError
from trainer.service.refusals import Forbidden, Missing
from trainer.service.web.describing import answers
from trainer.service.web.guard import SAFE
from trainer.service.web.reading import body_of
from trainer.service.web.roles import AUDIT, Reader

SECONDS: Final = 120.0
"""For which MLflow's server may say nothing."""
PIECE: Final = 2**16
POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "frame-src 'self' blob: data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
"""Of MLflow's page, whose styles stand in it, and whose charts make functions of texts."""
ARTIFACT_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Of what runs have left there: opened as a page of its own, it can do nothing."""
_API: Final = r"/mlflow/ajax-api/[23]\.0/mlflow/"
READS: Final = re.compile(
    r"/mlflow/(?:|version|health|static-files/.*|graphql|get-artifact"
    r"|model-versions/get-artifact|server-info)"
    rf"|{_API}(?!assistant|gateway|.*\.\.).*"
    r"|/mlflow/ajax-api/2\.0/mlflow-artifacts/artifacts(?:/.*)?"
)
"""What may be read."""
SEARCHES: Final = re.compile(
    r"/mlflow/graphql"
    rf"|{_API}(?:(?:runs|experiments|logged-models|datasets|issues|traces)/search"
    r"|experiments/search-datasets|registered-models/get-latest-versions|traces/batchGetInfos)"
)
"""What reads, though it is sent as if it wrote."""
NEVER: Final = re.compile(r"(^|/)(assistant|\.\.?)(/|$)|\\|//", re.I)
"""What is handed on for nobody."""
ARTIFACTS: Final = re.compile(r"artifact", re.I)
HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
ASKED: Final = frozenset(
    {"accept", "accept-language", "content-type", "if-none-match", "if-modified-since", "range"}
)
"""Headers that go to MLflow: neither secrets nor what says where the request came from."""
TOLD: Final = frozenset(
    {
        "content-type", "content-length", "content-disposition", "content-range", "accept-ranges",
        "etag", "last-modified", "location", "cache-control",
    }
)  # fmt: skip
"""Headers that come back: neither cookies nor what lets other pages read."""

router: Final = APIRouter(tags=["mlflow"])
_PAGE: Final[dict[str, Any]] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


@router.api_route(
    "/mlflow/{path:path}",
    methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    include_in_schema=False,
    responses=answers(None, 404, content=_PAGE),
    response_class=Response,
)
def ask_mlflow(
    request: Request,
    user: Reader,
    path: Annotated[str, Path()],
    body: Annotated[bytes, Depends(body_of)],
) -> Response:
    """Hands the request on."""
    address = request.app.state.mlflow
    if address is None:
        raise Missing("the service has no server of MLflow behind it")
    if not user.sees_all:
        raise Forbidden("MLflow shows the runs of all, which this token does not see")
    where = request.scope["path"]
    if NEVER.search(where.removeprefix("/mlflow")):
        raise Missing(f"MLflow is not asked for {where}")
    if request.method in SAFE:
        reads = READS.fullmatch(where) is not None
    else:
        reads = request.method == "POST" and SEARCHES.fullmatch(where) is not None
    if not reads and user.role != "admin":
        raise Forbidden("this changes something in MLflow, which needs the role admin")
    if reads:
        request.scope[AUDIT]["skip"] = True
    return _asked(address, request, body)


def _asked(address: str, request: Request, body: bytes) -> Response:
    """MLflow's answer. Raises `MachineError` where there is none."""
    connection = _Connection(address)
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    target = raw.decode("latin-1")
    if request.scope["query_string"]:
        target += "?" + request.scope["query_string"].decode("latin-1")
    headers = {name: value for name, value in request.headers.items() if name in ASKED}
    headers["Connection"] = "close"
    if request.headers.get("accept-encoding"):
        headers["Accept-Encoding"] = "identity"
    try:
        connection.request(request.method, target, body or None, headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException):
        connection.close()
        raise MachineError("MLflow's server does not answer", code="TR-V017") from None
    return _Answer(connection, answer, request.scope["path"])


class _Connection(http.client.HTTPConnection):
    """To an `http://` address of this machine, or to a socket: `unix:/path`."""

    def __init__(self, address: str) -> None:
        self._socket = address.removeprefix("unix:") if address.startswith("unix:") else None
        parts = urlsplit("http://localhost" if self._socket else address)
        super().__init__(parts.hostname or "localhost", parts.port, timeout=SECONDS)

    def connect(self) -> None:
        """Connects to the socket, or the address."""
        if self._socket is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._socket)


class _Answer(StreamingResponse):
    """What MLflow's server answers, as it comes; the connection is closed, whatever becomes of
    it.
    """

    def __init__(
        self, connection: _Connection, answer: http.client.HTTPResponse, path: str
    ) -> None:
        headers = {
            name.title(): value for name, value in answer.getheaders()
            if name.lower() in TOLD and name.lower() not in HOP_BY_HOP
        }  # fmt: skip
        artifact = ARTIFACTS.search(path) is not None
        headers["Content-Security-Policy"] = ARTIFACT_POLICY if artifact else POLICY
        headers["X-Frame-Options"] = "SAMEORIGIN"
        if "Location" in headers:  # at this service, whatever MLflow calls itself
            headers["Location"] = (
                urlsplit(headers["Location"])._replace(scheme="", netloc="").geturl()
            )
        super().__init__(_pieces(answer), answer.status, headers)
        self._connection, self._answer = connection, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()
            self._connection.close()


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read1(PIECE):
        yield piece
