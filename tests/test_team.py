"""Threads that share the pieces of a kernel's jobs: each piece once, none too late."""

from __future__ import annotations

import ctypes
import threading
import time

import numpy as np
import pytest
from plain import POOL, compiled, kernel_of

from trainer.engine.compiled.target import Code, host_target, make_object
from trainer.engine.compiled.team import CAPTURED, ENDED, JOB, TEAM_SIZE, TICKET, team_text
from trainer.graph.loops import (
    ArrayArgument,
    Element,
    For,
    Function,
    Let,
    Name,
    Return,
    Share,
    Store,
    Whole,
    apply,
)

JOBS, N, WIDTH, PIECE, K, ROUND = (
    Name(text, "int") for text in ("jobs", "count", "width", "piece", "k", "round")
)


def adding() -> Function:
    """Job number `round` adds that to every cell of (count, 500); after each, row 0 is summed up
    in `seen`.
    """
    cell = (PIECE, K)
    add = Store("cells", cell, Element("cells", cell) + Name("more"))
    seen = Store("seen", (ROUND,), Element("cells", (N - 1, Whole(0))))
    body = (
        Let("more", apply("real", ROUND) + 1.0),
        Share("piece", N, (For("k", Whole(0), WIDTH, (add,)),)),
        seen,
    )
    arrays = (
        ArrayArgument("cells", ("B", 500), "float64"),
        ArrayArgument("seen", ("B",), "float64"),
    )
    loop = For("round", Whole(0), JOBS, body)
    return Function("adding", arrays, ("count", "width", "jobs"), (loop, Return(JOBS)))


CODE = compiled({"adding": kernel_of(adding())}, "float64")


@pytest.mark.parametrize("helpers", [0, 1, 3])
@pytest.mark.parametrize(("count", "width", "jobs"), [(1, 1, 20_000), (7, 3, 5000), (64, 500, 300)])
def test_every_piece_is_done_once_before_the_next_job(helpers, count, width, jobs) -> None:
    cells, seen = np.zeros((count, 500)), np.zeros(jobs)
    assert CODE.call("adding", [cells, seen], (count, width, jobs), POOL, helpers) == jobs
    expected = jobs * (jobs + 1) / 2
    assert (cells[:, :width] == expected).all()
    assert not cells[:, width:].any()
    np.testing.assert_array_equal(seen, np.cumsum(np.arange(1.0, jobs + 1)))


# The team by itself ------------------------------------------------------------------------------

_OUTSIDE = team_text(host_target().triple).replace("define internal", "define")


class Team:
    """A team's functions, callable from Python."""

    code = Code(
        make_object(_OUTSIDE + "attributes #0 = { nounwind }", host_target()), host_target()
    )

    def __init__(self) -> None:
        self.places = np.zeros(TEAM_SIZE, np.int64)
        self._at = self.places.__array_interface__["data"][0]

    def _call(self, name: str, *values: int) -> int:
        kinds = [ctypes.c_int64] * (1 + len(values))
        function = ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(self.code.address(f"team.{name}"))
        return int(function(self._at, *values))

    def post(self, job: int, pieces: int, captured: int = 0) -> None:
        self._call("post", job, pieces, captured)

    def take(self, stay: int) -> int:
        return self._call("take", stay)

    def finish(self) -> None:
        self._call("finish")

    def wait(self) -> None:
        self._call("wait")


def test_pieces_are_taken_once_and_jobs_are_told_apart() -> None:
    team = Team()
    team.post(5, 3, 77)
    assert team.places[[JOB, CAPTURED]].tolist() == [5, 77]
    assert [team.take(0) for _ in range(5)] == [2, 1, 0, -1, -1]
    for _ in range(3):
        team.finish()
    team.wait()
    ticket = int(team.places[TICKET])
    team.post(6, 1)
    assert int(team.places[TICKET]) >> 32 == (ticket >> 32) + 1


def test_who_stays_waits_for_the_next_job_and_leaves_at_the_end() -> None:
    team, taken = Team(), []

    def join() -> None:
        while (piece := team.take(1)) >= 0:
            taken.append(piece)
            team.finish()

    helper = threading.Thread(target=join)
    helper.start()
    for job in range(3):
        team.post(job, 4)
        team.wait()
    assert sorted(taken) == sorted([0, 1, 2, 3] * 3)
    team.places[TICKET] = ENDED
    helper.join(10)
    assert not helper.is_alive()
    assert team.take(1) == -1, "who comes after the end does no harm"


def test_a_piece_that_is_taken_and_not_done_holds_the_leader_up() -> None:
    team = Team()
    team.post(1, 2)
    assert team.take(0) == 1
    assert team.take(0) == 0
    team.finish()
    leader = threading.Thread(target=team.wait)
    leader.start()
    time.sleep(0.3)
    assert leader.is_alive()
    team.finish()
    leader.join(10)
    assert not leader.is_alive()
