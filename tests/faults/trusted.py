"""Files of a run's folder that are damaged, or made by somebody else, and whoever reads them.

Each case spoils one file of a finished or of an interrupted run, and asks what commands ask: which
runs are there, what the model predicts, what it is as a program, how the training goes on, whether
it was trained before, what the recorder would send. Good are the right numbers, or a refusal that
names what is wrong; lost is anything else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer import InterruptedRun, Profile, load_spec, train
from trainer.checkpoints.bundle import Bundle
from trainer.checkpoints.disk import check_sealed
from trainer.checkpoints.facts import (
    FACTS,
    OUTCOME,
    read_facts,
    read_outcome,
    recorded_of,
    write_json,
)
from trainer.checkpoints.folder import CHECKPOINTS, FILES, JOURNAL, MODEL, find_folder, folders
from trainer.checkpoints.journal import read_journal
from trainer.checkpoints.seal import sealed
from trainer.errors import TrainerError
from trainer.export.bundle import bundle_code
from trainer.export.program import write_program
from trainer.graph.ops import Array
from trainer.runs.resume import resume
from trainer.runs.sync import unsent_runs
from trainer.runs.use import gradient_norms, load_model
from trainer.tracking.model import SERVED
from trainer.training import EpochDone, Event

from .tally import Tally

SPEC: Final = """
name: flats
data:
  source: {csv: flats.csv}
  target: rent
  split: {validation: 0.25}
  missing: median
  scale: quantile
  target_scale: standard
