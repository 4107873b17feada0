"""Saves that fail, or are killed, at each call that they make."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from trainer.errors import CheckpointError

from .files import NONE, Fault, Full, interposed
from .story import MOMENTS, Teller, after, found, is_same, leftovers, matching, tell
from .tally import Tally

ERRORS: Final = (errno.ENOSPC, errno.EIO)
KILLS: Final = ("before", "amid", "after")


def failures(folder: Path, every: int = 1) -> Tally:
    """The n-th call of a save fails, and perhaps all after it, until a save needs no more; of the
    calls each, or one of every so many.
    """
    tally = Tally("calls of a save that fail")
    for number, path in _each_moment(folder):
        for error in ERRORS:
            for lasting in (False, True):
                for at in count(1, every):
                    _begin(path, number)
                    what, done = _fail(path, number, Fault(at, error, lasting))
                    if done:
                        break
                    name = f"{errno.errorcode[error]} at call {at} of save {number}"
                    tally.case(name + " and later" * lasting, what)
    return tally


def _fail(path: Path, number: int, fault: Fault) -> tuple[str | None, bool]:
    """What a failing save lost, and whether it came to its end before the fault."""
    following = min(number + 1, len(MOMENTS) - 1)
    with interposed() as layer:
        teller = Teller(path, number)
        try:
            layer.arm(fault)
            teller.tell(number)
            done = len(layer.calls) < fault.at
            layer.arm(NONE)
            least = number if teller.warnings else number + 1
            wrong = matching(path, range(least, number + 2))
            teller.warnings.clear()
            teller.tell(following)
            wrong = wrong or _told(teller.warnings) or _later(path, number, following)
        except Exception as error:  # the training would have stopped
            wrong, done = f"{type(error).__name__}: {error}", False
        finally:
            teller.close()
    return wrong, done


def failing_loads(folder: Path) -> Tally:
    """The n-th call of a load fails: an older state with a warning, or `CheckpointError`."""
    tally = Tally("calls of a load that fail")
    path = folder / "loaded"
    shutil.rmtree(path, ignore_errors=True)
    tell(path, 4)
    for at in count(1):
        warnings: list[str] = []
        wrong = None
        with interposed(Fault(at, errno.EIO)) as layer:
            try:
                progress = found(path, warnings.append)
                newest = is_same(progress, after(4)) and not warnings
                if not newest and not (is_same(progress, after(3)) and warnings):
                    wrong = "something else was loaded, or without a warning"
            except CheckpointError:
                pass
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
        if len(layer.calls) < at:
            return tally
        tally.case(f"EIO at call {at}", wrong)
    raise AssertionError


def kills(folder: Path, every: int = 1) -> Tally:
    """SIGKILL before, amid and after each call of a save, or one of every so many.

    Forks, and so belongs in a process without other threads.
    """
    tally = Tally("calls of a save killed")
    for number, path in _each_moment(folder):
        for when in KILLS:
            for at in count(1, every):
                _begin(path, number)
                if not _killed(path, number, Fault(at, when=when)):
                    break
                wrong = matching(path, range(number, number + 2)) or _resumed(path, number)
                tally.case(f"killed {when} call {at} of save {number}", wrong)
    return tally


def _killed(path: Path, number: int, fault: Fault) -> bool:
    """Saves in a child that the fault kills; False where it came to its end before."""
    child = os.fork()
    if not child:
        code = 1
        try:
            with interposed() as layer:
                teller = Teller(path, number)
                layer.arm(fault)
                teller.tell(number)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the save itself failed"
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _resumed(path: Path, number: int) -> str | None:
    """What is wrong once another process went on with the run."""
    stands = next(n for n in (number + 1, number) if matching(path, range(n, n + 1)) is None)
    following = min(stands, len(MOMENTS) - 1)
    teller = Teller(path, stands)
    if stands < len(MOMENTS):
        teller.tell(following)
    teller.close()
    return _told(teller.warnings) or matching(path, range(following + 1, following + 2)) or (
        _left(path) if stands < len(MOMENTS) else None)  # fmt: skip


def full_disks(folder: Path, every: int = 1) -> Tally:
    """A disk with room for some bytes, from none to all that the story needs."""
    tally = Tally("disks full")
    path = folder / "full"
    for room in count(0, every):
        shutil.rmtree(path, ignore_errors=True)
        full = Full(2**20)
        saved, wrong = 0, None
        with interposed(full=full):
            teller = Teller(path)
            full.room = room
            for number in range(len(MOMENTS)):
                teller.warnings.clear()
                teller.tell(number)
                least = saved if teller.warnings else number + 1
                wrong = wrong or matching(path, range(least, number + 2))
                if not teller.warnings:
                    saved = number + 1
            enough = full.room > 0
            full.room = 2**20
            teller.warnings.clear()
            if saved < len(MOMENTS):
                teller.save()
            teller.close()
        end = len(MOMENTS)
        wrong = wrong or matching(path, range(end, end + 1)) or _left(path)
        tally.case(f"room for {room} bytes", wrong)
        if enough:
            return tally
    raise AssertionError


def _each_moment(folder: Path) -> Iterator[tuple[int, Path]]:
    """The number of each moment, and a folder for its saves beside one to copy."""
    for number in range(len(MOMENTS)):
        path = folder / f"save-{number}"
        template = _template(path)
        shutil.rmtree(template, ignore_errors=True)
        tell(template, number)
        yield number, path


def _template(path: Path) -> Path:
    return path.with_suffix(".template")


def _begin(path: Path, number: int) -> None:
    """Puts the folder back to where it was before the save."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(_template(path), path)


def _later(path: Path, number: int, following: int) -> str | None:
    """What is wrong after the save that followed a failed one."""
    if number == following:  # the end was told twice
        return _left(path)
    return matching(path, range(following + 1, following + 2)) or _left(path)


def _told(warnings: list[str]) -> str | None:
    return f"the next save failed too: {warnings}" if warnings else None


def _left(path: Path) -> str | None:
    over = leftovers(path)
    return f"left over: {sorted(over)}" if over else None
