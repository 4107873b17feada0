"""Whole runs, killed at random moments and resumed, and on a disk that fills up."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

import trainer
from trainer.checkpoints.keeper import load_progress
from trainer.runs.resume import resume

from .files import Full, interposed
from .tally import Tally

EPOCHS: Final = 300
SIGNALS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CHECKPOINTS: Final = Path("runs", "checkpoints")
SPEC: Final[dict[str, Any]] = {
    "name": "killed",
    "seed": 3,
    "data": {
        "source": {"inline": {
            "x": [[i % 5 / 4, i // 5 / 4] for i in range(25)],
            "y": [int(i % 5 > i // 5) for i in range(25)],
        }},
        "split": {"validation": 0.2, "test": 0.2},
    },
    "model": {
        "layers": [{"units": 4, "activation": "tanh"}, {"units": 1}],
        "loss": "logistic",
    },
    "sgd": {"learning_rate": 0.1, "momentum": 0.9, "batch_size": 4, "epochs": EPOCHS},
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What a run leaves in MLflow, as far as it must not depend on kills."""

    status: str
    parameters_sha256: str
    points: list[tuple[str, int, float]]


def new_store(folder: Path, template: Path) -> None:
    """Makes a folder for runs, with an empty database."""
    (folder / "runs").mkdir(parents=True)
    shutil.copy(template, folder / "runs" / "mlflow.db")
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC))


def kills(folder: Path, template: Path, engine: str, number: int, seed: int = 1) -> Tally:
    """One run killed so often, and resumed to its end: all that it leaves is that of a run in
    peace. Each kill is a case; one loss is that of the whole run.
    """
    tally = Tally(f"kills of a run, {engine}")
    peace, killed = folder / f"peace-{engine}", folder / f"killed-{engine}-{seed}"
    if not peace.exists():
        new_store(peace, template)
        _start(peace, engine).wait()
    new_store(killed, template)
    chance = random.Random(seed)
    before, landed, wrong = 0, 0, None
    while landed < number and wrong is None:
        fresh = _run_id(killed) is None
        process = _start(killed, engine)
        with_number = _kill(process, killed, chance)
        landed += process.returncode != 0
        # Python ends with SIGINT where an interrupt of any kind met the `exec` of an import
        if process.returncode not in (0, -signal.SIGINT, -with_number, 128 + with_number):
            wrong = f"exit code {process.returncode}: {_said(killed)}"
        if process.returncode == 0:
            break
        before += fresh and _run_id(killed) is None
    if wrong is None and process.returncode != 0:
        process = _start(killed, engine)
        if process.wait():
            wrong = f"exit code {process.returncode}: {_said(killed)}"
    wrong = wrong or _difference(_record(peace), _record(killed))
    for i in range(landed or 1):
        tally.case(f"kill {i + 1} of {landed} (seed {seed})", wrong if i == 0 else None)
    tally.notes.append(f"{before} before there was a run")
    return tally


def _kill(process: subprocess.Popen[bytes], folder: Path, chance: random.Random) -> int:
    """Sends a signal at a random moment: of the whole process, or of its training."""
    number = chance.choice(SIGNALS)
    if chance.random() < 0.4:
        time.sleep(chance.uniform(0, 2.5))
    else:
        grown = _journal(folder)
        while process.poll() is None and _journal(folder) == grown:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
    process.send_signal(number)
    process.wait()
    return number


def _journal(folder: Path) -> int:
    """The bytes of the journals so far."""
    return sum(path.stat().st_size for path in folder.glob("runs/checkpoints/*/journal"))


def _start(folder: Path, engine: str) -> subprocess.Popen[bytes]:
    """Begins the run of a folder, or goes on with it."""
    run_id = _run_id(folder)
    what = ["resume", run_id] if run_id else ["spec.yaml", "--engine", engine]
    options = ["--checkpoint-every", "1epoch", "--quiet"]
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer", *what, *options],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip


def _run_id(folder: Path) -> str | None:
    """The run that can be resumed, if there is one."""
    found = list(folder.glob("runs/checkpoints/*/run.json"))
    assert len(found) < 2, "a run was begun anew although it could be resumed"
    return found[0].parent.name if found else None


def _said(folder: Path) -> str:
    return (folder / "said").read_text(errors="replace").strip()[-500:]


