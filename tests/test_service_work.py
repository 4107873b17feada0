"""Jobs of the service: what an answer means, how far a run is, and each settled once."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteSpec

from trainer import Profile, load_spec
from trainer import train as train_here
from trainer.checkpoints.folder import JOURNAL
from trainer.checkpoints.journal import Journal, read_journal
from trainer.errors import MachineError
from trainer.service.checking import Checker
from trainer.service.desk import Asked, Desk
from trainer.service.records import Cost, Job, User
from trainer.service.sending import UPLOADS
from trainer.service.serve import Belongings
from trainer.service.settings import Settings
from trainer.service.states import OVER
from trainer.service.store import Database, Store
from trainer.service.work.dispatch import Dispatcher
from trainer.service.work.errands import Errand
from trainer.service.work.reach import Reach
from trainer.service.work.slots import ProcessSlot, make_slots
from trainer.service.work.verdicts import Got, verdict_of, verdict_of_loss
from trainer.service.work.watching import RunWatch, thinned, watch
from trainer.training.events import EpochDone
from trainer.workers.processes import LostError, OwnProcess
from trainer.workers.spawning import Fresh
from trainer.workers.task import Answer

ADA = User("ada", "admin", "first")
JOB = Job(id="a" * 32, number=1, user="ada", name="x", kind="train", text="", resolved={}, file="",
          state="running", attempt=2, step=100)  # fmt: skip


# What an answer means ---------------------------------------------------------------------------


def answer(status: Any, fault: Any = None, reason: str = "") -> Answer:
    return Answer(JOB.id, status, 3, 120, fault=fault, reason=reason, parameters_sha256="ab")


@pytest.mark.parametrize(("given", "wish", "reached", "stuck", "leaving", "to", "after", "left"), [
    (answer("FINISHED"), None, 120, 8, False, "finished", None, 0),
    (answer("DIVERGED"), "cancel", 120, 0, False, "diverged", None, 0),
    (answer("KILLED"), "cancel", 120, 0, False, "cancelled", None, 0),
    (answer("KILLED"), "pause", 120, 0, True, "paused", None, 0),
    (answer("KILLED"), None, 120, 1, True, "queued", None, 0),
    (answer("FAILED", "spec"), None, 0, 0, False, "failed", None, None),
    (answer("FAILED", "data"), None, 0, 0, False, "failed", None, None),
    (answer("FAILED", "room"), None, 0, 2, False, "waiting", 5.0, None),
    (answer("FAILED", "away"), None, 0, 2, False, "waiting", 5.0, None),
    (answer("FAILED", "bits"), None, 0, 0, False, "waiting", None, None),
    (answer("FAILED", "machine"), None, 150, 2, False, "queued", None, 0),
    (answer("FAILED", "machine"), None, 100, 0, False, "waiting", 1.0, 4),
    (answer("FAILED", "machine"), None, 90, 4, False, "waiting", 2.0, 8),
    (answer("FAILED", "machine"), None, 100, 8, False, "failed", None, 12),
    (answer("FAILED", "machine"), None, -100, 0, False, "queued", None, 1),
    (answer("FAILED", "machine"), None, -100, 4, False, "waiting", 1.0, 5),
    (answer("FAILED", "machine"), None, -100, 11, False, "failed", None, 12),
])  # fmt: skip
def test_what_an_answer_means(
    given: Answer, wish: Any, reached: int, stuck: int, leaving: bool, to: str,
    after: float | None, left: int | None,
) -> None:  # fmt: skip
    """`left` is what counts against it then, None where that stays; a step below 0 was reached by
    steps that were taken before.
    """
    job = replace(JOB, wish=wish, stuck=stuck)
    found = verdict_of(job, given, Got(abs(reached), reached < 0), leaving)
    assert (found.to, found.after, found.fields.get("stuck")) == (to, after, left)
    assert found.reason or to in ("finished", "diverged", "failed", "waiting")


@pytest.mark.parametrize(("wish", "begun", "lost", "reached", "stuck", "to", "says"), [
    (None, True, 0, 150, 2, "queued", "goes on after step 150"),
    (None, True, 0, 100, 0, "waiting", "tried again"),
    (None, True, 0, 100, 8, "failed", "got no step farther than step 100, 2 in all"),
    ("cancel", True, 0, 150, 0, "cancelled", "asked"),
    (None, False, 3, 100, 2, "queued", "before it could begin"),
    (None, False, 20, 100, 2, "waiting", "20 processes were lost"),
])  # fmt: skip
def test_what_a_loss_means(
    wish: Any, begun: bool, lost: int, reached: int, stuck: int, to: str, says: str
) -> None:
    job = replace(JOB, wish=wish, stuck=stuck)
    found = verdict_of_loss(job, Got(reached, False), begun, lost)
    assert found.to == to
    assert says in found.reason


# How far a run is -------------------------------------------------------------------------------


def test_each_epoch_is_told_once(folder: Path, write_spec: WriteSpec) -> None:
    """However often the file is read, and also after the run went back to a checkpoint."""
    run = train_here(load_spec(write_spec()), profile=Profile(runs=folder / "runs", record=False))
    assert run.folder is not None
    events = list(read_journal(run.folder / JOURNAL))
    place = folder / "again"
    place.mkdir()
    journal = Journal(place / JOURNAL)
    looking, seen = RunWatch(place, 0), []

    def take() -> None:
        while (news := looking.news()) is not None:
            seen.extend(news.series.get("train_loss", []))

    half = len(events) // 2
    for event in events[:half]:
        journal.add(event)
    journal.write()
    take()
    journal.close()
    journal = Journal(place / JOURNAL, 0)  # it begins anew
    take()
    for event in events:
        journal.add(event)
    journal.write()
    take()
    journal.close()
    later = RunWatch(place, 0)
    assert seen == later.news().series["train_loss"]  # type: ignore[union-attr]  # it is there
    losses = [[e.epoch, e.metrics["train_loss"]] for e in events if isinstance(e, EpochDone)]
    assert seen == losses


def test_a_journal_that_went_back_unseen_is_read_anew(folder: Path, write_spec: WriteSpec) -> None:
    run = train_here(load_spec(write_spec()), profile=Profile(runs=folder / "runs", record=False))
    assert run.folder is not None
    whole = (run.folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(whole[:300])
    looking = RunWatch(folder, 0)
    seen = [looking.news()]
    # other bytes where it had read, as of events that tell another time
    (folder / JOURNAL).write_bytes(whole[100:250] * 4)
    seen += [looking.news() for _ in range(3)]
    (folder / JOURNAL).write_bytes(whole)
    seen += [looking.news() for _ in range(10)]
    epochs = [point[0] for each in seen if each for point in each.series.get("train_loss", [])]
    assert epochs == [0, 1, 2, 3]


def test_within_an_epoch_the_metrics_are_those_of_the_last_one(
    folder: Path, write_spec: WriteSpec
) -> None:
    run = train_here(load_spec(write_spec()), profile=Profile(runs=folder / "runs", record=False))
    assert run.folder is not None
    events = list(read_journal(run.folder / JOURNAL))
    (last,) = [e for e in events if isinstance(e, EpochDone) and e.epoch == 1]
    journal = Journal(folder / JOURNAL)
    for event in events[: events.index(last) + 2]:  # until the steps of the epoch behind it
        journal.add(event)
    journal.write()
    journal.close()
    for told in (0, 2 * last.step + 2):
        found = RunWatch(folder, told).news()
        assert found is not None
        assert (found.epoch, found.metrics) == (1, last.metrics)


def test_a_reader_of_later_goes_on_where_it_was(folder: Path, write_spec: WriteSpec) -> None:
    run = train_here(load_spec(write_spec()), profile=Profile(runs=folder / "runs", record=False))
    assert run.folder is not None
    whole = RunWatch(run.folder, 0).news()
    assert whole is not None
    assert RunWatch(run.folder, whole.place).news() is None
    rest = RunWatch(run.folder, whole.place - 2).news()
    assert rest is not None
    assert rest.series["train_loss"] == whole.series["train_loss"][-1:]


@pytest.mark.parametrize(("count", "most", "kept"), [
    (3, 5, [0, 1, 2]), (10, 5, [1, 3, 5, 7, 9]), (7, 3, [2, 4, 6]), (5, 1, [4]),
])  # fmt: skip
def test_long_series_are_thinned_to_their_end(count: int, most: int, kept: list[int]) -> None:
    assert thinned([*range(count)], most) == kept


def test_what_is_not_there_tells_nothing(folder: Path) -> None:
    for kind in ("train", "crossval"):
        job = replace(JOB, kind=kind, options={"folds": 2})  # type: ignore[arg-type]  # a kind
        assert watch(job, folder, 0).news() is None


def test_how_far_an_attempt_got(folder: Path, write_spec: WriteSpec) -> None:
    """What an earlier one has left is none of its own steps."""
    runs = folder / "runs"
    run = train_here(load_spec(write_spec()), profile=Profile(runs=runs, record=False))
    assert run.id is not None
    job = replace(JOB, id=run.id, step=0)
    data = (runs / run.id / JOURNAL).read_bytes()
    (runs / run.id / "checkpoints").rename(folder / "elsewhere")
    (runs / run.id / "checkpoints").mkdir()
    reach = Reach(job, runs)
    assert reach.got(6) == Got(6, False)
    (runs / run.id / JOURNAL).write_bytes(data[:200])  # before its first step
    assert reach.got(0) == Got(0, False)
    (runs / run.id / JOURNAL).write_bytes(data)
    assert reach.got(0) == Got(0, True)
    (runs / run.id / "checkpoints").rmdir()
    (folder / "elsewhere").rename(runs / run.id / "checkpoints")
    assert Reach(job, runs).got(0) == Got(6, False)
    whole = replace(job, cost=Cost(steps=6))
    assert Reach(whole, runs).got(0) == Got(6, True)  # it has none to take any more


# From the queue to the end ----------------------------------------------------------------------


class Told:
    """Records who is to be followed, and starts no recorder."""

    def __init__(self) -> None:
        self.followed: list[str] = []
        self.settled: list[str] = []

    def follow(self, run: str) -> None:
        self.followed.append(run)

    def settle(self, run: str, several: bool) -> None:
        self.settled.append(run)


class FakeSlot:
    """Answers as it is told, and holds the job until it may go."""

    kind = "process"
    is_ready = True

    def __init__(self, script: Callable[[Errand], Answer]) -> None:
        self.script = script
        self.stopped = threading.Event()

    def do(self, errand: Errand) -> Answer:
        return self.script(errand)

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None:
        pass


class House:
    """A service without HTTP."""

    def __init__(self, folder: Path, slots: list[Callable[[], Any]]) -> None:
        self.runs = folder / "runs"
        (self.runs / UPLOADS).mkdir(parents=True, exist_ok=True)
        settings = Settings(runs=self.runs)
        self.store = Store(Database.open(None, self.runs))
        self.told = Told()
        self.work = Dispatcher(
            self.store, self.runs, slots, self.told, tracking=None, save_every="2s"
        )
        self.desk = Desk(
            self.store, Checker(settings, Belongings(self.store), lambda: None), self.work, settings
        )

    def submit(self, text: str, **asked: Any) -> Job:
        return self.desk.submit(ADA, Asked(text, **asked)).job

    def wait(self, job: str, *states: str, seconds: float = 60) -> Job:
        until = time.monotonic() + seconds
        while (found := self.store.job(job)) is not None and time.monotonic() < until:
            if found.state in (states or OVER):
                return found
            time.sleep(0.01)
        raise AssertionError(f"{job} is {found and found.state}: {found and found.reason}")

    def states(self, job: str) -> list[str]:
        return [e.data["to"] for e in self.store.events(0, job, None) if e.kind == "state"]

    def close(self) -> None:
        self.work.leave()
        self.store.close()


@pytest.fixture
def houses(folder: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(*slots: Callable[[], Any]) -> House:
        if made:
            made[-1].close()
        made.append(House(folder, [*slots]))
        return made[-1]

    yield make
    made[-1].close()


@pytest.fixture
def text(write_spec: WriteSpec) -> str:
    return write_spec().read_text()


def scripted(*answers: Any) -> tuple[Callable[[], FakeSlot], list[Errand]]:
    """A slot that gives these answers in turn; an exception is raised."""
    left, seen = [*answers], []

    def script(errand: Errand) -> Answer:
        seen.append(errand)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return replace(found, id=errand.id)

    return lambda: FakeSlot(script), seen


def test_a_lost_worker_is_no_lost_job(houses: Callable[..., House], text: str) -> None:
    slot, seen = scripted(LostError(False), LostError(True), answer("FINISHED"))
    house = houses(slot)
    house.work.start()
    job = house.submit(text)
    found = house.wait(job.id)
    assert (found.state, found.attempt, found.digest) == ("finished", 3, "ab")
    assert house.states(job.id) == [
        "queued", "running", "queued", "running", "waiting", "queued", "running", "finished",
    ]  # fmt: skip
    assert {each.id for each in seen} == {job.id}
    assert house.told.settled == [job.id] * 3


def test_three_attempts_without_a_step_end_a_job(houses: Callable[..., House], text: str) -> None:
    slot, _ = scripted(*[LostError(True)] * 3)
    house = houses(slot)
    house.work.start()
    found = house.wait(house.submit(text).id)
    assert found.state == "failed"
    assert "attempts in a row got no step farther than step 0, 3 in all" in found.reason


def test_what_ran_when_the_service_died_goes_on(houses: Callable[..., House], text: str) -> None:
    house = houses()
    job = house.submit(text)
    cancelled, paused = house.submit(text, again=True), house.submit(text, again=True)
    for _ in range(3):
        assert house.store.claim({}) is not None
    house.store.wish(cancelled.id, "cancel")
    house.store.wish(paused.id, "pause")
    slot, seen = scripted(answer("FINISHED"))
    again = houses(slot)
    again.work.start()
    assert again.wait(job.id).attempt == 2
    assert again.states(job.id)[-3:] == ["queued", "running", "finished"]
    assert again.wait(cancelled.id).state == "cancelled"
    assert again.wait(paused.id, "paused").state == "paused"
    assert [each.id for each in seen] == [job.id]


def test_an_answer_of_an_old_attempt_counts_for_nothing(
    houses: Callable[..., House], text: str
) -> None:
    house = houses()

    def late(errand: Errand) -> Answer:
        """Meanwhile the job was put back, and claimed by somebody else."""
        house.store.change(errand.id, "queued", "", attempt=1, mark="put back")
        house.store.claim({})
        return replace(answer("FINISHED"), id=errand.id)

    house.work._places[:] = Dispatcher(
        house.store, house.runs, [lambda: FakeSlot(late)], house.told
    )._places
    job = house.submit(text)
    house.work.start()
    until = time.monotonic() + 10
    while not house.told.settled and time.monotonic() < until:
        time.sleep(0.01)
    found = house.wait(job.id, "running")
    assert (found.state, found.attempt, found.digest) == ("running", 2, "")


def test_a_wish_that_comes_while_a_worker_answers(houses: Callable[..., House], text: str) -> None:
    house = houses()

    def wished(errand: Errand) -> Answer:
        house.store.wish(errand.id, "pause")
        raise LostError(False)

    house.work._places[:] = Dispatcher(
        house.store, house.runs, [lambda: FakeSlot(wished)], house.told
    )._places
    house.work.start()
    job = house.submit(text)
    assert house.wait(job.id, "paused").state == "paused"


def test_a_database_that_is_away_loses_no_answer(
    houses: Callable[..., House], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, _ = scripted(answer("FINISHED"))
    house = houses(slot)
    change, calls = house.store.change, []

    def away(*arguments: Any, **more: Any) -> Job:
        calls.append(arguments)
        if len(calls) < 3:
            raise MachineError("the database is away")
        return change(*arguments, **more)

    monkeypatch.setattr(house.store, "change", away)
    monkeypatch.setattr("trainer.service.work.dispatch.AWAY_SECONDS", 0.01)
    house.work.start()
    assert house.wait(house.submit(text).id).state == "finished"


def test_a_slot_that_was_stopped_before_it_began(folder: Path, write_spec: WriteSpec) -> None:
    """It saves and answers at once; and the next errand is carried out."""
    spec = load_spec(write_spec({"sgd.epochs": 10**6}))
    slot = ProcessSlot()
    try:
        for name, epochs, status in (("a", 10**6, "KILLED"), ("b", 2, "FINISHED")):
            values = spec.changed({"sgd.epochs": epochs}).resolved()
            errand = Errand(
                name * 32, "train", values, str(folder / "spec.yaml"), "", folder / "runs", None
            )
            if status == "KILLED":
                slot.stop()
            assert slot.do(errand).status == status
    finally:
        slot.close()


def test_users_have_at_most_so_many(houses: Callable[..., House], text: str) -> None:
    """One slot stays free, though jobs are queued."""
    going = threading.Event()

    def script(errand: Errand) -> Answer:
        going.wait(20)
        return replace(answer("FINISHED"), id=errand.id)

    house = houses(lambda: FakeSlot(script), lambda: FakeSlot(script))
    house.work._most = 1
    house.work.start()
    jobs = [house.submit(text, again=True) for _ in range(3)]
    house.wait(jobs[0].id, "running")
    time.sleep(0.3)
    assert sum(each["state"] == "busy" for each in house.work.workers()) == 1
    going.set()
    for job in jobs:
        house.wait(job.id)


def test_real_workers(houses: Callable[..., House], write_spec: WriteSpec) -> None:
    """One is killed while it trains, the job is paused, the service stops and starts: the bits are
    those of an untouched run, and each epoch was told once.
    """
    spec = write_spec({"sgd.epochs": 12_000})
    expected = train_here(load_spec(spec), profile=Profile(runs=None))
    text = spec.read_text()
    house = houses(*make_slots(1, None, Path("runs")))
    house.work.start()
    job = house.submit(text)

    def reaches(**least: int) -> None:
        until = time.monotonic() + 60
        while (found := house.store.job(job.id)) and time.monotonic() < until:
            if all(getattr(found, name) >= value for name, value in least.items()):
                return
            time.sleep(0.01)
        raise AssertionError(found)

    reaches(epoch=100)
    (process,) = house.work._places[0].slot._process._executor._processes  # type: ignore[union-attr]  # it is there
    os.kill(process, signal.SIGKILL)
    reaches(attempt=2)
    house.desk.pause(ADA, job.id)
    house.wait(job.id, "paused")
    house.desk.resume(ADA, job.id)
    reaches(attempt=3)
    again = houses(*make_slots(1, None, Path("runs")))
    assert again.store.job(job.id).state == "queued"  # type: ignore[union-attr]  # it is there
    again.work.start()
    found = again.wait(job.id)
    assert (found.state, found.digest) == ("finished", expected.parameters_sha256)
    assert found.attempt >= 4
    events = again.store.events(0, job.id, None, 10**6)
    places = [e.data["step"] for e in events if e.kind == "progress"]
    assert places == sorted(places)
    epochs = [p[0] for e in events if e.kind == "progress" for p in e.data["series"]["train_loss"]]
    assert epochs == sorted(set(epochs))


def test_what_nobody_expected_ends_no_slot(
    houses: Callable[..., House], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is tried again, and the slot goes on; so it does where the database is away for a
    moment, just after a job was claimed.
    """
    slot, _ = scripted(ValueError("a fault of our own"), answer("FINISHED"), answer("FINISHED"))
    house = houses(slot)
    journal_place, calls = house.store.journal_place, []

    def away(job: str) -> int:
        calls.append(job)
        if len(calls) == 1:
            raise MachineError("the database is away")
        return journal_place(job)

    monkeypatch.setattr(house.store, "journal_place", away)
    monkeypatch.setattr("trainer.service.work.dispatch.AWAY_SECONDS", 0.01)
    house.work.start()
    first, second = house.submit(text, again=True), house.submit(text, again=True)
    assert house.wait(first.id).attempt == 2
    assert "ValueError: a fault of our own; it is tried again" in [
        e.data["reason"] for e in house.store.events(0, first.id, None) if e.kind == "state"
    ]
    assert house.wait(second.id).state == "finished"


def test_a_machine_without_room_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next errand finds one, once there is room again."""
    flag = Fresh().RawValue("b", 0)
    process = OwnProcess(flag)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(ProcessPoolExecutor, "submit", refuse)
            process.close()
            with pytest.raises(LostError) as caught:
                process.do(os.getpid)
            assert not caught.value.begun
        assert process.do(os.getpid) != os.getpid()
    finally:
        process.close()


def refuse(*_: Any) -> Any:
    raise OSError(errno.EAGAIN, "no room for a process")
