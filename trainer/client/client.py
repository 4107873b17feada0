"""The service from Python."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from trainer.client import sending
from trainer.client.access import Access, find_access
from trainer.client.answers import located
from trainer.client.jobs import RemoteFile, RemoteJob, job_of, token_of, told, user_of
from trainer.client.specs import SpecLike, written
from trainer.client.stream import Follower
from trainer.client.wire import Request, Wire
from trainer.errors import DataError, ServiceError, SpecError
from trainer.service.records import Event, Kind, Role, Token, User
from trainer.service.states import State

PAGE: Final = 200
LONGEST_LOOK: Final = 2.0


class Client:
    """A training service. Without arguments it is the one that the variables `TRAINER_SERVER` and
    `TRAINER_TOKEN`, or the default profile, name.

    What goes wrong is a `TrainerError`: mistakes of a spec come as from a check of the file
    itself, and a service that is away, refuses the token or fails as `ServiceError`. A service
    that was there is waited for, `patience` seconds long; nothing is done twice by that. Several
    threads need a client each.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        profile: str | None = None,
        patience: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.access: Access = find_access(url, token, profile)
        self._sleep = sleep
        self._wire = Wire(self.access, patience, sleep)

    def __repr__(self) -> str:
        return f"Client({self.access.server!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of its connections."""
        self._wire.close()

    # Jobs -----------------------------------------------------------------------------------

    def check(
        self, spec: SpecLike, *, kind: Kind | None = None, folds: int | None = None
    ) -> Mapping[str, Any]:
        """What the service says of a spec without queueing it: its `kind`, `name`, `cost`,
        `layers`, and as `known` the job that trained it before. Raises `SpecError` or `DataError`
        with all mistakes.
        """
        what = written(spec)
        data = _given(spec=what.spec, kind=kind, folds=folds)
        answer = self._object("POST", "/check", data=data, again=True, sent=what.sent)
        if answer.get("valid") is False:
            wrong = DataError if answer.get("error") == "data" else SpecError
            problems = located(answer.get("errors"), what.sent)
            raise wrong(problems or "the service does not say what is wrong", code="TR-V003")
        return answer

    def submit(
        self,
        spec: SpecLike,
        *,
        kind: Kind | None = None,
        folds: int | None = None,
        priority: int = 0,
        again: bool = False,
        parent: str | None = None,
        key: str | None = None,
    ) -> RemoteJob:
        """Queues a spec; or gives the job of what was trained before, unless `again`. Once, however
        often it is sent: by a key that it makes, or by yours, which a program that is started anew
        gives again.
        """
        what = written(spec)
        data = _given(spec=what.spec, kind=kind, folds=folds, priority=priority or None,
                      again=again or None, parent=parent)  # fmt: skip
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._job(
            self._object("POST", "/jobs", data=data, headers=headers, again=True, sent=what.sent)
        )

    def job(self, job: str | RemoteJob) -> RemoteJob:
        """A job as it is now, by its id, or a beginning of it that no other has."""
        return self._job(self._object("GET", _path(job)))

    def jobs(
        self,
        *,
        state: State | Iterable[State] = (),
        kind: Kind | None = None,
        user: str | None = None,
        text: str | None = None,
        parent: str | None = None,
        sort: str = "-number",
        limit: int | None = None,
    ) -> Iterator[RemoteJob]:
        """The jobs that one may see, the latest first; `limit` is how many at most. `sort` is a
        field, or `metrics.NAME`, with `-` for the largest first.
        """
        states = [state] if isinstance(state, str) else list(state)
        query = _given(state=states or None, kind=kind, user=user, text=text, parent=parent,
                       sort=sort)  # fmt: skip
        left, after = limit, None
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            page = self._object("GET", "/jobs", query=query | _given(limit=size, after=after))
            found = _list(page, "jobs")
            yield from map(self._job, found)
            left = None if left is None else left - len(found)
            after = page.get("next")
            if after is None:
                return

    def cancel(self, job: str | RemoteJob) -> RemoteJob:
        """Ends a job. What it has trained is kept."""
        return self._control(job, "cancel")

    def pause(self, job: str | RemoteJob) -> RemoteJob:
        """Has a job wait until it is resumed; its worker saves it first."""
        return self._control(job, "pause")

    def resume(self, job: str | RemoteJob) -> RemoteJob:
        """Has a paused job go on, to the bits of one that never waited."""
        return self._control(job, "resume")

    def _control(self, job: str | RemoteJob, verb: str) -> RemoteJob:
        # to ask for what is so already changes nothing
        return self._job(self._object("POST", f"{_path(job)}/{verb}", again=True))

    def prioritize(self, job: str | RemoteJob, priority: int) -> RemoteJob:
        """Has a queued job begin before those of less priority."""
        return self._job(self._object("PATCH", _path(job), data={"priority": priority}))

    # What becomes of them -------------------------------------------------------------------

    def events(
        self, job: str | RemoteJob | None = None, after: int | None = None
    ) -> Iterator[Event]:
        """The events of a job as they happen, from its first, or the first after the number
        `after`, until it is over; or of all jobs that one may see, from now on, without an end.
        Each comes once, also where the connection breaks.
        """
        if job is None:
            return Follower(self._wire, "/events", after, None).events()
        found = self.job(job)
        look = partial(self.job, found)
        return Follower(self._wire, f"{_path(found)}/events", after, look).events()

    def wait(self, job: str | RemoteJob, timeout: float | None = None) -> RemoteJob:
        """The job once it is over; or, after `timeout` seconds, as it is then."""
        until = None if timeout is None else time.monotonic() + timeout
        pause = 0.1
        while True:
            found = self.job(job)
            left = pause if until is None else min(pause, until - time.monotonic())
            if found.over or left <= 0:
                return found
            self._sleep(left)
            pause = min(1.5 * pause, LONGEST_LOOK)

    def run(self, job: str | RemoteJob) -> Mapping[str, Any]:
        """What came out: `status`, `metrics`, hashes, findings, notes."""
        return self._object("GET", f"{_path(job)}/run")

    def curves(self, job: str | RemoteJob) -> Mapping[str, Sequence[tuple[float, float | None]]]:
        """Its series by name, as pairs of epoch and value; thinned where they are long."""
        series = self._object("GET", f"{_path(job)}/curves").get("series")
        return series if isinstance(series, dict) else {}

    def changes(self, job: str | RemoteJob) -> Sequence[Mapping[str, Any]]:
        """What states it came into, when and why."""
        return _list(self._object("GET", f"{_path(job)}/changes"), "changes")

    def files(self, job: str | RemoteJob) -> Sequence[RemoteFile]:
        """The files of its run."""
        answer = self._object("GET", f"{_path(job)}/files")
        return [told(RemoteFile, each) for each in _list(answer, "files")]

    def download(self, job: str | RemoteJob, path: str, to: Path) -> Path:
        """Writes a file of its run to `to`, whole or not at all."""
        return sending.fetch(self._wire, f"{_path(job)}/files/{quote(path)}", to)

    def upload(self, path: Path, told: sending.Told | None = None) -> str:
        """Sends a file, unless the service has it; its SHA-256, as a spec names it:
        `{upload: …, as: csv}`. What a lost connection or a stopped program has sent is not sent
        again. `told` is called with the bytes that are there, and all of them.
        """
        return sending.send(self._wire, Path(path), told)

    # The service ----------------------------------------------------------------------------

    def me(self) -> User:
        """Who the token stands for."""
        return user_of(self._object("GET", "/session"))

    def service(self) -> Mapping[str, Any]:
        """Its version, workers, and how many jobs are in which state."""
        return self._object("GET", "/service")

    def tokens(self) -> Sequence[Token]:
        """All tokens, without their secrets. For administrators."""
        return [token_of(each) for each in _list(self._object("GET", "/tokens"), "tokens")]

    def add_token(
        self, name: str, user: str, role: Role, *, sees_all: bool = False, days: float | None = None
    ) -> str:
        """Makes a token; its secret, which is told once. For administrators."""
        data = {"name": name, "user": user, "role": role, "all": sees_all, "days": days}
        secret = self._object("POST", "/tokens", data=data).get("token")
        if not isinstance(secret, str):
            raise ServiceError("the service tells no token", code="TR-V003")
        return secret

    def revoke_token(self, name: str) -> None:
        """Has a token let nobody in any more. For administrators."""
        self._wire.ask(Request("DELETE", f"/tokens/{quote(name, safe='')}"))

    def _job(self, value: Any) -> RemoteJob:
        return job_of(value, self.access.server)

    def _object(self, method: str, path: str, **more: Any) -> Mapping[str, Any]:
        return self._wire.object(Request(method, path, **more))


def _path(job: str | RemoteJob) -> str:
    return f"/jobs/{quote(job if isinstance(job, str) else job.id, safe='')}"


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise ServiceError(f"the service's answer has no list '{name}'", code="TR-V003")
    return found
