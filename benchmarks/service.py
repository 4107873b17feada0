"""How quick the service is with ten thousand jobs in its queue: `python -m benchmarks.service`.

Clients submit, over connections that stay open; then pages of jobs are asked for,
while the queue is as long as it gets; then jobs are trained one after the other, and the service is
killed and started again. On SQLite, and on PostgreSQL where `--database` names one. Writes
benchmarks/SERVICE.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from trainer.checkpoints.environment import cpu
from trainer.service.store import Database, Store

CLIENTS: Final = 8
JOBS: Final = 10_000
PAGES: Final = 200
STARTS: Final = 40
PACED: Final = 1000
CHANCE: Final = random.Random(1)
PAGE: Final = Path(__file__).parent / "SERVICE.md"
SPEC: Final = """name: job {number}
seed: {number}
data:
  source: breast_cancer
  target: target
  split: {{validation: 0.2, test: 0.2}}
  standardize: true
model:
  layers:
    - {{units: 16, activation: sigmoid}}
    - {{units: 1}}
  loss: logistic
sgd: {{learning_rate: 0.1, momentum: 0.9, batch_size: 32, epochs: {epochs}}}
"""


@dataclass
class Served:
    """A service in a folder."""

    folder: Path
    database: str | None
    port: int = 8477
    secret: str = ""
    process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Makes its database, and a token."""
        opened = Database.open(self.database, self.folder)
        self.secret = Store(opened).add_token("bench", "bench", "admin", True, None)
        opened.close()

    def start(self) -> float:
        """Starts it; the seconds until it answers."""
        began = time.monotonic()
        options = ["--database", self.database] if self.database else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "service", "--port", str(self.port), "--workers",
             "1", "--no-mlflow", "--runs", str(self.folder), *options],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while True:
            try:
                self.ask(http.client.HTTPConnection("127.0.0.1", self.port), "GET", "/health")
                return time.monotonic() - began
            except OSError:
                time.sleep(0.02)

    def connect(self) -> http.client.HTTPConnection:
        """A connection that stays open."""
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def ask(
        self, over: http.client.HTTPConnection, method: str, path: str, body: str | None = None
    ) -> Any:
        """The JSON of an answer. Raises `ValueError` for one that is none of success."""
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/yaml"}
        over.request(method, path, body, headers)
        answer = over.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise ValueError(f"{answer.status}: {data[:300]!r}")
        return json.loads(data)

    def kill(self) -> None:
        """Kills it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ends it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)


@dataclass
class Figures:
    """Milliseconds of each kind of request, and seconds of what happens once."""

    times: dict[str, list[float]] = field(default_factory=dict)
    once: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Times what is done in it."""
        began = time.perf_counter()
        yield
        self.times.setdefault(what, []).append(1000 * (time.perf_counter() - began))

    def rows(self) -> Iterator[tuple[str, str]]:
        """What was measured, in words, and how quick it was."""
        for what, times in self.times.items():
            cuts = statistics.quantiles(times, n=100)
            yield what, f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, most {max(times):.0f} ms"
        for what, rate in self.rates.items():
            yield what, f"{rate:.0f}"
        for what, value in self.once.items():
            yield what, f"{value:.2f} s"


def measure(database: str | None, jobs: int) -> Figures:
    """All figures, on one database."""
    figures = Figures()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        served = Served(Path(folder) / "runs", database)
        served.folder.mkdir()
        served.prepare()
        figures.once["start, until it answers"] = served.start()
        over = served.connect()
        heavy = SPEC.format(number=0, epochs=10**6).replace("units: 16", "units: 2000")
        long = served.ask(over, "POST", "/jobs", heavy)
        _await_state(served, over, long["id"], "running")
        _submit(served, figures, jobs)
        _pages(served, figures, jobs)
        _starts(served, figures, long["id"])
        _recovery(served, figures)
        served.stop()
    return figures


