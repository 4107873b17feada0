"""The service, whose server, workers, recorder, database or cluster are killed again and again:
each job that was taken in ends once, with the bits of an untouched run, its points in MLflow once.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final

import trainer
from trainer.client import Client
from trainer.errors import TrainerError
from trainer.service.states import OVER, may_become
from trainer.service.store import Database, Store

from .sweeps import SWEEP
from .tally import Tally

ROOT: Final = Path(__file__).parents[2]
SPEC: Final = """
name: killed {seed}
seed: {seed}
data: {{source: digits, split: {{validation: 0.2}}, standardize: true}}
model:
  layers: [{{units: 32, activation: tanh}}, {{type: dropout, rate: 0.1}}, {{units: 10}}]
  loss: logistic
sgd: {{learning_rate: 0.05, momentum: 0.9, batch_size: 32, epochs: {epochs}}}
"""
SEEDS: Final = 4
EPOCHS: Final = 300
AT_A_TIME: Final = 4
"""So many jobs are not over, while kills are left."""
LIE_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 180.0
"""What is left has so long to end, once nothing is killed any more."""

MOVED: Final = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {days} * 86_400
time.time_ns = lambda: _time_ns() + {days} * 86_400 * 10**9
"""

Points = list[tuple[str, int, float]]


@dataclass(frozen=True)
class Truth:
    """What an untouched run gives: the hash of its parameters, and its points in MLflow."""

    digest: str
    points: Points