model: {layers: [{units: 3, activation: tanh}, {units: 1}], loss: squared}
sgd: {learning_rate: 0.01, batch_size: 4, epochs: 4}
"""
ROWS: Final = "rooms,area,district,balcony,built,rent\n" + "\n".join(
    f"{1 + i % 4},{30 + 7 * i % 60},{['north', 'harbour', 'centre'][i % 3]},"
    f"{'yes' if i % 2 else 'no'},{'' if i == 5 else 1900 + 5 * i},{500 + 11 * i}"
    for i in range(16)
)
RAW: Final = np.array([[2.0, 50.0, 1.0, 1.0, 1950.0], [1.0, 30.0, 0.0, 0.0, np.nan]])
HANGS: Final = 20
"""Seconds after which a command is taken to wait for ever."""
SOME: Final[tuple[object, ...]] = (
    None,
    True,
    -1,
    7,
    1e308,
    float("nan"),
    10**400,
    "x",
    '")+x',
    [],
    {},
    [[]],
    {"a": 1},
)


@dataclass(frozen=True)
class Runs:
    """A folder of runs: one that ended and one that was interrupted, and what is right of them."""

    place: Path
    good: Path
    finished: str
    interrupted: str
    predictions: Array
    program: str
    parameters: str

    @property
    def profile(self) -> Profile:
        return Profile(engine="reference", runs=self.place / "runs", record=False)

    def restore(self) -> None:
        """Puts the runs back as they were."""
        shutil.rmtree(self.place / "runs")
        shutil.copytree(self.good, self.place / "runs")


def make_runs(folder: Path) -> Runs:
    """Trains in a new folder; the run that is interrupted has half of its epochs to go."""
    (folder / "flats.csv").write_text(ROWS)
    (folder / "flats.yaml").write_text(SPEC)
    profile = Profile(engine="reference", runs=folder / "runs", record=False)
    done: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone):
            done.append(event.epoch)

    spec = load_spec(folder / "flats.yaml")
    with suppress(InterruptedRun):
        train(spec, profile=profile, listen=listen, stop=lambda: 2 in done)
    (broken,) = (path.name for path in folders(folder / "runs"))
    whole = train(spec, profile=profile)
    model = load_model(str(whole.id), profile=profile).model
    write_program(model, folder / "good.py")
    shutil.copytree(folder / "runs", folder / "good")
    return Runs(
        folder, folder / "good", str(whole.id), broken, model.predict(RAW)["prediction"],
        (folder / "good.py").read_text(), whole.parameters_sha256,
    )  # fmt: skip


# What is asked ----------------------------------------------------------------------------------


def _predict(runs: Runs) -> bool:
    model = load_model(runs.finished, profile=runs.profile).model
    same = bool((model.predict(RAW)["prediction"] == runs.predictions).all())
    write_program(model, runs.place / "again.py")
    return same and (runs.place / "again.py").read_text() == runs.program


def _explain(runs: Runs) -> bool:
    norms = gradient_norms(runs.finished, profile=runs.profile)
    return norms is not None and len(norms["epochs"]) == 4


def _list(runs: Runs) -> bool:
    unsent_runs(runs.profile)
    return find_folder(runs.place / "runs", runs.finished).name == runs.finished


def _resume(runs: Runs) -> bool:
    return resume(runs.interrupted, profile=runs.profile).parameters_sha256 == runs.parameters


def _again(runs: Runs) -> bool:
    spec = load_spec(runs.place / "flats.yaml")
    return train(spec, profile=runs.profile).parameters_sha256 == runs.parameters


def _send(runs: Runs) -> bool:
    """What a recorder reads, and checks, before it sends."""
    folder = runs.place / "runs" / runs.finished
    facts, outcome = read_facts(folder), read_outcome(folder)
    recorded_of(folder)
    try:
        list(read_journal(folder / JOURNAL))
    except (OSError, ValueError):
        return True  # the recorder says so
    if outcome is not None:
        check_sealed(folder, {**facts.files, **outcome.files})
    Bundle.read(folder / MODEL)
    return (
        bundle_code(folder, facts, SERVED)
        == (runs.good / runs.finished / MODEL / "model.py").read_text()
    )


ASKED: Final[Mapping[str, Callable[[Runs], bool]]] = {
    "predict and export": _predict,
    "explain": _explain,
    "list": _list,
    "resume": _resume,
    "train again": _again,
    "send": _send,
}


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError("it waits for ever")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _ask(runs: Runs, who: str, forged: bool) -> str | None:
    """What is lost; a forger may have made other numbers, but no command falls over them."""
    try:
        with _in_time():
            right = ASKED[who](runs)
    except TrainerError:
        return None
    except Exception as error:  # nothing else may come out
        return f"{who}: {type(error).__name__}: {str(error)[:100]}"
    return None if right or forged else f"{who}: other numbers, in silence"


# What is spoilt ---------------------------------------------------------------------------------


_SHARE: Final = {"files damaged": 1.5, "no files": 8.0, "values of a forger": 0.25}
"""Of how many kinds of cases there are, for a sample."""


def campaign(folder: Path, every: int = 1, flips: int = 40, only: str = "") -> Iterator[Tally]:
    """Files damaged, files that are none, and values that somebody else wrote and sealed; one case
    of `every`, of files in whose names `only` is.
    """
    runs = make_runs(folder)
    for name, cases in (
        ("files damaged", _damaged(runs, flips)),
        ("no files", _no_files(runs)),
        ("values of a forger", _forged(runs)),
    ):
        tally = Tally(name)
        step = max(1, round(every / _SHARE[name])) if every > 1 else 1
        for number, (what, spoil) in enumerate(cases):
            if number % step == 0 and only in what:
                _case(tally, runs, what, spoil, name.endswith("forger"))
        tally.notes.append(f"each asked by {len(ASKED)}")
        yield tally


def _case(tally: Tally, runs: Runs, what: str, spoil: Callable[[Path], None], forged: bool) -> None:
    for who in ASKED:
        place = runs.place / "runs"
        spoil(place)
        kept = (runs.place / "flats.csv").read_bytes()
        tally.case(what, _ask(runs, who, forged))
        assert (runs.place / "flats.csv").read_bytes() == kept, "what a link leads to was written"
        runs.restore()


def _files(runs: Runs) -> list[Path]:
    """All files that are read back, as they lie below the folder of runs."""
    skipped = ("model_summary.txt", "spec.yaml", "environment.json")  # for people alone
    found = [path for path in sorted(runs.good.rglob("*")) if path.is_file()]
    return [path.relative_to(runs.good) for path in found if path.name not in skipped]


def _damaged(runs: Runs, flips: int) -> Iterator[tuple[str, Callable[[Path], None]]]:
    for name in _files(runs):
        data = (runs.good / name).read_bytes()
        sizes = sorted({0, 1, len(data) // 2, max(len(data) - 1, 0)})
        texts = {f"cut to {size}": data[:size] for size in sizes}
        for i in range(min(flips, len(data))):
            at = i * len(data) // min(flips, len(data))
            changed = data[:at] + bytes([data[at] ^ (1 << i % 8)]) + data[at + 1 :]
            texts[f"with a bit of byte {at} flipped"] = changed
        texts["with more behind it"] = data + b"\0"
        for how, text in texts.items():
            yield f"{name} {how}", _writing(name, text)
        yield f"{name} gone", _removing(name)


def _writing(name: Path, data: bytes) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        (place / name).write_bytes(data)

    return write


def _removing(name: Path) -> Callable[[Path], None]:
    return lambda place: (place / name).unlink()


def _no_files(runs: Runs) -> Iterator[tuple[str, Callable[[Path], None]]]:
    victim = runs.place / "flats.csv"

    def instead(name: Path, make: Callable[[Path], None]) -> Callable[[Path], None]:
        def spoil(place: Path) -> None:
            (place / name).unlink()
            make(place / name)

        return spoil

    for name in _files(runs):
        yield f"{name} a link to other data", instead(name, lambda path: path.symlink_to(victim))
        yield f"{name} a pipe", instead(name, os.mkfifo)
        yield f"{name} a folder", instead(name, Path.mkdir)
        if name.name in ("lock", JOURNAL):
            yield f"{name} a second name", instead(name, lambda path: os.link(victim, path))


def _forged(runs: Runs) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each value of the JSON files becomes another, and all seals are right."""
    for run in (runs.finished, runs.interrupted):
        own = runs.good / run
        saved = sorted((own / CHECKPOINTS).glob("*.json"))
        names = [FACTS, OUTCOME, f"{FILES}/preprocessing.json", f"{MODEL}/model.json"]
        names += [f"{CHECKPOINTS}/{path.name}" for path in saved]
        for name in [name for name in names if (own / name).exists()]:
            content = json.loads((own / name).read_bytes())
            content.pop("sha256", None)
            for path in list(_paths(content)):
                for value in (*SOME, _GONE):
                    changed = _changed(content, path, value)
                    what = f"{name}: {'.'.join(map(str, path))} {value!r:.20}"
                    yield what, _sealing(run, name, changed)


class _Gone:
    def __repr__(self) -> str:
        return "gone"


_GONE: Final = _Gone()


def _paths(content: Any, depth: int = 4) -> Iterator[tuple[str | int, ...]]:
    """The places of all values; of a list the first and the last."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list) and content:
        items = list({0: content[0], len(content) - 1: content[-1]}.items())
    for key, value in items:
        yield (key,)
        for rest in _paths(value, depth - 1) if depth else ():
            yield (key, *rest)


def _changed(content: Any, path: tuple[str | int, ...], value: object) -> Any:
    copy = json.loads(json.dumps(content))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if value is _GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


def _sealing(run: str, name: str, content: Any) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        data = json.dumps(content).encode() if name.startswith(FILES) else sealed(content)
        (place / run / name).unlink()
        (place / run / name).write_bytes(data)
        hashes = {name: hashlib.sha256(data).hexdigest()}
        if name.startswith(FILES):
            facts = read_facts(place / run)
            write_json(place / run, FACTS, replace(facts, files={**facts.files, **hashes}))
        elif name.startswith(MODEL):
            outcome = read_outcome(place / run)
            assert outcome is not None
            write_json(place / run, OUTCOME, replace(outcome, files={**outcome.files, **hashes}))

    return spoil
