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
from trainer.checkpoints.folder import load_progress
from trainer.engine import EngineName
from trainer.training import Event, Started, Warned

from .files import Full, interposed
from .tally import Tally

EPOCHS: Final = 300
MODEL_STATES: Final = {1: "PENDING", 2: "READY", 3: "FAILED"}  # as MLflow's database has them
SIGNALS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
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
    """What a run leaves in MLflow, as far as it must not depend on kills. `models` are the states
    of its models.
    """

    status: str
    parameters_sha256: str
    points: list[tuple[str, int, float]]
    models: list[str]


def new_store(folder: Path, template: Path, epochs: int = EPOCHS) -> None:
    """Makes a folder for runs, with an empty database."""
    (folder / "runs").mkdir(parents=True)
    shutil.copy(template, folder / "runs" / "mlflow.db")
    spec = SPEC | {"sgd": SPEC["sgd"] | {"epochs": epochs}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))


def kills(folder: Path, template: Path, engine: EngineName, number: int, seed: int = 1) -> Tally:
    """One run killed so often, and resumed to its end: all that it leaves is that of a run in
    peace. Each kill is a case; one loss is that of the whole run.
    """
    tally = Tally(f"kills of a run, {engine}")
    peace, killed = folder / f"peace-{engine}", folder / f"killed-{engine}-{seed}"
    expected = in_peace(peace, template, engine)
    new_store(killed, template)
    chance = random.Random(seed)
    before, landed, wrong = 0, 0, None
    while landed < number and wrong is None:
        fresh = run_id(killed) is None
        process = start(killed, engine)
        with_number = _kill(process, killed, chance)
        landed += process.returncode != 0
        # Python ends with SIGINT where an interrupt of any kind met the `exec` of an import
        if process.returncode not in (0, -signal.SIGINT, -with_number, 128 + with_number):
            wrong = f"exit code {process.returncode}: {said(killed)}"
        if process.returncode == 0:
            break
        before += fresh and run_id(killed) is None
    if wrong is None and process.returncode != 0:
        process = start(killed, engine)
        if process.wait():
            wrong = f"exit code {process.returncode}: {said(killed)}"
    wrong = wrong or difference(expected, killed)
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
        grown = journal_size(folder)
        while process.poll() is None and journal_size(folder) == grown:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
    process.send_signal(number)
    process.wait()
    return number


def journal_size(folder: Path) -> int:
    """The bytes of the journals so far."""
    return sum(path.stat().st_size for path in folder.glob("runs/*/journal"))


def start(folder: Path, engine: EngineName) -> subprocess.Popen[bytes]:
    """Begins the run of a folder, or goes on with it."""
    known = run_id(folder)
    what = ["resume", known] if known else ["spec.yaml", "--engine", engine]
    return command(folder, *what, "--checkpoint-every", "1epoch")


