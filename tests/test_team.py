"""Threads that share the pieces of a kernel's jobs: each piece once, none too late."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numba import int64, njit

from trainer.engine.compiled.team import (
    BEGIN,
    ENDED,
    JOB,
    ROWS,
    TEAM_SIZE,
    TICKET,
    expose,
    finish,
    post,
    take,
    wait,
)


@njit(nogil=True)
def pieces(work, stay):
    (team, cells) = work
    expose(work)
    taken = 0
    while True:
        piece = take(team, stay)
        if piece < 0:
            return taken
        taken += 1
        job, begin, rows = team[JOB], team[BEGIN], team[ROWS]
        for k in range(begin, begin + rows):
            cells[piece, k] += job
        finish(team)


@njit(nogil=True)
def lead(team, cells, jobs):
    """Job k adds k to every cell; right after each, all must be there."""
    work = (team, cells)
    expose(work)
    expected = 0
    wrong = 0
    for job in range(1, jobs + 1):
        expected += job
        post(team, job, cells.shape[0], 0, cells.shape[1])
        pieces(work, int64(0))
        wait(team)
        for i in range(cells.shape[0]):
            for j in range(cells.shape[1]):
                wrong += cells[i, j] != expected
    return wrong


def run(helpers: int, count: int, width: int, jobs: int, pause: float = 0.0) -> list[int]:
    """What each helper took, after checking every cell of every job."""
    team = np.zeros(TEAM_SIZE, np.int64)
    cells = np.zeros((count, width), np.int64)
    taken: list[int] = []

    def join() -> None:
        time.sleep(pause)
        taken.append(pieces((team, cells), 1))

    threads = [threading.Thread(target=join) for _ in range(helpers)]
    for thread in threads:
        thread.start()
    assert lead(team, cells, jobs) == 0
    team[TICKET] = ENDED
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return taken


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    run(1, 1, 1, 1)


@pytest.mark.parametrize("helpers", [0, 1, 3, 7])
@pytest.mark.parametrize(("count", "width", "jobs"), [(1, 1, 20_000), (7, 3, 5000), (64, 500, 300)])
def test_every_piece_is_done_once_before_the_next_job(helpers, count, width, jobs) -> None:
    taken = run(helpers, count, width, jobs)
    assert sum(taken) <= count * jobs


def test_helpers_take_their_share() -> None:
    assert sum(run(1, 64, 20_000, 300)) > 0


def test_a_helper_that_comes_late_or_after_the_end_does_no_harm() -> None:
    assert run(2, 4, 4, 100, pause=0.2) == [0, 0]


def test_a_piece_that_is_taken_and_not_done_holds_the_leader_up() -> None:
    """The check above can fail: without the helper that took it, the leader would go on."""
    team, cells = np.zeros(TEAM_SIZE, np.int64), np.zeros((2, 3), np.int64)
    njit(lambda team: post(team, 1, 2, 0, 3))(team)
    assert take(team, 0) == 1
    assert pieces((team, cells), 0) == 1
    assert cells.tolist() == [[1, 1, 1], [0, 0, 0]]
    leader = threading.Thread(target=njit(nogil=True)(lambda team: wait(team)), args=(team,))
    leader.start()
    time.sleep(0.5)
    assert leader.is_alive()
    finish(team)
    leader.join(10)
    assert not leader.is_alive()
