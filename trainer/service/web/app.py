"""The app: every route, behind the gate."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from trainer.extras import package_version
from trainer.service.desk import Desk
from trainer.service.uploading import Uploads
from trainer.service.web import admin, files, jobs, mlflow, page, session, specs, streams, uploads
from trainer.service.web.answers import Reply, handle_errors
from trainer.service.web.describing import answers, describe
from trainer.service.web.feed import Feed
from trainer.service.web.gate import Gate
from trainer.service.web.measures import Measures
from trainer.service.web.roles import Reader, stated_roles

ROUTERS: Final = tuple(
    each.router for each in (page, session, admin, specs, jobs, files, streams, uploads, mlflow)
)
ABOUT: Final = """
Trains specs that come in, and tells how far they are. All but the page, `/health` and `POST
/session` needs a token: `Authorization: Bearer trn_…`. What is refused is told as `{"error",
"message"}`, a spec's mistakes with all of their places in `errors`.
"""

schema: Final = APIRouter(tags=["service"])


@schema.get(
    "/openapi.json",
    operation_id="get_openapi",
    summary="This document",
    responses=answers(
        None, says="The document.",
        content={"application/json": {"schema": {"type": "object"}, "example": {}}},
    ),
)  # fmt: skip
def get_openapi(request: Request, user: Reader) -> Response:
    """What is described here."""
    return Reply(request.app.openapi())


def create_app(
    desk: Desk,
    *,
    mlflow: str | None = None,
    unsent: Callable[[], int] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The service as an ASGI app. `mlflow` is the address of MLflow's server, which it hands on;
    `unsent` tells how many runs MLflow does not have whole; `clock` counts seconds for limits.

    Raises `ValueError` where a route does not say what it needs.
    """
    app = FastAPI(
        title="trainer",
        version=package_version(),
        description=ABOUT,
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    app.state.desk, app.state.mlflow = desk, mlflow
    app.state.uploads = Uploads(desk.store, desk.settings, desk.clock)
    app.state.feed = Feed(desk.store)
    app.state.measures = Measures(desk, unsent)
    for router in (*ROUTERS, schema):
        app.include_router(router)
    handle_errors(app)
    describe(app)
    stated_roles(app)
    app.add_middleware(Gate, desk=desk, measures=app.state.measures, clock=clock)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    await app.state.feed.start()
    try:
        yield
    finally:
        await app.state.feed.stop()
