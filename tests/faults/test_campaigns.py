"""A sample of each campaign, and planted faults that the campaigns must find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.checkpoints import checkpoint, journal, keeper
from trainer.data.columns import categories
from trainer.data.columns import cells as data_cells

from . import cells, damage, outputs, pairs, runs, saves, service, specs, tables, trusted
from .tally import Tally

pytestmark = pytest.mark.models

SAMPLE = 37
CAMPAIGNS: dict[str, Callable[[Path], Tally]] = {
    "files cut short": lambda folder: damage.truncations(folder, SAMPLE),
    "bits flipped": lambda folder: damage.flips(folder, SAMPLE),
    "calls of a save that fail": lambda folder: saves.failures(folder, every=3),
    "calls of a load that fail": saves.failing_loads,
    "disks full": lambda folder: saves.full_disks(folder, SAMPLE),
    "mutated configs": lambda folder: specs.mutations(folder, 300),
    "one meaning for a cell": lambda folder: cells.campaign(folder, 2),
    "one table, every reader": lambda folder: tables.campaign(folder, 1),
    "files written": lambda folder: outputs.files(folder, SAMPLE),
    "streams printed to": lambda folder: outputs.streams(folder, SAMPLE),
}


def test_what_is_read_back_is_right_or_refused(tmp_path: Path) -> None:
    for tally in trusted.campaign(tmp_path, 151, flips=8):
        assert tally.lost == []
        assert tally.cases >= 4


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_nothing_is_lost(name: str, tmp_path: Path) -> None:
    tally = CAMPAIGNS[name](tmp_path)
    assert tally.lost == []
    assert tally.cases >= 4


def test_a_save_that_is_killed_loses_nothing() -> None:
    """In a process of its own, which has no other threads and so may fork."""
    command = [sys.executable, "-m", "faults", "--sample", "kills"]
    folder = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "calls of a save killed" in done.stdout


def test_a_run_that_is_killed_ends_as_in_peace(store: str, folder: Path) -> None:
    template = Path(store.removeprefix("sqlite:///"))
    tally = runs.kills(folder, template, "reference", 3)
    assert tally.lost == []


@pytest.mark.parametrize(("campaign", "moments"), [
    (pairs.recorder, ["while the model is logged"]),
    (pairs.training, ["once MLflow knows it"]),
])  # fmt: skip
def test_of_a_training_and_its_recorder_one_is_killed(
    store: str, folder: Path, campaign: Callable[..., Tally], moments: list[str]
) -> None:
    tally = campaign(folder, Path(store.removeprefix("sqlite:///")), len(moments), *moments)
    assert tally.lost == []
    assert tally.missed == 0


def test_a_service_whose_parts_are_killed_loses_no_job(tmp_path: Path) -> None:
    tally = service.kills(tmp_path, 3, seed=3, epochs=120, sweeps=False)
    assert tally.lost == []


@pytest.mark.usefixtures("store")
def test_a_run_on_a_full_disk_trains_to_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 0.3)
    tally = runs.disk_full(folder, [0, 5000])
    assert tally.lost == []


@pytest.mark.skipif(not runs.can_mount(), reason="no file systems of one's own here")
def test_a_run_on_a_small_tmpfs_goes_on_elsewhere(store: str, tmp_path: Path) -> None:
    tally = runs.small_disk(tmp_path, Path(store.removeprefix("sqlite:///")), [80])
    assert tally.lost == []


# Planted faults --------------------------------------------------------------------------------


def _write_in_place(path: Path, data: bytes) -> None:
    """Without a temporary name."""
    with path.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())


def _trust(path: Path) -> object:
    """Without the checksum of the JSON."""
    content = json.loads(path.read_bytes())
    del content["sha256"]
    return checkpoint.from_json(checkpoint._Content, content)


class _Appending(journal.Journal):
    """Goes on behind what a failed attempt left."""

    def __init__(self, path: Path, size: int = 0) -> None:
        super().__init__(path, size)
        self._file.seek(size)

    def flush(self) -> int:
        data = b"".join(map(journal._framed, self._held))
        self._file.write(data)
        self._held = []
        self._size += len(data)
        return self._size


PLANTED: dict[str, tuple[object, str, object, Callable[[Path], Tally]]] = {
    "no temporary name": (
        checkpoint, "write_file", _write_in_place, lambda f: saves.full_disks(f, 300)
    ),
    "no seal": (checkpoint, "_content", _trust, lambda f: damage.flips(f, 61)),
    "no hash of the files": (
        checkpoint.hashlib, "sha256", lambda _: _SAME_HASH, lambda f: damage.flips(f, 61)
    ),
    "no checksum of the journal": (
        journal.zlib, "crc32", lambda _: 0, lambda f: damage.flips(f, 61)
    ),
    "nothing is swept": (
        checkpoint, "_sweep", lambda *_: None, lambda f: saves.failures(f, every=20)
    ),
    "everything is swept": (
        checkpoint, "KEPT", 0, lambda f: saves.failures(f, every=20)
    ),
    "a journal that goes on behind a failure": (
        keeper, "Journal", _Appending, lambda f: saves.failures(f, every=4)
    ),
    "an error that is no TrainerError": (
        specs, "load_spec", lambda path: path.read_text().index("name"),
        lambda f: specs.mutations(f, 50),
    ),
    "a category with blanks is another one": (
        categories, "text_of", str, lambda f: cells.campaign(f, 20, "texts")
    ),
    "a text is true": (data_cells, "boolean", lambda _: 1.0, lambda f: tables.campaign(f, 1)),
}  # fmt: skip


class _SameHash:
    """The same digest of everything."""

    def hexdigest(self) -> str:
        return "0" * 64


_SAME_HASH = _SameHash()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, attribute, fault, campaign = PLANTED[name]
    monkeypatch.setattr(place, attribute, fault)
    assert campaign(tmp_path).lost
