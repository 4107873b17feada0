"""The one thread that writes: it does what waits in one transaction, and answers once that counts.

What is done may be done again: where the connection is lost while a transaction is committed, no
one can tell whether it counts. So whatever is written has a name that its caller chose before, by
which it is found if it is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeAlias, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trainer.service.store.faults import ends_transaction, is_away, told
from trainer.service.store.holding import HeldError
from trainer.service.store.refusals import StoreAway

T = TypeVar("T")
MOST: Final = 256
"""So many are done in one transaction at most."""
PATIENCE: Final = 30.0
"""Seconds for which a database that is away is waited for."""
LONGEST_PAUSE: Final = 1.0


@dataclass(frozen=True)
class Asked(Generic[T]):
    """What is to be done, and who waits for it."""

    do: Callable[[Connection], T]
    answer: Future[T]


@dataclass(frozen=True)
class Watch:
    """What is looked at before each commit, and who is told once a new value of it counts."""

    look: Callable[[Connection], Any]
    tell: Callable[[Any], None]


_Done: TypeAlias = "tuple[Asked[Any], Any, Exception | None]"


class Writer:
    """The thread. `connect` makes a connection that may write; `name` is what the database is
    called in messages.
    """

    def __init__(
        self, connect: Callable[[], Connection], name: str, patience: float = PATIENCE
    ) -> None:
        self._connect, self._name, self._patience = connect, name, patience
        self._connection: Connection | None = None
        self._queue: SimpleQueue[Asked[Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._watch: Watch | None = None
        self._seen: Any = None
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)

    def begin(self, connection: Connection) -> None:
        """Starts on a connection that is there."""
        self._connection = connection
        self._thread.start()

    def ask(self, do: Callable[[Connection], T]) -> Future[T]:
        """Has something done; what comes of it is in the future once it counts."""
        asked = Asked(do, Future())
        with self._lock:
            if self._closed:
                asked.answer.set_exception(StoreAway(f"the database {self._name} is closed"))
            else:
                self._queue.put(asked)
        return asked.answer

    def watch(self, watch: Watch, seen: Any) -> None:
        """Looks at something before each commit from now on; `seen` is its value now."""
        self._seen, self._watch = seen, watch

    @property
    def is_this_thread(self) -> bool:
        """Whether it is the thread that asks: it cannot wait for itself."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Does what waits, and ends."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._drop()

    # In the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._take()
            if batch:
                self._answer(batch)

    def _take(self) -> tuple[list[Asked[Any]], bool]:
        """What waits, and whether nothing comes after it. Waits until there is something."""
        batch: list[Asked[Any]] = []
        asked = self._queue.get()
        while asked is not None:
            if asked.answer.set_running_or_notify_cancel():
                batch.append(asked)
            if len(batch) == MOST:
                return batch, False
            try:
                asked = self._queue.get_nowait()
            except Empty:
                if batch:
                    return batch, False
                asked = self._queue.get()
        return batch, True

    def _answer(self, batch: Sequence[Asked[Any]]) -> None:
        """Does all of it, hands out what came of it, and tells who watches."""
        try:
            done, seen = self._do(batch)
        except Exception as error:  # none of it counts, which each is to know
            for asked in batch:
                asked.answer.set_exception(error)
            return
        for asked, result, failure in done:
            if failure is None:
                asked.answer.set_result(result)
            else:
                asked.answer.set_exception(failure)
        if self._watch is not None and seen != self._seen:
            self._seen = seen
            self._watch.tell(seen)

    def _do(self, batch: Sequence[Asked[Any]]) -> tuple[list[_Done], Any]:
        """All of the batch in one transaction, which is tried until it counts."""
        until, pause = time.monotonic() + self._patience, 0.01
        while True:
            try:
                return self._try(batch)
            except HeldError as error:
                why = str(error)
            except DBAPIError as error:
                if not is_away(error):
                    raise told(error, self._name) from None
                why = str(told(error, self._name))
            self._drop()
            if time.monotonic() + pause > until:
                raise StoreAway(why)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _try(self, batch: Sequence[Asked[Any]]) -> tuple[list[_Done], Any]:
        """All of the batch in one transaction. Where one of them fails, which few do, all are done
        again, each behind a savepoint: these take a third of the time.
        """
        if self._connection is None:
            self._connection = self._connect()
        try:
            return self._once(self._connection, batch, _plainly)
        except Exception as error:  # whose it is shows when they are apart
            if isinstance(error, DBAPIError) and ends_transaction(error):
                raise
        return self._once(self._connection, batch, _apart)

    def _once(
        self, connection: Connection, batch: Sequence[Asked[Any]], do: Callable[..., _Done]
    ) -> tuple[list[_Done], Any]:
        with connection.begin():
            done = [do(connection, asked) for asked in batch]
            return done, None if self._watch is None else self._watch.look(connection)

    def _drop(self) -> None:
        """Lets go of a connection that may be of no use any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
            with suppress(SQLAlchemyError):
                connection.close()


def _plainly(connection: Connection, asked: Asked[Any]) -> _Done:
    """Does one thing. Raises whatever it raises."""
    return asked, asked.do(connection), None


def _apart(connection: Connection, asked: Asked[Any]) -> _Done:
    """Does one thing, and takes back what it wrote where it fails. Raises what concerns all."""
    part = connection.begin_nested()
    try:
        result = asked.do(connection)
    except DBAPIError as error:
        if ends_transaction(error):
            raise
        part.rollback()
        return asked, None, error
    except Exception as error:
        part.rollback()
        return asked, None, error
    part.commit()
    return asked, result, None
