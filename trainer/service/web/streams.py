"""Events as a stream: each once, in their order, from where the reader was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from trainer.errors import TrainerError, UsageError
from trainer.service.records import Event
from trainer.service.web.answers import encoded
from trainer.service.web.describing import answers
from trainer.service.web.feed import Feed, Wanted
from trainer.service.web.jobs import Id
from trainer.service.web.roles import AGAIN, Reader, TheDesk

PING: Final = 15.0
"""Seconds after which a stream says that it is there; then it also looks whether it still may."""
RETRY: Final = 2000
"""Milliseconds after which a reader that lost its stream comes back."""
AGAIN_NOW: Final = -1
"""No state of the feed's `access`: it is looked anew whether the stream may be read."""
MAX: Final = 2**63 - 1
_STREAM: Final[dict[str, Any]] = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": 'id: 7\nevent: state\ndata: {"job":"6f1c…","time":1.0,"from":"queued",'
        '"to":"running","reason":"","attempt":1}\n\n',
    }
}

router: Final = APIRouter(tags=["events"])


async def feed_of(request: Request) -> Feed:
    """The feed of the service."""
    feed: Feed = request.app.state.feed
    return feed


async def place_of(
    after: Annotated[
        int | None, Query(ge=0, le=MAX, description="The number of the last event that is known.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(description="The same, as browsers send it; it counts before `after`.")
    ] = None,
) -> int | None:
    """Where the reader was."""
    if last_event_id is None or not last_event_id.strip():
        return after
    if not last_event_id.isascii() or not last_event_id.isdecimal() or int(last_event_id) > MAX:
        raise UsageError("Last-Event-ID: expected the number of an event", code="TR-V012")
    return int(last_event_id)


Place = Annotated[int | None, Depends(place_of)]
TheFeed = Annotated[Feed, Depends(feed_of)]


@router.get(
    "/events",
    operation_id="stream_events",
    summary="What happens to all jobs that the user may see, from now on, or after an event",
    responses=answers(None, content=_STREAM),
    response_class=Response,
)
async def stream_events(request: Request, user: Reader, feed: TheFeed, place: Place) -> Response:
    """The stream of everything."""
    wanted = Wanted(user=None if user.sees_all else user.name)
    return _stream(request, feed, wanted, feed.last if place is None else place)


@router.get(
    "/jobs/{id}/events",
    operation_id="stream_job_events",
    summary="What happens to a job, from its beginning, or after an event",
    responses=answers(None, 404, content=_STREAM),
    response_class=Response,
)
async def stream_job_events(
    request: Request, user: Reader, desk: TheDesk, feed: TheFeed, name: Id, place: Place
) -> Response:
    """The stream of one job."""
    job = await run_in_threadpool(desk.job, user, name)
    return _stream(request, feed, Wanted(job=job.id), place or 0)


def _stream(request: Request, feed: Feed, wanted: Wanted, place: int) -> Response:
    allowed: Callable[[], Awaitable[bool]] = request.scope[AGAIN]
    streams = request.app.state.measures.streams
    return EventSourceResponse(
        _events(feed, wanted, place, allowed, streams),
        headers={"X-Accel-Buffering": "no"},  # proxies are to hand on each event at once
    )


async def _events(
    feed: Feed, wanted: Wanted, place: int, allowed: Callable[[], Awaitable[bool]], streams: Any
) -> AsyncIterator[bytes]:
    """The bytes of the stream: at most one page of events waits for a reader that is slow. It ends
    when the reader's token does, when the server does, or when the store is away: the reader comes
    back with the number of the last event that it has.
    """
    access = feed.access
    with streams.track_inprogress():
        yield format_sse_event(id=str(place), retry=RETRY, comment="events")
        while not feed.closed:
            try:
                if access != feed.access:
                    access = feed.access
                    if not await allowed():
                        return
                events, place = await feed.after(place, wanted)
            except TrainerError:
                return
            if events:
                yield b"".join(map(_written, events))
            elif not await feed.wait(place, access, PING):
                yield KEEPALIVE_COMMENT
                access = AGAIN_NOW


def _written(event: Event) -> bytes:
    data = {"job": event.job, "time": event.time, **event.data}
    text = encoded(data).decode()
    return format_sse_event(data_str=text, event=event.kind, id=str(event.number))
