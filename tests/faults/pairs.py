"""A training and its recorder, of which one is killed: what is left ends as in peace."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from trainer.checkpoints.folder import LOCK, is_held

from .runs import Record, command, difference, in_peace, journal_size, new_store, said, start
from .tally import Tally

ENGINE: Final = "reference"
EPOCHS: Final = 300
TRUE_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 120.0
TRACKING: Final = 5  # the exit code where the store has not all of a run

Moment: TypeAlias = Callable[[Path, random.Random], bool]
"""Whether it is time to kill; it is asked until it says so."""


# Moments ----------------------------------------------------------------------------------------


def _at_once(folder: Path, chance: random.Random) -> bool:
    return True


def _some_time(folder: Path, chance: random.Random, most: float = 0.0) -> bool:
    time.sleep(chance.uniform(0, most))
    return True


def _has(folder: Path, chance: random.Random, name: str = "") -> bool:
    """Whether the folder of the run has this file."""
    return any(folder.glob(f"runs/*/{name}"))


def _is_known(folder: Path, chance: random.Random) -> bool:
    return _recorded(folder).get("run_id") is not None


def _is_sent(folder: Path, chance: random.Random) -> bool:
    """Whether some points are in the store, more or fewer each time."""
    return _count(folder, "metrics") > chance.choice((0, 300, 1000, 2000))


def _is_trained_on(folder: Path, chance: random.Random) -> bool:
    """A while after the journal was begun."""
    return journal_size(folder) > 0 and _some_time(folder, chance, 1.0)


def _has_model(folder: Path, chance: random.Random, ready: bool = False) -> bool:
    return _count(folder, "logged_models where status = 2" if ready else "logged_models") > 0


def _waits(folder: Path, chance: random.Random) -> bool:
    """Whether the training only waits for the recorder."""
    found = list(folder.glob("runs/*/result.json"))
    return bool(found) and not is_held(found[0].parent / LOCK)


OF_THE_RECORDER: Final[Mapping[str, Moment]] = {
    "at its start": _at_once,
    "while it imports": partial(_some_time, most=1.5),
    "once the run has a folder": partial(_has, name="run.json"),
    "before there is a run in MLflow": partial(_has, name="recorded.json"),
    "once there is a run in MLflow": _is_known,
    "while points are sent": _is_sent,
    "after the end of the training": partial(_has, name="result.json"),
    "while the model is logged": _has_model,
    "once the model is ready": partial(_has_model, ready=True),
    "at any time": partial(_some_time, most=8.0),
}
OF_THE_TRAINING: Final[Mapping[str, Moment]] = {
    "at its start": _at_once,
    "before there is a run": partial(_some_time, most=1.5),
    "while its folder is made": partial(_has, name="lock"),
    "once it has its facts": partial(_has, name="run.json"),
    "at its first steps": lambda folder, _: journal_size(folder) > 0,
    "while it trains": _is_trained_on,
    "once MLflow knows it": _is_known,
    "at its end": partial(_has, name="result.json"),
    "while it draws": partial(_has, name="files/explain"),
    "while it waits": _waits,
}


# The campaigns ----------------------------------------------------------------------------------


def recorder(folder: Path, template: Path, number: int, *names: str, seed: int = 1) -> Tally:
    """The recorder killed so often, each time beside a new training: that one goes on, `train
    sync` sends the rest, and MLflow has what it has in peace. Every other time the `sync` is killed
    as well.
    """
    tally, chance = Tally("recorders killed"), random.Random(seed)
    expected = _peace(folder, template)
    for i, (name, moment) in enumerate(_moments(OF_THE_RECORDER, number, names)):
        place = _place(folder, template, f"recorder-{i}")
        training = start(place, ENGINE)
        killed = _kill(partial(_recorder_of, training), moment, place, chance)
        code = _ended(training)
        wrong = None if code in (0, TRACKING) else f"exit code {code}: {said(place)}"
        if code == 0 and killed and not _recorded(place).get("whole"):
            wrong = "it said nothing of a recorder that was gone"
        if wrong is None and code == TRACKING and i % 2:
            sync = command(place, "sync")
            _kill(partial(_pid, sync), _after_points(chance), place, chance)
            _ended(sync)
        if wrong is None and code == TRACKING:
            code = _ended(command(place, "sync"))
            wrong = f"sync: exit code {code}: {said(place)}" if code else None
        tally.case(f"{name} (case {i} of seed {seed})", wrong or difference(expected, place))
        tally.missed += not killed
        _drop(place, wrong)
    return tally


def training(folder: Path, template: Path, number: int, *names: str, seed: int = 1) -> Tally:
    """The training killed so often under a living recorder: MLflow soon tells the truth of it, and
    what is begun or gone on with again ends as in peace.
    """
    tally, chance = Tally("trainings killed"), random.Random(seed)
    expected, longest = _peace(folder, template), 0.0
    for i, (name, moment) in enumerate(_moments(OF_THE_TRAINING, number, names)):
        place = _place(folder, template, f"training-{i}")
        process = start(place, ENGINE)
        killed = _kill(partial(_pid, process), moment, place, chance)
        _ended(process)
        wrong, seconds = _truth(place)
        longest = max(longest, seconds)
        if wrong is None and not _is_finished(place):
            code = _ended(start(place, ENGINE))
            wrong = f"exit code {code}: {said(place)}" if code else None
        if wrong is None:
            _until(partial(_is_recorded, place), PATIENCE_SECONDS)
        wrong = wrong or difference(expected, place)
        tally.case(f"{name} (case {i} of seed {seed})", wrong)
        tally.missed += not killed
        _drop(place, wrong)
    tally.notes.append(f"true after {longest:.1f} s at most")
    return tally


def _moments(
    table: Mapping[str, Moment], number: int, names: Sequence[str]
) -> list[tuple[str, Moment]]:
    """So many moments, each that is named equally often; of the whole table where none is."""
    each = [(name, table[name]) for name in names or table]
    return [each[i % len(each)] for i in range(number)]


def _after_points(chance: random.Random) -> Moment:
    """A moment of one who sends what is left."""
    return chance.choice((partial(_some_time, most=5.0), _has_model))


def _peace(folder: Path, template: Path) -> Record:
    return in_peace(folder / "peace-pairs", template, ENGINE, EPOCHS)


def _place(folder: Path, template: Path, name: str) -> Path:
    place = folder / name
    new_store(place, template, EPOCHS)
    return place


def _drop(place: Path, wrong: str | None) -> None:
    """Makes room, unless something is to be looked at."""
    if wrong is None:
        shutil.rmtree(place, ignore_errors=True)


# Killing ----------------------------------------------------------------------------------------


def _kill(
    whom: Callable[[], int | None], moment: Moment, folder: Path, chance: random.Random
) -> bool:
    """Kills the process at the moment; whether it was there."""
    if not _until(lambda: whom() is not None, 10):
        return False
    pid = whom()
    assert pid is not None
    _until(lambda: moment(folder, chance) or not _is_alive(pid), PATIENCE_SECONDS)
    if not _is_alive(pid):
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def _pid(process: subprocess.Popen[bytes]) -> int:
    return process.pid


def _recorder_of(training: subprocess.Popen[bytes]) -> int | None:
    """The recorder that the training started."""
    with suppress(OSError):
        children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text()
        for pid in map(int, children.split()):
            if b"trainer.tracking.recorder" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code; -SIGABRT of one that hung."""
    try:
        return process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return -signal.SIGABRT


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.003)
    return True


