"""The course of a sweep by its virtual clock, worked by hand; and the log that it follows from."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import CheckpointError
from trainer.sweeps.course import Course, Rules
from trainer.sweeps.log import (
    LOG,
    Began,
    Chosen,
    Closed,
    Entry,
    Found,
    Log,
    Promoted,
    digest_of,
    read_log,
)

BEGAN = Began("spec", "data", "compiled", "2", None)
ENTRIES: list[Entry] = [
    BEGAN,
    Chosen(0, 0, 5, 7, {"sgd.learning_rate": 0.01, "sgd.schedule": {"type": "cosine"}}),
    Found(0, 35, 5, 5, "waiting", 0.25, ""),
    Promoted(0, 35, 15),
    Found(0, 105, 15, 12, "diverged", None, ""),
    Closed(105),
]


def carried_out(
    rules: Rules,
    loss: Callable[[int, int], float],
    cost: Callable[[int], int] = lambda number: 1,
    stops: Mapping[int, int] | None = None,
) -> list[Entry]:
    """The log of a sweep whose trials have these losses, by number and epoch; `stops` has the
    epochs after which trials stop early.
    """
    course, log = Course(rules), list[Entry]()

    def take(entry: Entry) -> None:
        course.take(entry)
        log.append(entry)

    while True:
        while (wanted := course.next()) is not None:
            first = rules.rungs[0]
            if isinstance(wanted, int):
                take(Chosen(wanted, course.now, first, cost(wanted), {"n": wanted}))
            else:
                take(wanted)
        if not course.running:
            return log
        number = course.running[0]
        place = course.places[number]
        epochs = min(place.until, (stops or {}).get(number, rules.rungs[-1]))
        value = loss(number, epochs)
        whole = epochs < place.until or epochs == rules.rungs[-1]
        status = "diverged" if value == float("inf") else "finished" if whole else "waiting"
        found = None if status == "diverged" else value * rules.sign
        take(Found(number, course.when(number), place.until, epochs, status, found, ""))


def told(log: list[Entry]) -> list[str]:
    """The log in short."""
    words = []
    for entry in log:
        match entry:
            case Chosen():
                words.append(f"{entry.at}: {entry.trial} begins")
            case Promoted():
                words.append(f"{entry.at}: {entry.trial} to {entry.until}")
            case Found():
                words.append(f"{entry.at}: {entry.trial} {entry.status}")
    return words


def test_two_slots_and_four_trials() -> None:
    """Worked by hand: losses 3, 1, 2, 4; of two the best one goes on, of four two."""
    rules = Rules(rungs=[2, 6], factor=2, slots=2, planned=4, sign=1.0)
    losses = {0: 3.0, 1: 1.0, 2: 2.0, 3: 4.0}
    log = carried_out(rules, lambda number, _: losses[number])
    assert told(log) == [
        "0: 0 begins", "0: 1 begins",
        "2: 0 waiting", "2: 1 waiting",  # both end at 2, and then it is decided
        "2: 1 to 6", "2: 2 begins",
        "4: 2 waiting",  # of three one may go on, and did
        "4: 3 begins",
        "6: 1 finished", "6: 3 waiting",  # of four two: the second is trial 2
        "6: 2 to 6",
        "10: 2 finished",
    ]  # fmt: skip


def test_a_slow_trial_does_not_hold_up_others() -> None:
    rules = Rules(rungs=[1], factor=None, slots=2, planned=4, sign=1.0)
    log = carried_out(rules, lambda number, _: number, cost=lambda number: [10, 2, 3, 4][number])
    assert told(log) == [
        "0: 0 begins", "0: 1 begins", "2: 1 finished", "2: 2 begins", "5: 2 finished",
        "5: 3 begins", "9: 3 finished", "10: 0 finished",
    ]  # fmt: skip


def test_the_best_of_the_highest_rung_goes_to_the_end() -> None:
    """With a factor of 3 and two trials no one is promoted, yet there is a winner."""
    rules = Rules(rungs=[1, 3, 9], factor=3, slots=4, planned=2, sign=1.0)
    log = carried_out(rules, lambda number, _: [0.5, 0.4][number])
    assert told(log)[-2:] == ["1: 1 to 9", "9: 1 finished"]


def test_where_the_last_diverges_the_next_best_goes() -> None:
    rules = Rules(rungs=[1, 9], factor=3, slots=4, planned=2, sign=1.0)
    log = carried_out(rules, lambda n, e: float("inf") if (n, e) == (1, 9) else [0.5, 0.4][n])
    assert told(log)[-4:] == ["1: 1 to 9", "9: 1 diverged", "9: 0 to 9", "17: 0 finished"]


def test_trials_that_all_diverge_end_it() -> None:
    rules = Rules(rungs=[1, 9], factor=3, slots=2, planned=5, sign=1.0)
    log = carried_out(rules, lambda number, epoch: float("inf"))
    assert [each for each in told(log) if "to" in each] == []
    assert sum(isinstance(entry, Found) for entry in log) == 5


def test_greater_is_better_where_the_sign_says_so() -> None:
    rules = Rules(rungs=[1, 2], factor=2, slots=2, planned=2, sign=-1.0)
    log = carried_out(rules, lambda number, _: [-0.9, -0.8][number])  # accuracies 0.9 and 0.8
    assert "1: 0 to 2" in told(log)


def test_a_trial_that_stopped_early_is_compared_at_later_rungs_and_not_trained() -> None:
    """Trial 0 ends after two epochs and is the best: it takes a place at each rung."""
    rules = Rules(rungs=[1, 4, 8], factor=2, slots=4, planned=4, sign=1.0)
    log = carried_out(rules, lambda number, _: float(number), stops={0: 2})
    promoted = [(entry.trial, entry.until) for entry in log if isinstance(entry, Promoted)]
    assert promoted == [(0, 4), (1, 4)]  # 0 ends on the way; 0 is the one of two that goes to 8


def test_closed_begins_and_promotes_nothing_but_the_best_to_its_end() -> None:
    course = Course(Rules(rungs=[1, 4], factor=2, slots=2, planned=10, sign=1.0))
    for entry in (Chosen(0, 0, 1, 1, {}), Chosen(1, 0, 1, 1, {}),
                  Found(0, 1, 1, 1, "waiting", 0.5, ""), Closed(1),
                  Found(1, 1, 1, 1, "waiting", 0.4, "")):  # fmt: skip
        course.take(entry)
    assert course.next() == Promoted(1, 1, 4)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (Chosen(2, 0, 5, 1, {}), "out of turn"),
        (Promoted(0, 35, 15), "not the next to be promoted"),
        (Promoted(4, 35, 15), "no trial 4 yet"),
        (Found(0, 35, 15, 5, "waiting", 0.2, ""), "not training to epoch 15"),
    ],
)
def test_an_entry_that_cannot_follow_is_refused(entry: Entry, why: str) -> None:
    course = Course(Rules(rungs=[5, 15], factor=2, slots=2, planned=10, sign=1.0))
    course.take(Chosen(0, 0, 5, 7, {}))
    with pytest.raises(ValueError, match=why):
        course.take(entry)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), slots=st.integers(1, 6), planned=st.integers(1, 30),
    factor=st.integers(2, 4),
)  # fmt: skip
def test_what_holds_of_every_sweep(seed: int, slots: int, planned: int, factor: int) -> None:
    """A log leads to its own next entry, wherever it is cut; no more trials go on from a rung than
    may; no more slots are busy than there are; there is a winner where any trial is of use.
    """
    draw = random.Random(seed)
    losses = [draw.choice([draw.random(), 0.5, float("inf")]) for _ in range(planned)]
    costs = [draw.randint(1, 9) for _ in range(planned)]
    rules = Rules([2, 5, 11], factor, slots, planned, 1.0)
    log = carried_out(rules, lambda n, e: losses[n] / e, lambda n: costs[n],
                      {n: draw.randint(1, 11) for n in range(0, planned, 4)})  # fmt: skip
    again, busy = Course(rules), 0
    for entry in log:
        if isinstance(entry, Chosen | Promoted):
            wanted = again.next()
            assert wanted == (entry.trial if isinstance(entry, Chosen) else entry)
            busy += 1
        elif isinstance(entry, Found):
            assert (entry.trial, entry.at) == (again.running[0], again.when(entry.trial))
            busy -= 1
        assert busy <= slots
        again.take(entry)
    assert again.next() is None
    assert not again.running
    finished = [place for place in again.places if place.status == "finished"]
    assert bool(finished) == any(loss < float("inf") for loss in losses)
    reached = sum(2 in place.losses for place in again.places)
    beyond = sum(len(place.losses) > 1 for place in again.places)
    assert beyond <= max(planned // factor * slots, 1) + reached // factor


def test_a_thousand_trials_are_decided_in_a_moment() -> None:
    rules = Rules([1, 3, 9, 27], 3, 8, 1000, 1.0)
    draw = random.Random(0)
    losses = [draw.random() for _ in range(1000)]
    log = carried_out(rules, lambda n, e: losses[n] / e)
    epochs = sum(entry.until for entry in log if isinstance(entry, Chosen))
    assert epochs == 1000
    assert len(log) < 4000


# The log ----------------------------------------------------------------------------------------


def written(folder: Path, *parts: list[Entry]) -> str:
    """The digest of a log in the folder to which these entries were appended."""
    with closing(Log(folder)) as log:
        for part in parts:
            log.append(part)
        return log.digest


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    digest = written(tmp_path, ENTRIES[:2], ENTRIES[2:])
    assert read_log(tmp_path) == (ENTRIES, digest)
    assert digest == digest_of(ENTRIES)
    assert digest_of(ENTRIES[:-1]) != digest


@pytest.mark.parametrize(("cut", "left"), [(1, 5), (5, 5), (60, 4), (10**6, 0)])
def test_half_an_entry_is_dropped(tmp_path: Path, cut: int, left: int) -> None:
    written(tmp_path, ENTRIES)
    path = tmp_path / LOG
    path.write_bytes(path.read_bytes()[: -min(cut, path.stat().st_size)])
    assert read_log(tmp_path)[0] == ENTRIES[:left]
    assert written(tmp_path, ENTRIES[left:]) == digest_of(ENTRIES)
    assert read_log(tmp_path)[0] == ENTRIES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"until": 15', b'"until": 16'),
        (b'"value": 0.25', b'"value": 0.24'),
        (b"waiting", b"finished"),
        (b'{"entry": "promoted"', b'{"entry": "prompted"'),
    ],
)
def test_a_changed_log_is_damaged(tmp_path: Path, old: bytes, new: bytes) -> None:
    written(tmp_path, ENTRIES)
    path = tmp_path / LOG
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(CheckpointError, match="decisions"):
        Log(tmp_path)


def test_a_line_that_was_taken_out_is_missed(tmp_path: Path) -> None:
    written(tmp_path, ENTRIES)
    path = tmp_path / LOG
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(CheckpointError, match="line 3"):
        read_log(tmp_path)
