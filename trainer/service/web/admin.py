"""Routes of the service itself: how it is, who may come in, who did what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from trainer.addresses import shown_address
from trainer.extras import package_version
from trainer.service.desk import Desk
from trainer.service.records import User
from trainer.service.refusals import Conflict, Forbidden, Missing
from trainer.service.web import examples
from trainer.service.web.answers import Reply
from trainer.service.web.describing import answers, body
from trainer.service.web.measures import CONTENT_TYPE, Measures
from trainer.service.web.reading import takes
from trainer.service.web.roles import AUDIT, Admin, Anybody, Reader, TheDesk
from trainer.service.web.schemas import (
    AuditOut,
    HealthOut,
    SecretOut,
    ServiceOut,
    TokenIn,
    TokensOut,
)
from trainer.service.web.shown import shown_token

DAY: Final = 86_400.0
router: Final = APIRouter(tags=["service"])


@router.get(
    "/health",
    operation_id="get_health",
    summary="Whether the service is there",
    dependencies=[Anybody],
    responses=answers(HealthOut, example=examples.HEALTH),
    openapi_extra={"security": []},
)
async def get_health(desk: TheDesk) -> Response:
    """It asks no database."""
    status = "draining" if desk.work.draining else "ok"
    return Reply({"status": status, "version": package_version()})


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Measures for Prometheus",
    responses=answers(
        None, says="All measures.",
        content={"text/plain": {"schema": {"type": "string"}, "example": "trainer_jobs 1.0"}},
    ),
    response_class=Response,
)  # fmt: skip
def get_metrics(request: Request, user: Reader) -> Response:
    """For who sees the jobs of all."""
    if not user.sees_all:
        raise Forbidden("measures are of the jobs of all, which this token does not see")
    measures: Measures = request.app.state.measures
    return Response(measures.text(), headers={"Content-Type": CONTENT_TYPE})


@router.get(
    "/service",
    operation_id="get_service",
    summary="The service as it is",
    responses=answers(ServiceOut, example=examples.SERVICE),
)
def get_service(request: Request, user: Reader, desk: TheDesk) -> Response:
    """Workers, jobs by state, and what it keeps where; addresses without their secrets."""
    settings = desk.settings
    mlflow = request.app.state.mlflow is not None and user.sees_all
    return Reply(
        {
            "version": package_version(),
            "workers": [_worker(desk, user, each) for each in desk.work.workers()],
            "counts": desk.counts(user),
            "draining": desk.work.draining,
            "store": shown_address(settings.database or "sqlite"),
            "tracking": settings.tracking_uri and shown_address(settings.tracking_uri),
            "mlflow": "/mlflow/" if mlflow else None,
            "last": desk.store.last_event(),
        }
    )


def _worker(desk: Desk, user: User, worker: dict[str, Any]) -> dict[str, Any]:
    """A worker, without the job of somebody whose jobs the user may not see."""
    shown = {name: worker.get(name) for name in ("name", "kind", "state", "job")}
    if shown["job"] is not None and not user.sees_all:
        job = desk.store.job(shown["job"])
        if job is None or job.user != user.name:
            shown["job"] = None
    return shown


@router.post(
    "/service/drain",
    operation_id="drain_service",
    summary="Begin nothing new",
    responses=answers(HealthOut, example={"status": "draining", "version": "0.1.0"}),
)
def drain_service(user: Admin, desk: TheDesk) -> Response:
    """What runs is saved and goes on when the service is started again."""
    desk.drain(user)
    return Reply({"status": "draining", "version": package_version()})


# Tokens -----------------------------------------------------------------------------------------


@router.get(
    "/tokens",
    operation_id="list_tokens",
    tags=["access"],
    summary="All tokens, without their secrets",
    responses=answers(TokensOut, example=examples.TOKENS),
)
def list_tokens(user: Admin, desk: TheDesk) -> Response:
    """Those that were revoked, too."""
    return Reply({"tokens": [shown_token(token) for token in desk.store.tokens()]})


@router.post(
    "/tokens",
    operation_id="add_token",
    tags=["access"],
    summary="Let somebody in",
    status_code=201,
    responses=answers(SecretOut, 409, 413, status=201, example={"token": "trn_…"}),
    openapi_extra=body(TokenIn, {"name": "ada-laptop", "user": "ada", "role": "submitter"}),
)
def add_token(
    request: Request,
    user: Admin,
    desk: TheDesk,
    wanted: Annotated[Any, Depends(takes(TokenIn))],
) -> Response:
    """The secret is told once."""
    request.scope[AUDIT].update(wanted.model_dump())
    if any(token.name == wanted.name for token in desk.store.tokens()):
        raise Conflict(f"there is a token '{wanted.name}', or was one")
    expires = None if wanted.days is None else desk.clock() + wanted.days * DAY
    secret = desk.store.add_token(
        wanted.name, wanted.user or wanted.name, wanted.role, wanted.all, expires
    )
    return Reply({"token": secret}, 201)


@router.delete(
    "/tokens/{name}",
    operation_id="revoke_token",
    tags=["access"],
    summary="Let a token let nobody in any more",
    status_code=204,
    responses=answers(None, 404, status=204, says="It lets nobody in."),
    response_class=Response,
)
def revoke_token(
    request: Request,
    user: Admin,
    desk: TheDesk,
    name: Annotated[str, Path(max_length=200, description="Of the token.")],
) -> Response:
    """Its sessions and streams end, too."""
    if all(token.name != name for token in desk.store.tokens()):
        raise Missing(f"there is no token '{name}'")
    desk.store.revoke(name)
    request.app.state.feed.check_access()
    return Response(status_code=204)


# Audit ------------------------------------------------------------------------------------------


@router.get(
    "/audit",
    operation_id="list_audit",
    summary="Who did what",
    responses=answers(AuditOut, example=examples.AUDIT),
)
def list_audit(
    user: Admin,
    desk: TheDesk,
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> Response:
    """The first first; each line holds the hash of the one before."""
    entries = desk.store.entries(after, limit)
    last = entries[-1].number if len(entries) == limit else None
    return Reply({"entries": [asdict(entry) for entry in entries], "next": last})