# Looking ----------------------------------------------------------------------------------------


def _truth(folder: Path) -> tuple[str | None, float]:
    """What is wrong with what MLflow says of the run that was just killed, and when it was right:
    that it is KILLED, or nothing. One that was trained to its end may still be on its way.
    """
    began = time.monotonic()
    if _is_finished(folder):
        return None, 0.0
    found = _until(lambda: _status(folder) == "KILLED", TRUE_SECONDS)
    status, seconds = _status(folder), time.monotonic() - began
    if found or status is None:
        return None, seconds if found else 0.0
    return f"it is {status} after {seconds:.0f} s", seconds


def _is_finished(folder: Path) -> bool:
    return any(folder.glob("runs/*/result.json"))


def _is_recorded(folder: Path) -> bool:
    return bool(_recorded(folder).get("whole"))


def _recorded(folder: Path) -> Mapping[str, Any]:
    """What the recorder says. Raises `ValueError` where that is half written."""
    for path in folder.glob("runs/*/recorded.json"):
        found: Mapping[str, Any] = json.loads(path.read_bytes())
        return found
    return {}


def _status(folder: Path) -> str | None:
    with closing(sqlite3.connect(folder / "runs" / "mlflow.db")) as database:
        found = database.execute("select status from runs").fetchone()
    return str(found[0]) if found else None


def _count(folder: Path, what: str) -> int:
    with closing(sqlite3.connect(folder / "runs" / "mlflow.db")) as database:
        return int(database.execute(f"select count(*) from {what}").fetchone()[0])