def _record(folder: Path) -> Record:
    """What MLflow's database says of its last run: one before it was killed in its first moment."""
    with closing(sqlite3.connect(folder / "runs" / "mlflow.db")) as database:
        run, status = database.execute(
            "select run_uuid, status from runs order by start_time desc"
        ).fetchone()
        tags = dict(database.execute("select key, value from tags where run_uuid = ?", [run]))
        points = database.execute(
            "select key, step, value from metrics where run_uuid = ? "
            "and key not like 'perf/%' order by key, step, value", [run],
        ).fetchall()  # fmt: skip
    return Record(status, tags.get("trainer.parameters_sha256", ""), points)


def _difference(expected: Record, found: Record) -> str | None:
    if expected.status != "FINISHED" or not expected.points:
        return "the run in peace did not finish"
    if found.status != expected.status:
        return f"status {found.status}"
    if found.parameters_sha256 != expected.parameters_sha256:
        return "other parameters"
    if found.points != expected.points:
        missing = set(expected.points) - set(found.points)
        over = set(found.points) - set(expected.points)
        count = len(found.points) - len(expected.points)
        return f"points: {len(missing)} missing, {len(over)} others, {count:+} in all"
    return None


def disk_full(folder: Path, rooms: list[int]) -> Tally:
    """A run on a disk that has no more room than this once it trains: it warns and trains to its
    end, the last whole checkpoint is there, and it can be resumed from there. The current folder
    has a store.
    """
    tally = Tally("a run on a full disk")
    spec_file = folder / "spec.yaml"
    spec_file.write_text(yaml.safe_dump(SPEC))
    spec = trainer.load_spec(spec_file, {"sgd.epochs": 12})
    how: Any = {"engine": "reference", "checkpoint_every": "1epoch"}
    expected = trainer.train(spec, track=False, **how)
    for room in rooms:
        warnings: list[str] = []
        full = Full(2**30)

        def fill(_: object, full: Full = full, room: int = room) -> None:
            full.room = room

        with interposed(full=full, below=str(CHECKPOINTS)):
            run = trainer.train(spec, on_start=fill, warn=warnings.append, **how)
        wrong = _told(warnings) or _left(run, expected)
        if wrong is None:
            assert run.run_id is not None
            (CHECKPOINTS / run.run_id / "finished").unlink(missing_ok=True)
            again = resume(run.run_id, checkpoint_every="1epoch", warn=warnings.append)
            wrong = _left(again, expected)
        tally.case(f"room for {room} bytes", wrong)
    return tally


def can_mount() -> bool:
    """Whether this system lets a process have file systems of its own."""
    command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


IN_A_SMALL_DISK: Final = """
mount -t tmpfs -o size=$1 none runs/checkpoints || exit 99
"$0" -m trainer spec.yaml --engine reference --checkpoint-every 1epoch --quiet 2>said || exit 1
grep -q 'No space left' said || exit 2
mount -o remount,size=64m runs/checkpoints && rm -f runs/checkpoints/*/finished || exit 99
"$0" -m trainer resume last --quiet 2>said || exit 3
"""


def small_disk(folder: Path, template: Path, sizes: list[str]) -> Tally:
    """The same on a real file system of this size, which is full in mid-run; it has room again
    when the run is resumed.
    """
    tally = Tally("a run on a small tmpfs")
    peace = folder / "peace"
    new_store(peace, template)
    _start(peace, "reference").wait()
    for size in sizes:
        place = folder / f"small-{size}"
        new_store(place, template)
        (place / "runs" / "checkpoints").mkdir()
        done = subprocess.run(
            ["unshare", "-Urm", "sh", "-c", IN_A_SMALL_DISK, sys.executable, size],
            cwd=place, check=False,
        )  # fmt: skip
        wrong = f"exit code {done.returncode}: {_said(place)}" if done.returncode else None
        tally.case(size, wrong or _difference(_record(peace), _record(place)))
    return tally


def _told(warnings: list[str]) -> str | None:
    told = any(os.strerror(28) in text for text in warnings)
    return None if told else f"no warning of the disk: {warnings}"


def _left(run: trainer.Run, expected: trainer.Run) -> str | None:
    """What is wrong with a run and its last checkpoint."""
    assert run.run_id is not None
    if (run.status, run.parameters_sha256) != ("FINISHED", expected.parameters_sha256):
        return f"{run.status} with other parameters: {json.dumps(run.metrics)}"
    try:
        load_progress(CHECKPOINTS / run.run_id, _refuse)
    except Exception as error:  # whatever it is, the last checkpoint is lost
        return f"{type(error).__name__}: {error}"
    return None


def _refuse(text: str) -> None:
    raise AssertionError(f"a checkpoint is damaged: {text}")