def _submit(served: Served, figures: Figures, jobs: int) -> None:
    """One client by itself; several that submit some ten times a second each; and several of which
    each submits again as soon as it has its answer.
    """
    numbers = iter(range(1, jobs + 1))
    few = min(PACED, jobs // 4)
    _clients(served, figures, "submit, 1 client", 1, islice(numbers, few))
    paced = f"submit, {CLIENTS} clients, {CLIENTS * 10} a second in all"
    _clients(served, figures, paced, CLIENTS, islice(numbers, few), pause=0.1)
    began, left = time.monotonic(), jobs - 2 * few
    busy = f"submit, {CLIENTS} clients without a pause"
    _clients(served, figures, busy, CLIENTS, numbers)
    figures.rates[f"{busy}, a second"] = left / (time.monotonic() - began)


def _clients(
    served: Served, figures: Figures, what: str, count: int, numbers: Iterator[int],
    pause: float = 0.0,
) -> None:  # fmt: skip
    guard = threading.Lock()

    def work() -> None:
        over = served.connect()
        while True:
            with guard:
                number = next(numbers, None)
            if number is None:
                return
            with figures.timed(what):
                served.ask(over, "POST", "/jobs", SPEC.format(number=number, epochs=3))
            time.sleep(pause and CHANCE.uniform(0.5, 1.5) * pause)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _pages(served: Served, figures: Figures, jobs: int) -> None:
    over, after = served.connect(), ""
    for _ in range(PAGES):
        with figures.timed(f"a page of 50 of {jobs:,} queued jobs"):
            page = served.ask(over, "GET", f"/jobs?limit=50{after}")
        after = f"&after={page['next']}" if page["next"] else ""
    for sort in ("name", "-metrics.val_loss", "priority"):
        for _ in range(20):
            with figures.timed(f"a page sorted by {sort.lstrip('-')}"):
                served.ask(over, "GET", f"/jobs?limit=50&sort={sort}")


def _starts(served: Served, figures: Figures, long: str) -> None:
    """From the end of a job until the next one runs, as the journal of the service has it."""
    over = served.connect()
    served.ask(over, "POST", f"/jobs/{long}/cancel")
    ended = 0
    while ended < STARTS:
        time.sleep(1)
        ended = served.ask(over, "GET", "/jobs?limit=1")["counts"].get("finished", 0)
    before: float | None = None
    for event in sorted(_changes(served, over), key=lambda event: event["number"]):
        if event["to"] == "running" and before is not None:
            figures.times.setdefault("from the end of a job until the next runs", []).append(
                1000 * (event["time"] - before)
            )
        before = event["time"] if event["to"] in ("finished", "cancelled") else None


def _changes(served: Served, over: http.client.HTTPConnection) -> Iterator[Mapping[str, Any]]:
    done = served.ask(over, "GET", f"/jobs?state=finished&sort=number&limit={STARTS}")["jobs"]
    for job in done:
        for change in served.ask(over, "GET", f"/jobs/{job['id']}/changes")["changes"]:
            yield change | change.get("data", {})


def _recovery(served: Served, figures: Figures) -> None:
    served.kill()
    figures.once["killed and started: until it answers"] = served.start()
    began, over = time.monotonic(), served.connect()
    while not served.ask(over, "GET", "/jobs?state=running&limit=1")["jobs"]:
        time.sleep(0.02)
    figures.once["and from then until a job runs"] = time.monotonic() - began


def _await_state(served: Served, over: http.client.HTTPConnection, job: str, state: str) -> None:
    while served.ask(over, "GET", f"/jobs/{job}")["state"] != state:
        time.sleep(0.05)


def report(found: Mapping[str, Figures]) -> str:
    """The page."""
    lines = [
        "# The service under load", "",
        f"{JOBS:,} jobs in the queue, {CLIENTS} clients that submit at once over connections that "
        "stay open, one worker that trains meanwhile. The clients and the service share "
        f"{os.cpu_count()} cores of {cpu()}, {platform.system()}. Made by "
        "`make service-bench`.", "",
        f"| | {' | '.join(found)} |", f"|---|{'---|' * len(found)}",
    ]  # fmt: skip
    rows = {name: dict(figures.rows()) for name, figures in found.items()}
    lines += [
        f"| {what} | {' | '.join(each.get(what, '') for each in rows.values())} |"
        for what in next(iter(rows.values()))
    ]
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.service", description=__doc__)
    parser.add_argument("--database", help="of PostgreSQL, empty")
    parser.add_argument("--jobs", type=int, default=JOBS)
    options = parser.parse_args(arguments)
    databases: dict[str, str | None] = {"SQLite": None}
    if options.database:
        databases["PostgreSQL"] = options.database
    measured: dict[str, Callable[[], Figures]] = {
        name: (lambda address=address: measure(address, options.jobs))
        for name, address in databases.items()
    }  # fmt: skip
    text = report({name: make() for name, make in measured.items()})
    print(text)
    if options.jobs == JOBS:
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
