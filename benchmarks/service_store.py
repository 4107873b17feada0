"""How soon the service's store answers while it holds many jobs.

    python -m benchmarks.service_store [--jobs 10000] [--database postgresql://…]

Submits with eight threads, claims, and reads pages in every order, of all jobs and of one user's.
The jobs that are there before are written at once, and not counted. An address must be that of an
empty database.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, insert, text, update

from trainer.service.records import Job
from trainer.service.states import STATES, State
from trainer.service.store import Database, JobFilter, Store
from trainer.service.store.listing import SORTS
from trainer.service.store.rows import row_of
from trainer.service.store.tables import counters, counts, events, jobs, specs

USERS = [f"user{i}" for i in range(20)]
SPEC = "sgd: {learning_rate: 0.1}\n" * 60
THREADS, SUBMITTED, CLAIMED, PAGES = 8, 100, 100, 9


def job(number: int, user: str, draws: random.Random, state: State = "queued") -> Job:
    """A job like many others."""
    over = state in ("finished", "diverged", "failed", "cancelled")
    return Job(
        id=UUID(int=draws.getrandbits(128)).hex, number=number, user=user,
        name=f"spec-{draws.randrange(500)}", kind="train", text=SPEC,
        resolved={"text": SPEC}, file="spec.yaml", state=state, priority=draws.randrange(3),
        epoch=draws.randrange(100), seconds=draws.random() * 100,
        metrics={"val_loss": draws.random(), "val_accuracy": draws.random()},
        created=1.7e9 + number, ended=1.7e9 + number + draws.randrange(1000) if over else None,
    )  # fmt: skip


def fill(store: Database, size: int, draws: random.Random) -> None:
    """Writes so many jobs, a third of them queued, half of them one user's."""
    states: list[State] = ["queued", "finished", "finished", "diverged"]
    counted: dict[tuple[str, State], int] = {}
    made = []
    for number in range(1, size + 1):
        state = draws.choice(states)
        user = USERS[0] if draws.random() < 0.5 else draws.choice(USERS)
        counted[user, state] = counted.get((user, state), 0) + 1
        made.append(job(number, user, draws, state))

    def write(connection: Connection) -> None:
        for start in range(0, size, 1000):
            rows = [row_of(each) for each in made[start : start + 1000]]
            more = {"place": 0, "key": None, "request": "", "wish": None}
            connection.execute(insert(jobs), [short | more for short, _ in rows])
            connection.execute(insert(specs), [long for _, long in rows])
            told = [
                {"number": each.number, "job": each.id, "user": each.user, "time": each.created,
                 "kind": "state", "data": {}, "mark": None}
                for each in made[start : start + 1000]
            ]  # fmt: skip
            connection.execute(insert(events), told)
        values = [{"user": u, "state": s, "jobs": n} for (u, s), n in counted.items()]
        connection.execute(insert(counts), values)
        connection.execute(update(counters).values(value=size))

    store.write(write)
    if "postgresql" in store.name:
        store.write(lambda connection: connection.execute(text("ANALYZE")).rowcount)


def timed(what: str, do: Callable[[], object], times: int = PAGES) -> None:
    """Prints how long it takes: the median and the longest."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        do()
        taken.append(1e3 * (time.perf_counter() - begun))
    print(f"{what:<40} {statistics.median(taken):9.2f} ms {max(taken):9.2f} ms", flush=True)


def submit_all(store: Store) -> None:
    """Submits with several threads at once, and prints how many a second."""

    def submit(thread: int) -> None:
        draws = random.Random(1000 + thread)
        for number in range(SUBMITTED):
            store.submit(job(0, draws.choice(USERS), draws), f"key-{thread}-{number}", "request")

    threads = [threading.Thread(target=submit, args=(i,)) for i in range(THREADS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - begun
    print(f"{f'submitted by {THREADS} threads':<40} {THREADS * SUBMITTED / taken:9.0f} /s")


def main() -> None:
    """Measures all of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--database")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(given.database, Path(folder))
        store = Store(database)
        fill(database, given.jobs, random.Random(0))
        print(f"{database.name}: {given.jobs:,} jobs\n{'':<40} {'median':>9}    {'longest':>9}")
        submit_all(store)
        timed("claim", lambda: store.claim({}), CLAIMED)
        queued = store.jobs(JobFilter(states=("queued",)), "-number", 1).items[0]
        timed("place", lambda: store.place(queued))
        timed("counts", lambda: store.counts(None))
        timed("events, 500 of a user", lambda: store.events(0, None, USERS[0]))
        filters = {
            "": JobFilter(), ", of a user": JobFilter(user=USERS[0]),
            ", of a small user": JobFilter(user=USERS[1]),
            ", by a text": JobFilter(text="c-12"), ", running": JobFilter(states=("running",)),
            ", over of a user": JobFilter(user=USERS[0], states=STATES[4:]),
        }  # fmt: skip
        for name, wanted in filters.items():
            for sort in (*SORTS, "metrics.val_loss"):
                first = store.jobs(wanted, f"-{sort}", 50)

                page = partial(store.jobs, wanted, f"-{sort}", 50, first.next)
                timed(f"a page by {sort}{name}", page)
        store.close()


if __name__ == "__main__":
    main()
