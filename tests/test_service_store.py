"""The service's store: jobs and their events, in SQLite and in PostgreSQL."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_stores import (
    REQUEST,
    Made,
    all_pages,
    change,
    job,
    kept,
    made,
    submit,
    told,
)

from trainer.errors import UsageError
from trainer.service.records import DATA, Cost, Job
from trainer.service.states import OVER, STATES, may_become
from trainer.service.store import (
    JobFilter,
    KeyTaken,
    NoJob,
    NotAllowed,
    Stale,
    Store,
)
from trainer.service.store.listing import SORTS
from trainer.stored import from_json

__all__ = ["kept", "made"]  # fixtures


@pytest.fixture
def store(made: Made) -> Store:
    return made.store


# Jobs -------------------------------------------------------------------------------------------


def test_a_job_is_kept_as_it_was_submitted(store: Store) -> None:
    given = job(
        text="α: \U0001f600", resolved={"a": [1, 2.5, None, "x"]}, priority=3, options={"folds": 5},
        again=True, fingerprint="f" * 64, parent="p", run="r", known=True, epochs=7,
        cost=Cost(steps=5, operations=10**15, bytes=2**40, seconds=1.5), created=12.5, step=2**40,
        metrics={"val_loss": 0.25},
    )  # fmt: skip
    kept, new = store.submit(given, None, REQUEST)
    assert new
    assert kept.number == 1
    assert store.job(given.id) == kept
    assert kept == given.__class__(**vars(given) | {"number": 1})
    (light,) = store.jobs(JobFilter()).items
    assert light == kept.__class__(**vars(kept) | {"text": "", "resolved": {}})
    (event,) = store.events(0, None, None)
    assert (event.number, event.job, event.user, event.kind) == (1, kept.id, "ann", "state")
    assert event.data == {"from": None, "to": "queued", "reason": "", "attempt": 0}


def test_numbers_that_no_json_has_become_nan(store: Store) -> None:
    metrics = {"loss": math.inf, "acc": math.nan, "good": 1.5}
    found = store.job(submit(store, metrics=metrics).id)
    assert found is not None
    assert math.isnan(found.metrics["loss"])
    assert math.isnan(found.metrics["acc"])
    assert found.metrics["good"] == 1.5
    claimed = store.claim({})
    assert claimed is not None
    series = {"loss": [[1, math.nan], [2, -math.inf], [3, 0.5]]}
    assert store.progress(
        claimed.id, 1, place=9, epoch=3, step=3, metrics=metrics, series=series, epochs=4
    )
    assert store.events(2, None, None)[0].data["series"] == {
        "loss": [[1, None], [2, None], [3, 0.5]]
    }
    assert [each.id for each in store.jobs(JobFilter(), "metrics.loss").items] == [claimed.id]


def test_events_hold_what_their_kinds_say(store: Store) -> None:
    """As docs/events.md tells them."""
    kept = submit(store)
    assert store.claim({}) is not None
    series = {"val_loss": [[1, 0.5]]}
    assert store.progress(
        kept.id, 1, place=4, epoch=1, step=1, metrics={}, series=series, epochs=None
    )
    store.note(kept.id, "seen")
    events = store.events(0, None, None)
    assert [each.kind for each in events] == ["state", "state", "progress", "note"]
    for event in events:
        names = {field.name: field.name.rstrip("_") for field in fields(DATA[event.kind])}
        assert event.data.keys() == {*names.values()}
        from_json(DATA[event.kind], {name: event.data[key] for name, key in names.items()})


def test_texts_that_no_database_takes_are_kept_without_that(store: Store) -> None:
    odd = "a\0b\ud800c"
    kept = store.job(submit(store, name=odd, text=odd, resolved={odd: odd}).id)
    assert kept is not None
    assert kept.name.startswith("a�b")
    assert kept.name.endswith("c")
    store.note(kept.id, odd)
    change(store, kept, "cancelled", reason=odd)
    store.audit(odd, odd, odd, {odd: odd})
    assert store.verify() == 1
    assert store.job(odd) is None
    assert store.token("trn_" + odd) is None


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        (["abcdef01", "abcdef02"], "abcdef01", 0),
        (["abcdef01", "abcdef02"], "abcdef02", 1),
        (["abcdef01", "abcdef02"], "abcdef0", None),  # two of them
        (["abcdef01", "abcd0002"], "abcdef", 0),
        (["abcdef01", "abcd0002"], "abcde", None),  # too short
        (["abcdef01", "abcdef0"], "abcdef0", 1),  # whole
        (["abcdef01", "abcd0002"], "ABCDEF", None),
        (["abcdef01", "abcd0002"], "%bcdef", None),
        (["abcdef01", "abcd0002"], "", None),
        (["abcdeff", "abcd0002"], "abcdef", 0),
        (["abcdef9"], "abcdefa", None),
    ],
)
def test_a_job_is_found_by_how_its_id_begins(
    made: Made, names: list[str], asked: str, expected: int | None
) -> None:
    for name in names:
        submit(made.store, id=name)
    found = made.store.job(asked)
    assert (found and found.id) == (None if expected is None else names[expected])


def test_a_key_takes_in_one_request_once(store: Store) -> None:
    first, new = store.submit(job(), "key", REQUEST)
    assert new
    assert store.submit(job(), "key", REQUEST) == (first, False)
    with pytest.raises(KeyTaken, match="'key' came with another request"):
        store.submit(job(), "key", "1" * 64)
    other, new = store.submit(job("bob"), "key", "1" * 64)  # of another user
    assert new
    assert store.submit(first, None, REQUEST) == (first, False)  # by its id
    assert store.submit(first, "key", REQUEST) == (first, False)
    assert [each.id for each in store.jobs(JobFilter(), "number").items] == [first.id, other.id]
    assert store.last_event() == 2
    assert store.counts(None) == {"queued": 2}


def test_numbers_of_jobs_have_no_gaps(store: Store) -> None:
    submit(store)
    for key in ("1", "1", "2"):
        store.submit(job(), key, REQUEST)
        with pytest.raises(KeyTaken):
            store.submit(job(), key, "1" * 64)
    assert [each.number for each in store.jobs(JobFilter(), "number").items] == [1, 2, 3]
    assert [each.number for each in store.events(0, None, None)] == [1, 2, 3]


# Changes ----------------------------------------------------------------------------------------


def test_a_job_becomes_only_what_it_may(store: Store) -> None:
    for state in STATES:
        for to in STATES:
            before = submit(store, state=state)
            if may_become(state, to):
                after = change(store, before, to, reason="because")
                assert (after.state, after.reason) == (to, "because")
                assert (after.ended is not None) == (to in OVER)
                assert after.attempt == (1 if to == "running" else 0)
                assert told(store, before.id) == [(None, state), (state, to)]
                assert store.last_event(before.id) == store.last_event()
            else:
                with pytest.raises(NotAllowed, match=f"is {state} and cannot become {to}"):
                    change(store, before, to)
                assert store.job(before.id) == before
                assert told(store, before.id) == [(None, state)]
    counted = Counter(each.state for each in store.jobs(JobFilter(), limit=500).items)
    assert store.counts(None) == store.counts("ann") == counted


def test_a_change_writes_what_was_found(store: Store) -> None:
    claimed = submit(store) and store.claim({})
    assert claimed is not None
    store.wish(claimed.id, "pause")
    values = {
        "step": 9, "epoch": 3, "epochs": 4, "metrics": {"loss": 0.5}, "digest": "d", "run": "r",
        "seconds": 2.5, "known": True, "stuck": 2, "ended": 77.0,
    }  # fmt: skip
    changed = change(store, claimed, "finished", attempt=1, **values)
    assert {name: getattr(changed, name) for name in values} == values
    assert changed.wish is None  # who is over has none
    assert store.job(changed.id) == changed


def test_a_wish_stays_until_it_is_done(store: Store) -> None:
    submit(store)
    claimed = store.claim({})
    assert claimed is not None
    assert store.wish(claimed.id, "cancel").wish == "cancel"
    assert change(store, claimed, "queued").wish == "cancel"
    assert store.wish(claimed.id, None).wish is None
    with pytest.raises(Stale, match="is queued: no worker has it"):
        store.wish(claimed.id, "pause")
    again = store.claim({})
    assert again is not None
    store.wish(again.id, "pause")
    assert change(store, again, "paused", wish=None).wish is None


def test_what_an_older_attempt_says_is_refused(store: Store) -> None:
    submit(store)
    first = store.claim({})
    assert first is not None
    change(store, first, "queued", attempt=1)
    second = store.claim({})
    assert second is not None
    assert (second.attempt, second.started) == (2, first.started)
    with pytest.raises(Stale, match="in its attempt 2, not 1"):
        change(store, first, "finished", attempt=1)
    more: Any = {"epoch": 1, "step": 1, "metrics": {}, "series": {}, "epochs": None}
    assert not store.progress(first.id, 1, place=10, **more)
    assert store.progress(first.id, 2, place=10, **more)
    assert not store.progress(first.id, 2, place=10, **more)  # told before
    assert not store.progress(first.id, 2, place=9, **more)
    assert store.journal_place(first.id) == 10
    assert store.progress(first.id, 2, place=11, **more)
    assert store.journal_place(first.id) == 11
    change(store, first, "finished", attempt=2)
    assert not store.progress(first.id, 2, place=20, **more)  # it is over
    assert [e[0] for e in told(store, first.id)].count("progress") == 2
    assert store.journal_place("none") == 0


def test_a_mark_changes_a_job_once(store: Store) -> None:
    before = submit(store)
    mark = uuid4().hex
    first = store.change(before.id, "paused", "a", attempt=None, mark=mark)
    assert store.change(before.id, "paused", "a", attempt=None, mark=mark) == first
    change(store, before, "queued")
    assert store.change(before.id, "paused", "a", attempt=None, mark=mark).state == "queued"
    assert told(store) == [(None, "queued"), ("queued", "paused"), ("paused", "queued")]


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.change("no", "queued", "", attempt=None, mark="m"),
        lambda store: store.wish("no", "cancel"),
        lambda store: store.prioritize("no", 1),
        lambda store: store.note("no", "text"),
    ],
)
def test_there_is_no_such_job(made: Made, act: Callable[[Store], object]) -> None:
    with pytest.raises(NoJob, match="no job 'no'"):
        act(made.store)
    assert made.store.last_event() == 0


def test_a_priority_is_noted(store: Store) -> None:
    before = submit(store)
    assert store.prioritize(before.id, 5).priority == 5
    assert store.prioritize(before.id, 5).priority == 5
    assert [e.data for e in store.events(1, None, None)] == [{"text": "priority 5, before 0"}]
    change(store, before, "cancelled")
    with pytest.raises(NotAllowed, match="its priority counts no more"):
        store.prioritize(before.id, 1)


# The queue --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "running", "most", "order"),
    [
        ("a1 a2 a3", {}, None, "a1 a2 a3"),
        ("a1 a2 a3 b1 c1 b2", {}, None, "a1 b1 c1 a2 b2 a3"),  # in turns
        ("a1 b1", {"a": 1}, None, "b1 a1"),  # fewest slots first
        ("a1 a2 b1 b2", {"a": 1}, None, "b1 b2 a1 a2"),
        ("a1 a2 b1", {"a": 2, "b": 1}, 2, "b1"),
        ("a1 b1", {"a": 2, "b": 2}, 2, ""),
        ("a1 a2+1 a3+2 a4+1", {}, None, "a3 a2 a4 a1"),  # by priority, then number
        ("a1 b1+9 a2+9", {}, None, "a2 b1 a1"),  # a priority counts among a user's own
        ("", {"a": 1}, None, ""),
    ],
)
def test_the_queue_is_fair(
    made: Made, jobs: str, running: dict[str, int], most: int | None, order: str
) -> None:
    store = made.store
    for text in jobs.split():
        name, _, priority = text.partition("+")
        submit(store, name[0], name=name, priority=int(priority or 0))
    begun = []
    while (claimed := store.claim(running, most)) is not None:
        assert (claimed.state, claimed.attempt, claimed.started) == ("running", 1, made.clock.now)
        begun.append(claimed.name)
    assert " ".join(begun) == order


def test_who_was_served_longest_ago_is_next(store: Store) -> None:
    for user in "abc":
        submit(store, user)
    assert [(store.claim({}) or job()).user for _ in range(3)] == ["a", "b", "c"]
    for user in "cba":
        submit(store, user)
    assert [(store.claim({}) or job()).user for _ in range(3)] == ["a", "b", "c"]
    for user in "cd":
        submit(store, user)
    assert (store.claim({}) or job()).user == "d"  # who never was comes first


def test_a_clock_that_goes_back_changes_no_order(made: Made) -> None:
    names = []
    for now in (500.0, 100.0, 300.0, 200.0):
        made.clock.now = now
        names.append(submit(made.store).id)
    begun = [made.store.claim({}) for _ in range(4)]
    assert [each and each.id for each in begun] == names
    assert [e.number for e in made.store.events(0, None, None)] == [*range(1, 9)]


@pytest.mark.parametrize(
    ("others", "mine", "place"),
    [
        ("", "a1", 1),
        ("", "a1 a2 a3", 3),
        ("", "a1 a2 a3+1", 1),
        ("b1 b2 b3", "a1", 2),
        ("b1 b2 b3", "a1 a2", 4),
        ("b1 c1 c2", "a1 a2 a3", 6),
    ],
)
def test_a_place_in_the_queue(store: Store, others: str, mine: str, place: int) -> None:
    last = None
    for text in [*others.split(), *mine.split()]:
        name, _, priority = text.partition("+")
        last = submit(store, name[0], name=name, priority=int(priority or 0))
    assert last is not None
    assert store.place(last) == place
    begun = []
    while (claimed := store.claim({})) is not None:
        begun.append(claimed.id)
    assert begun.index(last.id) < place


def test_jobs_that_are_not_to_begin_are_left(store: Store) -> None:
    waits, runs, paused = submit(store), submit(store), submit(store)
    change(store, waits, "waiting", reason="MLflow is away")
    change(store, paused, "paused")
    assert (store.claim({}) or job()).id == runs.id
    assert store.claim({}) is None
    assert [each.id for each in store.waiting()] == [waits.id]
    assert [each.id for each in store.unfinished()] == [runs.id]
    assert store.unfinished()[0].text == runs.text
    change(store, waits, "queued")
    assert (store.claim({}) or job()).id == waits.id


def test_jobs_are_claimed_once_by_many(store: Store) -> None:
    ids = {submit(store, user).id for user in "aabbccddee"}
    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda _: store.claim({}), range(14)))
    found = [each.id for each in claimed if each is not None]
    assert sorted(found) == sorted(ids)


# Lists ------------------------------------------------------------------------------------------


def values_of(job: Job, sort: str) -> Any:
    name = sort.removeprefix("-")
    value = job.metrics.get(name[8:]) if name.startswith("metrics.") else getattr(job, name)
    return None if value is None or value != value else value


@pytest.mark.parametrize("sort", [*SORTS, "metrics.val_loss"])
def test_jobs_are_sorted(store: Store, sort: str) -> None:
    made = [
        submit(
            store, name=f"n{i % 4}é", state=STATES[i % 7], priority=i % 3, created=100.0 + i % 5,
            ended=None if i % 2 else float(i % 6 + 1), epoch=i % 4, seconds=i % 4 / 3,
            metrics={} if i % 5 == 0 else {"val_loss": math.nan if i % 5 == 1 else i % 3 / 7},
        )
        for i in range(23)
    ]  # fmt: skip
    there = [each for each in made if values_of(each, sort) is not None]
    rest = [each.number for each in made if values_of(each, sort) is None]
    expected = [each.number for each in sorted(there, key=lambda j: (values_of(j, sort), j.number))]
    for limit in (1, 4, 22, 23, 50):
        up = [each.number for each in all_pages(store, JobFilter(), sort, limit)]
        down = [each.number for each in all_pages(store, JobFilter(), f"-{sort}", limit)]
        assert up == expected + rest
        assert down == expected[::-1] + rest[::-1]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (JobFilter(), "123456"),
        (JobFilter(user="ann"), "1234"),
        (JobFilter(user="zoe"), ""),
        (JobFilter(states=("queued", "failed")), "1256"),
        (JobFilter(kinds=("sweep",)), "24"),
        (JobFilter(user="ann", kinds=("sweep",), states=("paused",)), "4"),
        (JobFilter(text="MNI"), "12"),
        (JobFilter(text="100%"), "3"),
        (JobFilter(text="_"), "4"),
        (JobFilter(text="00000005"), "5"),
        (JobFilter(text="0005"), ""),
        (JobFilter(parent="p"), "36"),
        (JobFilter(since=104.0), "456"),
    ],
)
def test_jobs_are_filtered(store: Store, wanted: JobFilter, expected: str) -> None:
    rows = [
        ("mnist", "train", "queued", None), ("Mnist", "sweep", "queued", None),
        ("at 100%", "train", "paused", "p"), ("a_b", "sweep", "paused", None),
        ("c", "train", "failed", None), ("c", "train", "failed", "p"),
    ]  # fmt: skip
    for i, (name, kind, state, parent) in enumerate(rows, 1):
        submit(
            store, "ann" if i < 5 else "bob", id=f"{i:08}{i:024}", name=name, kind=kind,
            state=state, parent=parent, created=100.0 + i,
        )  # fmt: skip
    page = store.jobs(wanted, "number", 2)
    assert page.total == len(expected)
    assert "".join(str(j.number) for j in all_pages(store, wanted, "number", 2)) == expected


@pytest.mark.parametrize("sort", ["", "-", "--number", "text", "metrics.", 'metrics.a"b', "id"])
def test_a_sort_that_there_is_not(store: Store, sort: str) -> None:
    with pytest.raises(UsageError, match="sort: expected one of number, name"):
        store.jobs(JobFilter(), sort)


@pytest.mark.parametrize("after", ["", "x", "W10", "é", "bnVsbA", "WyJuYW1lIiwgbnVsbF0"])
def test_a_cursor_that_is_none(made: Made, after: str) -> None:
    with pytest.raises(UsageError, match="after: expected"):
        made.store.jobs(JobFilter(), after=after)


def test_a_cursor_belongs_to_its_sort(made: Made) -> None:
    for _ in range(3):
        submit(made.store)
    page = made.store.jobs(JobFilter(), "name", 2)
    with pytest.raises(UsageError, match="sorted by '-name'"):
        made.store.jobs(JobFilter(), "-name", 2, page.next)


SOME = st.lists(st.sampled_from([None, 0.0, 1.0, 2.0]), max_size=6)


@given(
    before=SOME,
    between=st.lists(SOME, max_size=4),
    sort=st.sampled_from(
        [s + n for s in ("", "-") for n in ("number", "ended", "metrics.m", "epoch")]
    ),
    limit=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_pages_hold_every_job_once_while_others_come(
    kept: Made, before: Any, between: Any, sort: str, limit: int
) -> None:
    shared, wanted = kept.store, JobFilter(user=uuid4().hex)

    def add(values: Any) -> list[str]:
        rows = [
            {"ended": v, "epoch": int(v or 0), "metrics": {} if v is None else {"m": v}}
            for v in values
        ]
        return [submit(shared, wanted.user or "", **row).id for row in rows]

    old, seen, after = add(before), [], None
    while True:
        page = shared.jobs(wanted, sort, limit, after)
        seen += [each.id for each in page.items]
        if (after := page.next) is None:
            break
        add(between.pop() if between else [])
    assert set(old) <= set(seen)
    assert len(seen) == len(set(seen))


# Events -----------------------------------------------------------------------------------------


def test_events_of_a_job_and_of_a_user(store: Store) -> None:
    one, two = submit(store), submit(store, "bob")
    store.note(one.id, "first")
    store.note(two.id, "second")
    store.note(one.id, "third")
    assert [e.number for e in store.events(0, one.id, None)] == [1, 3, 5]
    assert [e.number for e in store.events(3, None, "ann")] == [5]
    assert [e.number for e in store.events(0, None, None, limit=2)] == [1, 2]
    assert store.events(5, None, None) == []
    assert (store.last_event(), store.last_event(two.id), store.last_event("no")) == (5, 4, 0)


def test_subscribers_are_told_what_counts(store: Store) -> None:
    heard: list[int] = []

    def broken(number: int) -> None:
        raise ValueError("not for others to suffer")

    submit(store)
    store.subscribe(broken)
    unsubscribe = store.subscribe(heard.append)
    kept = submit(store)
    store.audit("ann", "read", "", {})  # no event
    with pytest.raises(NotAllowed):
        change(store, kept, "diverged")
    store.note(kept.id, "text")
    store.audit("ann", "read", "", {})
    assert heard == [2, 3]
    unsubscribe()
    unsubscribe()
    submit(store)
    store.audit("ann", "read", "", {})
    assert heard == [2, 3]


def test_events_come_in_order_without_gaps_while_many_write(store: Store) -> None:
    heard: list[int] = []
    seen: list[int] = []
    ended = threading.Event()
    store.subscribe(heard.append)

    def read() -> None:
        last = False
        while not last:
            last = ended.is_set()
            while events := store.events(seen[-1] if seen else 0, None, None, limit=7):
                seen.extend(event.number for event in events)

    def write(user: str) -> None:
        for i in range(6):
            mine = submit(store, user)
            if i % 2:
                with pytest.raises(NotAllowed):
                    change(store, mine, "diverged")  # takes its numbers back
            change(store, mine, "paused")
            store.note(mine.id, "text")

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, "abcdefgh"))
    ended.set()
    reader.join()
    assert seen == [*range(1, 8 * 6 * 3 + 1)]
    store.audit("", "", "", {})  # subscribers hear after who wrote
    assert heard == sorted(set(heard))
    assert heard[-1] == seen[-1]