@dataclass
class House:
    """A service in a folder, which is started again whenever it is gone."""

    folder: Path
    port: int
    database: str | None = None
    cluster: str | None = None
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    secret: str = ""
    clock: bool = False
    """Whether each start has another time of day."""

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def prepare(self) -> None:
        """A token, before the service first starts."""
        self.runs.mkdir(parents=True)
        database = Database.open(self.database, self.runs)
        try:
            self.secret = Store(database).add_token("campaign", "campaign", "admin", True, None)
        finally:
            database.close()

    def client(self, patience: float = 60.0) -> Client:
        client = Client(f"http://127.0.0.1:{self.port}", self.secret, patience=patience)
        client._wire.met = patience > 1  # it will be there
        return client

    def start(self) -> None:
        options = ["--database", self.database] if self.database else []
        options += ["--cluster", self.cluster] if self.cluster else []
        places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        path = os.pathsep.join([*self._moved(), *places])
        with (self.folder / "said.txt").open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainer", "service", "--port", str(self.port), "--workers",
                 "2", "--no-mlflow", "--runs", str(self.runs), *options],
                stdout=said, stderr=said, stdin=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | {"PYTHONPATH": path}, cwd=self.folder,
            )  # fmt: skip
        self.starts += 1

    def _moved(self) -> list[str]:
        """A folder whose `sitecustomize` gives all processes of the service another time of day,
        later or earlier; what lasts is measured as it is.
        """
        if not self.clock:
            return []
        days = (0, 3, -2, 30, -5)[self.starts % 5]
        place = self.folder / f"moved-{days}"
        place.mkdir(exist_ok=True)
        (place / "sitecustomize.py").write_text(MOVED.format(days=days))
        return [str(place)]

    def is_gone(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self, what: str) -> bool:
        """Kills a part of the service; whether it was there."""
        assert self.process is not None
        victims = {"server": [self.process.pid]}.get(what) or processes_of(self.process.pid, what)
        for victim in victims[:1]:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                if what == "server":
                    self.process.wait()
                return True
        return False

    def stop(self) -> int:
        """Ends it as a user would; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def processes_of(server: int, what: str) -> list[int]:
    """The processes of the server that are workers, or the recorder; in any order."""
    marks = {"worker": "spawn_main", "recorder": "trainer.tracking.recorder"}
    children = Path(f"/proc/{server}/task").glob("*/children")
    found = []
    for each in children:
        with suppress(OSError):
            for child in map(int, each.read_text().split()):
                with suppress(OSError):
                    if marks[what] in Path(f"/proc/{child}/cmdline").read_text():
                        found.append(child)
    random.shuffle(found)
    return found


# What is true -----------------------------------------------------------------------------------


def truths(folder: Path, epochs: int) -> list[Truth]:
    """What the specs give that nobody touches."""
    found = []
    for seed in range(SEEDS):
        runs = folder / f"peace-{seed}"
        spec = folder / f"spec-{seed}.yaml"
        spec.write_text(SPEC.format(seed=seed, epochs=epochs))
        store = f"sqlite:///{runs / 'mlflow.db'}"
        runs.mkdir()
        run = trainer.train(
            trainer.load_spec(spec), profile=trainer.Profile(runs=runs, store=store)
        )
        assert run.id is not None
        _, points = recorded(runs / "mlflow.db", run.id)
        found.append(Truth(run.parameters_sha256, points))
    return found


def recorded(database: Path, run: str) -> tuple[list[str], Points]:
    """The states of all runs in MLflow that are this one, and their points."""
    if not database.exists():  # connecting would make it
        return [], []
    with closing(sqlite3.connect(database)) as opened:
        runs = opened.execute(
            "select runs.run_uuid, runs.status from runs join tags on tags.run_uuid = runs.run_uuid"
            " where tags.key = 'trainer.run' and tags.value = ?", [run],
        ).fetchall()  # fmt: skip
        points: Points = []
        for uuid, _ in runs:
            points += opened.execute(
                "select key, step, value from metrics where run_uuid = ? "
                "and key not like 'perf/%' order by key, step, value", [uuid],
            ).fetchall()  # fmt: skip
    return [status for _, status in runs], points


# The campaign -----------------------------------------------------------------------------------


@dataclass
class Campaign:
    """Jobs are kept coming, and parts of the service are killed, until enough were."""

    house: House
    expected: list[Truth]
    kills: int
    draw: random.Random
    others: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    epochs: int = EPOCHS
    sweeps: bool = True

    def __post_init__(self) -> None:
        self.jobs: dict[str, int | None] = {}  # which spec each is; a sweep is None
        self.struck: Counter[str] = Counter()
        self.lies: list[str] = []
        self._states: Queue[str] = Queue()
        self._over = threading.Event()

    def run(self) -> None:
        self.house.start()
        for watching in (self._listen, self._look_for_lies):
            threading.Thread(target=watching, daemon=True).start()
        if self.sweeps:
            self._submit(SWEEP, None)
        while self.struck.total() < self.kills:
            self._fill()
            self._wait_for_a_moment()
            what = self.draw.choice(["server", "worker", "worker", "recorder", *self.others])
            strike = self.others.get(what, lambda what=what: self.house.kill(what))
            self.struck[what] += strike()
            if self.house.is_gone():
                self.house.start()
        until = time.monotonic() + QUIET_SECONDS
        while self._open() and time.monotonic() < until:
            if self.house.is_gone():
                self.house.start()
            time.sleep(0.5)
        self._over.set()

    def _fill(self) -> None:
        while len(self._open()) < AT_A_TIME:
            seed = len(self.jobs) % SEEDS
            self._submit(SPEC.format(seed=seed, epochs=self.epochs), seed)

    def _submit(self, text: str, seed: int | None) -> None:
        with self.house.client() as client:
            job = client.submit(text, again=True)
        self.jobs[job.id] = seed

    def _open(self) -> list[str]:
        with self.house.client() as client:
            return [job.id for job in client.jobs() if job.state not in OVER]

    def _wait_for_a_moment(self) -> None:
        """Until some job comes into another state, or for some time."""
        with suppress(Empty):
            if self.draw.random() < 0.5:
                self._states.get(timeout=self.draw.uniform(0.2, 4))
                time.sleep(self.draw.choice([0, 0, 0.02, 0.2]))
                return
        time.sleep(self.draw.uniform(0.1, 2))

    def _listen(self) -> None:
        with self.house.client(patience=1e6) as client:
            for event in client.events():
                if event.kind == "state":
                    self._states.put(event.data["to"])

    def _look_for_lies(self) -> None:
        """Who is said to run must be with a worker, and who ran must not be said to wait."""
        wrong: dict[str, float] = {}
        while not self._over.wait(0.3):
            with suppress(TrainerError), self.house.client(patience=0.5) as client:
                running = {job.id for job in client.jobs(state="running")}
                held = {each["job"] for each in client.service()["workers"]} - {None}
                now = time.monotonic()
                wrong = {job: wrong.get(job, now) for job in running ^ held}
                for job, since in wrong.items():
                    if now - since > LIE_SECONDS:
                        self.lies.append(f"{job} was not as was said for {now - since:.1f} s")
                        wrong[job] = now

    def losses(self) -> Iterator[str]:
        """What did not come out as it must."""
        yield from self.lies
        with self.house.client() as client:
            for job, seed in self.jobs.items():
                found = client.job(job)
                if found.state != "finished":
                    yield f"{job} is {found.state}: {found.reason}"
                    continue
                yield from self._wrong_states(job, client.changes(job))
                if seed is not None and found.digest != self.expected[seed].digest:
                    yield f"{job} has other bits"
        yield from self._not_in_mlflow()

    @staticmethod
    def _wrong_states(job: str, changes: Any) -> Iterator[str]:
        state, ends = None, 0
        for change in changes:
            data = change.get("data", change)
            if data["from"] != state or (state and not may_become(state, data["to"])):
                yield f"{job} came from {data['from']} to {data['to']}, and was {state}"
            state = data["to"]
            ends += state in OVER
        if ends != 1:
            yield f"{job} ended {ends} times"

    def _not_in_mlflow(self) -> Iterator[str]:
        database = self.house.runs / "mlflow.db"
        left = {job: seed for job, seed in self.jobs.items() if seed is not None}
        until = time.monotonic() + 90
        while left and time.monotonic() < until:
            time.sleep(1)
            for job, seed in [*left.items()]:
                if recorded(database, job) == (["FINISHED"], self.expected[seed].points):
                    del left[job]
        for job, seed in left.items():
            states, points = recorded(database, job)
            missing = set(self.expected[seed].points) - set(points)
            count = len(points) - len(self.expected[seed].points)
            yield f"{job} in MLflow: {states}, {len(missing)} points missing, {count:+} in all"


def kills(
    folder: Path, count: int, seed: int = 1, epochs: int = EPOCHS, sweeps: bool = True,
    **where: Any,
) -> Tally:  # fmt: skip
    """So many kills of the parts of one service."""
    others = where.pop("others", {})
    tally = Tally("kills of a service" + "".join(f", {name}" for name in where))
    house = House(folder / "house", _free_port(), **where)
    house.prepare()
    expected = truths(folder, epochs)
    campaign = Campaign(house, expected, count, random.Random(seed), others, epochs, sweeps)
    try:
        campaign.run()
        lost = [*campaign.losses()]
        code = house.stop()
    finally:
        if house.process is not None and house.process.poll() is None:
            house.process.kill()
    if code != 0:
        lost.append(f"the service ended with {code}")
    for number in range(count):
        tally.case(f"kill {number + 1}", lost[number] if number < len(lost) else None)
    tally.lost += lost[count:]
    struck = ", ".join(f"{n} of a {what}" for what, n in sorted(campaign.struck.items()))
    tally.notes.append(f"{struck}; {len(campaign.jobs)} jobs, {house.starts} starts")
    return tally


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, Mapping[str, Callable[[], bool]]]]:
    """A Dask cluster whose scheduler and worker can be killed, and come again."""
    port = _free_port()
    address = f"tcp://127.0.0.1:{port}"
    parts: dict[str, subprocess.Popen[bytes]] = {}
    commands = {
        "scheduler": ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        "dask worker": ["worker", address, "--nworkers", "1", "--nthreads", "1", "--no-nanny",
                        "--no-dashboard", "--death-timeout", "600"],
    }  # fmt: skip

    def begin(name: str) -> None:
        parts[name] = subprocess.Popen(
            [sys.executable, "-m", "dask", *commands[name]], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def kill(name: str) -> bool:
        parts[name].kill()
        parts[name].wait()
        begin(name)
        return True

    for name in commands:
        begin(name)
    try:
        yield address, {name: partial(kill, name) for name in commands}
    finally:
        for part in parts.values():
            part.kill()
            part.wait()


def on_postgres(folder: Path, count: int) -> Tally:
    """Kills that also end the connections of the service to its database, a PostgreSQL server."""
    from postgres import cluster as servers

    server = servers()
    address = server.address()
    others = {"connection": lambda: server.end_connections(address) > 0}
    return kills(folder, count, database=address, others=others, sweeps=False)


def with_a_moved_clock(folder: Path, count: int) -> Tally:
    """Kills of a service whose clock is another one at each start, by days."""
    return kills(folder, count, clock=True, sweeps=False)


def on_a_cluster(folder: Path, count: int) -> Tally:
    """Kills that also strike the scheduler and the worker of a Dask cluster."""
    with cluster(folder) as (address, others):
        return kills(folder, count, cluster=address, others=others, sweeps=False)


ON_A_SMALL_DISK: Final = """
mount -t tmpfs -o size=96m none "$1" || exit 99
exec "$0" -m tests.faults.service "$1"
"""


def full_disk(folder: Path) -> Tally:
    """The disk of the service is full for a while, then there is room again."""
    tally = Tally("a service on a full disk")
    place = folder / "small"
    place.mkdir()
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", ON_A_SMALL_DISK, sys.executable, str(place)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )  # fmt: skip
    tally.case("a disk that fills", done.stdout + done.stderr if done.returncode else None)
    tally.notes.append(done.stdout.strip().rpartition("\n")[2])
    return tally


def _fill_and_free(disk: Path) -> Iterator[str]:
    """What is lost where the disk, a mounted one of its own, is full for a while."""
    expected = truths(disk, EPOCHS)
    house = House(disk / "house", _free_port())
    house.prepare()
    house.start()
    campaign = Campaign(house, expected, 0, random.Random(1))
    try:
        campaign._submit(SPEC.format(seed=0, epochs=EPOCHS), 0)
        with house.client() as client:
            (job,) = campaign.jobs
            _until(lambda: client.job(job).step > 0)
            _fill(disk / "filler")
            _until(lambda: client.job(job).state in ("waiting", *OVER), 40)
            print("meanwhile it is", client.job(job).state, "since", client.job(job).reason)
            with suppress(TrainerError):  # it may be refused, in words
                campaign._submit(SPEC.format(seed=1, epochs=EPOCHS), 1)
            (disk / "filler").unlink()
            _until(lambda: not campaign._open(), 120)
        yield from campaign.losses()
    finally:
        print((house.folder / "said.txt").read_text()[-2000:])
        house.stop()


def _fill(path: Path) -> None:
    """Takes all the room that there is."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def _until(there: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not there() and time.monotonic() < until:
        time.sleep(0.1)


if __name__ == "__main__":
    lost = [*_fill_and_free(Path(sys.argv[1]))]
    print(*lost, sep="\n")
    sys.exit(1 if lost else 0)
