"""Routes of who asks: a token or a code for a cookie, which no script can read."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from trainer.errors import UsageError
from trainer.service.refusals import Unauthorised
from trainer.service.web import examples
from trainer.service.web.answers import Reply
from trainer.service.web.describing import answers, body
from trainer.service.web.gate import COOKIE, credential_of
from trainer.service.web.guard import Headers
from trainer.service.web.reading import takes
from trainer.service.web.roles import AUDIT, FAILED, Anybody, Reader, TheDesk
from trainer.service.web.schemas import SessionIn, UserOut
from trainer.service.web.shown import shown_user

router: Final = APIRouter(tags=["access"])


@router.post(
    "/session",
    operation_id="log_in",
    summary="A cookie for a token, or for a code that is used up by this",
    dependencies=[Anybody],
    responses=answers(UserOut, 413, example=examples.USER),
    openapi_extra=body(SessionIn, {"token": "trn_…"}) | {"security": []},
)
def log_in(
    request: Request, desk: TheDesk, given: Annotated[Any, Depends(takes(SessionIn))]
) -> Response:
    """The cookie ends with the token that it was made of."""
    if (given.token is None) == (given.code is None):
        raise UsageError("expected either a `token` or a `code`", code="TR-V012")
    store = desk.store
    user = store.token(given.token) if given.code is None else store.redeem(given.code)
    said = request.scope[AUDIT]
    said["by"] = "token" if given.code is None else "code"
    if user is None:
        request.scope[FAILED]()
        said["failed"] = True
        raise Unauthorised("this lets nobody in: it is not known, was used, revoked or has expired")
    said |= {"user": user.name, "token": user.token}
    hours = desk.settings.session_hours
    answer = Reply(shown_user(user))
    answer.set_cookie(
        COOKIE,
        store.add_session(user, hours),
        max_age=int(hours * 3600),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.get(
    "/session",
    operation_id="who_am_i",
    summary="Who asks, and what it may",
    responses=answers(UserOut, example=examples.USER),
)
async def who_am_i(user: Reader) -> Response:
    """By its token or its cookie."""
    return Reply(shown_user(user))


@router.delete(
    "/session",
    operation_id="log_out",
    summary="End the session of the cookie",
    status_code=204,
    responses=answers(None, status=204, says="It has ended."),
    response_class=Response,
)
def log_out(request: Request, user: Reader, desk: TheDesk) -> Response:
    """A token is not ended by this."""
    shown = credential_of(Headers.of(request.scope["headers"]))
    if shown is not None and shown.cookie:
        desk.store.end_session(shown.secret)
        request.app.state.feed.check_access()
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, secure=request.url.scheme == "https", httponly=True,
                         samesite="strict")  # fmt: skip
    return answer
