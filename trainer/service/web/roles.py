"""What each route needs of who comes: every one says it, and an app with one that does not is not
made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts

from trainer.service.desk import Desk
from trainer.service.records import Role, User
from trainer.service.refusals import Forbidden, Unauthorised

PUBLIC: Final[frozenset[tuple[str, str]]] = frozenset(
    {("GET", "/health"), ("GET", "/"), ("GET", "/static/{name:path}"), ("POST", "/session")}
)
"""All that is answered without a token: method and path of the route."""
USER: Final = "trainer.user"
"""Where the gate puts who comes into the scope."""
AGAIN: Final = "trainer.again"
"""Where it puts a function that says whether whoever came may still come."""
AUDIT: Final = "trainer.audit"
"""Where it puts a mapping, in which routes put what else the audit log is to say."""
FAILED: Final = "trainer.failed"
"""Where it puts a function to be called of a login that failed."""


@dataclass(frozen=True)
class Needs:
    """A dependency: who comes, if it may do what needs this role."""

    role: Role

    async def __call__(self, request: Request) -> User:
        """Raises `Unauthorised` and `Forbidden`."""
        user = request.scope.get(USER)
        if not isinstance(user, User):
            raise Unauthorised("this needs a token")
        if not user.may(self.role):
            raise Forbidden(f"this needs the role {self.role}, and {user.name} is a {user.role}")
        return user


async def public() -> None:
    """A dependency of the few routes that anybody may use: that they say so."""


async def desk_of(request: Request) -> Desk:
    """The desk of the service."""
    desk: Desk = request.app.state.desk
    return desk


Reader = Annotated[User, Depends(Needs("reader"))]
Submitter = Annotated[User, Depends(Needs("submitter"))]
Admin = Annotated[User, Depends(Needs("admin"))]
Anybody: Final = Depends(public)
TheDesk = Annotated[Desk, Depends(desk_of)]


def is_public(method: str, path: str) -> bool:
    """Whether a request is for one of the public routes."""
    if method == "GET" and path.startswith("/static/"):
        return True
    return (method, path) in PUBLIC


@dataclass(frozen=True)
class Stated:
    """A route, and the role it says; None is public."""

    method: str
    path: str
    role: Role | None
    operation: str | None


def stated_roles(app: FastAPI) -> list[Stated]:
    """What every route of the app says. Raises `ValueError` for one that says nothing, that says
    two things, or is public and not in the list of those; also for what is no route of an API, as
    a mount, of which nobody can say what it lets in.
    """
    found = []
    for route in iter_route_contexts(app.routes):
        calls = _calls(getattr(route, "dependant", None))
        roles: list[Role | None] = [call.role for call in calls if isinstance(call, Needs)]
        roles += [None for call in calls if call is public]
        if len(roles) != 1:
            raise ValueError(f"the route {route.path} must say one role, and says {len(roles)}")
        for method in sorted(route.methods or ()):
            if roles[0] is None and (method, route.path) not in PUBLIC:
                raise ValueError(f"the route {method} {route.path} may not be public")
            found.append(Stated(method, route.path or "", roles[0], route.operation_id))
    return found


def _calls(dependant: Any) -> Iterable[Any]:
    return [] if dependant is None else [each.call for each in dependant.dependencies]
