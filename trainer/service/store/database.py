"""The database: opened by one server, written by one thread, read by many."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from trainer.errors import TrainerError, UsageError
from trainer.service.store.connections import engine_of, shown, url_of
from trainer.service.store.faults import is_away, is_foreign, told
from trainer.service.store.holding import PATIENCE, HeldError, hold_file, hold_server
from trainer.service.store.refusals import StoreAway
from trainer.service.store.schema import migrate
from trainer.service.store.writing import Watch, Writer

T = TypeVar("T")
READ_SECONDS: Final = 3.0


class Database:
    """A database that this process has for itself, or is `beside` the one that has it. `name` is
    its address without the password.
    """

    def __init__(self, url: URL, release: Callable[[], None], beside: bool = False) -> None:
        """Raises what `open` raises. `release` gives back the lock of its file."""
        self.name, self._release, self._beside = shown(url), release, beside
        self._of_writer = engine_of(url, writing=True)
        self._of_readers = engine_of(url, writing=False)
        self._writer = Writer(self._connect, self.name)
        try:
            self._writer.begin(self._prepared())
        except BaseException:
            self._of_writer.dispose()
            raise

    @classmethod
    def open_beside(cls, address: str | None, folder: Path) -> Database:
        """The database, while a server may have it: for tokens and for reading, where it does not
        matter who writes first. Raises what `open` raises.
        """
        try:
            return cls.open(address, folder)
        except HeldError:
            return cls(url_of(address, folder), lambda: None, beside=True)

    @classmethod
    def open(cls, address: str | None, folder: Path) -> Database:
        """The database at the address, by default in the folder, with its tables as they are to be.

        Raises `UsageError` for an address that is none, a database of another program, and one that
        another server has, `MachineError` where it is damaged, cannot be written, or does not
        answer.
        """
        url = url_of(address, folder)
        release = hold_file(url)
        try:
            return cls(url, release)
        except BaseException:
            release()
            raise

    def read(self, do: Callable[[Connection], T]) -> T:
        """What a function finds in the database, all of it as of one moment. It is asked again
        where the connection was lost, for as long as a server takes to start anew. Raises
        `StoreAway`.
        """
        until, pause = time.monotonic() + READ_SECONDS, 0.01
        while True:
            try:
                return self._read(do)
            except DBAPIError as error:
                if not is_away(error) or time.monotonic() + pause > until:
                    raise told(error, self.name) from None
            time.sleep(pause)
            pause *= 2

    def write(self, do: Callable[[Connection], T]) -> T:
        """What comes of a function that writes, once it counts; or what it raised, and then nothing
        of it does. It may be called again where the connection was lost, so it must look whether
        what it writes is there. Raises `StoreAway` and `StoreFull`.
        """
        if self._writer.is_this_thread:
            raise RuntimeError("the thread that writes would wait for itself")
        return self.writing(do).result()

    def writing(self, do: Callable[[Connection], T]) -> Future[T]:
        """The same, without waiting."""
        return self._writer.ask(do)

    def watch(self, look: Callable[[Connection], Any], tell: Callable[[Any], None]) -> None:
        """Has `look` asked for a value before each commit, and `tell` told of a new one after it,
        in the thread that writes.
        """
        self._writer.watch(Watch(look, tell), self.read(look))

    def close(self) -> None:
        """Writes what waits, and lets others have the database."""
        self._writer.close()
        self._of_writer.dispose()
        self._of_readers.dispose()
        self._release()

    def _read(self, do: Callable[[Connection], T]) -> T:
        try:
            with self._of_readers.connect() as connection:
                return do(connection)
        except PoolTimeout:
            raise StoreAway(f"too many read the database {self.name} at once") from None

    def _connect(self, patience: float = 0.0) -> Connection:
        """A connection that may write, as nobody else's may."""
        connection = self._of_writer.connect()
        try:
            if self._of_writer.dialect.name == "postgresql" and not self._beside:
                hold_server(connection, self.name, patience)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepared(self) -> Connection:
        """The first such connection, with the tables made."""
        try:
            connection = self._connect(PATIENCE)
        except DBAPIError as error:
            raise self._unopened(error) from None
        try:
            with connection.begin():
                if not self._beside:
                    migrate(connection, self.name)
        except BaseException as error:
            connection.close()
            if isinstance(error, DBAPIError):
                raise self._unopened(error) from None
            raise
        return connection

    def _unopened(self, error: DBAPIError) -> TrainerError:
        if is_foreign(error):
            return UsageError(
                f"{self.name} is no database\n"
                "  hint: another file may have its name; the service does not write over it",
                code="TR-A003",
            )
        return told(error, self.name)