def command(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Starts `train …` in a folder; what it says goes to the file `said`."""
    with (folder / "said").open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer", *arguments, "--quiet"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=file,
        )  # fmt: skip


def run_id(folder: Path) -> str | None:
    """The run that can be resumed, if there is one."""
    found = list(folder.glob("runs/*/run.json"))
    assert len(found) < 2, "a run was begun anew although it could be resumed"
    return found[0].parent.name if found else None


def said(folder: Path) -> str:
    """What the last command said."""
    return (folder / "said").read_text(errors="replace").strip()[-500:]


_IN_PEACE: Final[dict[tuple[EngineName, int], Record]] = {}


def in_peace(folder: Path, template: Path, engine: EngineName, epochs: int = EPOCHS) -> Record:
    """What the run leaves that nobody kills; it is the same each time, so it is trained once, in
    this process.
    """
    if (engine, epochs) not in _IN_PEACE:
        new_store(folder, template, epochs)
        runs = folder / "runs"
        profile = trainer.Profile(engine, runs=runs, store=f"sqlite:///{runs / 'mlflow.db'}")
        trainer.train(trainer.load_spec(folder / "spec.yaml"), profile=profile)
        _IN_PEACE[engine, epochs] = record(folder)
    return _IN_PEACE[engine, epochs]


def record(folder: Path) -> Record:
    """What MLflow's database says of the run, which is the only one there."""
    with closing(sqlite3.connect(folder / "runs" / "mlflow.db")) as database:
        runs = database.execute("select run_uuid, status from runs").fetchall()
        if len(runs) != 1:
            return Record(f"{len(runs)} runs", "", [], [])
        ((run, status),) = runs
        tags = dict(database.execute("select key, value from tags where run_uuid = ?", [run]))
        points = database.execute(
            "select key, step, value from metrics where run_uuid = ? "
            "and key not like 'perf/%' order by key, step, value", [run],
        ).fetchall()  # fmt: skip
        models = database.execute(
            "select status from logged_models where source_run_id = ? "
            "and lifecycle_stage = 'active'", [run],
        ).fetchall()  # fmt: skip
    states = [MODEL_STATES.get(state, str(state)) for (state,) in models]
    if tags.get("trainer.run") != run_id(folder):
        return Record("the run of another folder", "", [], [])
    return Record(status, tags.get("trainer.parameters_sha256", ""), points, states)


def difference(expected: Record, folder: Path) -> str | None:
    """What of the run in the folder is not as that of the run in peace."""
    found = record(folder)
    if expected.status != "FINISHED" or not expected.points or expected.models != ["READY"]:
        return "the run in peace did not finish"
    if found.status != expected.status:
        return f"status {found.status}"
    if found.parameters_sha256 != expected.parameters_sha256:
        return "other parameters"
    if found.models != expected.models:
        return f"models: {found.models}"
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
    profile = trainer.Profile("reference", save_every="1epoch", offline_ok=True)
    expected = trainer.train(spec, profile=trainer.Profile("reference", runs=None))
    for room in rooms:
        warnings: list[str] = []
        full = Full(2**30)

        def hear(
            event: Event, full: Full = full, room: int = room, warnings: list[str] = warnings
        ) -> None:
            if isinstance(event, Started):
                full.room = room
            elif isinstance(event, Warned):
                warnings.append(event.message)

        with interposed(full=full, below="runs"):
            run = trainer.train(spec, profile=profile, listen=hear)
        wrong = _told(warnings) or _left(run, expected)
        if wrong is None:
            again = trainer.resume(str(run.id), profile=profile)
            wrong = _left(again, expected)
        tally.case(f"room for {room} bytes", wrong)
        shutil.rmtree(str(run.folder))
    return tally


def can_mount() -> bool:
    """Whether this system lets a process have file systems of its own."""
    command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


IN_A_SMALL_DISK: Final = """
mount -t tmpfs -o size=4m none small || exit 99
(
    until ls small/*/run.json >small/.looked 2>&1; do sleep 0.01; done
    free=$(df --output=avail -k small | tail -1)
    dd if=/dev/zero of=small/.filler bs=1k count=$((free - $1)) 2>small/.looked
) &
"$0" -m trainer spec.yaml --runs small --tracking-uri sqlite:///runs/mlflow.db \\
    --engine reference --checkpoint-every 1epoch --offline-ok --quiet 2>said || exit 1
grep -q 'No space left' said || exit 2
rm small/.filler && mount -o remount,size=64m small || exit 99
"$0" -m trainer resume last --runs small --quiet 2>said || exit 3
cp -r small/* runs
"""


def small_disk(folder: Path, template: Path, rooms: list[int]) -> Tally:
    """The same on a real file system that has room for so many KiB once the run has begun; it has
    more when the run is resumed.
    """
    tally = Tally("a run on a small tmpfs")
    expected = in_peace(folder / "peace", template, "reference")
    for room in rooms:
        place = folder / f"small-{room}"
        new_store(place, template)
        (place / "small").mkdir()
        done = subprocess.run(
            ["unshare", "-Urm", "sh", "-c", IN_A_SMALL_DISK, sys.executable, str(room)],
            cwd=place, check=False,
        )  # fmt: skip
        wrong = f"exit code {done.returncode}: {said(place)}" if done.returncode else None
        tally.case(f"room for {room} KiB", wrong or difference(expected, place))
    return tally


def _told(warnings: list[str]) -> str | None:
    told = any(os.strerror(28) in text for text in warnings)
    return None if told else f"no warning of the disk: {warnings}"


def _left(run: trainer.Run, expected: trainer.Run) -> str | None:
    """What is wrong with a run and its last checkpoint."""
    assert run.folder is not None
    if (run.status, run.parameters_sha256) != ("FINISHED", expected.parameters_sha256):
        return f"{run.status} with other parameters: {json.dumps(run.metrics)}"
    try:
        load_progress(run.folder, _refuse)
    except Exception as error:  # whatever it is, the last checkpoint is lost
        return f"{type(error).__name__}: {error}"
    return None


def _refuse(text: str) -> None:
    raise AssertionError(f"a checkpoint is damaged: {text}")
