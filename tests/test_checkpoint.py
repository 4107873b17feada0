"""Checkpoints: what is saved is found again to the bit, and what is damaged is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faults.files import Fault, interposed
from faults.story import is_same
from folders import some_facts

from trainer import CheckpointError
from trainer.checkpoints.checkpoint import Saver, load_checkpoint
from trainer.checkpoints.facts import read_facts
from trainer.checkpoints.folder import RunFolder
from trainer.training.snapshot import Snapshot


def checkpoint(step: int, best: int = 0, arrays: int | None = None) -> Snapshot:
    """A checkpoint whose arrays are told apart by `arrays`, or the step."""
    number = step if arrays is None else arrays
    return Snapshot(
        step,
        {"epoch": step // 10, "best_loss": 0.1 + 0.2, "done": 0},
        {"state/W": np.full((2, 3), number, np.float32), "score/right": np.array(number)},
        {"W": np.full((2, 3), best, np.float32)},
        str(best),
    )


def names(folder: Path) -> list[str]:
    """The files, without the hashes in their names."""
    return sorted("-".join(p.stem.split("-")[:2]) + p.suffix for p in folder.iterdir())


ROUND_TRIPS = {
    "with the best parameters": checkpoint(10),
    "without any": replace(checkpoint(10), best={}, best_key=""),
    "at the beginning": checkpoint(0),
    "an empty array": replace(checkpoint(3), arrays={"a": np.zeros((0, 4))}),
    "numbers that are not finite": replace(checkpoint(3), arrays={"a": np.array([np.nan, -0.0])}),
    "no best loss yet": replace(checkpoint(3), position={"best_loss": None}),
    "texts of all kinds": replace(checkpoint(3), position={"é\u2028": "\ud800 ½"}),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_what_is_saved_is_loaded_to_the_bit(name: str, tmp_path: Path) -> None:
    Saver(tmp_path).save(ROUND_TRIPS[name])
    assert is_same(load_checkpoint(tmp_path), ROUND_TRIPS[name])


@pytest.mark.parametrize("folder", ["", "missing"])
def test_there_may_be_none(folder: str, tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / folder) is None


def test_two_are_kept(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    (tmp_path / ".writing-step-5.json").write_bytes(b"{")
    (tmp_path / "run.json").write_bytes(b"{}")
    for step, best in [(10, 1), (20, 2), (30, 2), (30, 2)]:
        saver.save(checkpoint(step, best))
    step = [f"step-{n:012d}{kind}" for n in (20, 30) for kind in (".json", ".safetensors")]
    assert names(tmp_path) == ["best-2.safetensors", "run.json", *step]


def test_best_parameters_are_written_once(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    saver.save(checkpoint(10, best=1))
    (best,) = tmp_path.glob("best-*")
    before = best.stat().st_ino
    saver.save(checkpoint(20, best=1))
    assert best.stat().st_ino == before


def test_a_later_process_mends_the_best_parameters(tmp_path: Path) -> None:
    Saver(tmp_path).save(checkpoint(10, best=1))
    (best,) = tmp_path.glob("best-*")
    best.write_bytes(b"damaged")
    Saver(tmp_path).save(checkpoint(20, best=1))
    assert is_same(load_checkpoint(tmp_path), checkpoint(20, best=1))


def test_a_run_that_went_back_drops_what_was_ahead(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    for step in (10, 20):
        saver.save(checkpoint(step))
    for path in tmp_path.glob("step-*20-*"):
        path.write_bytes(b"damaged")
    Saver(tmp_path).save(checkpoint(15))
    found = load_checkpoint(tmp_path, pytest.fail)
    assert is_same(found, checkpoint(15))
    assert "step-000000000010.json" in names(tmp_path)


def test_a_save_at_the_same_step_replaces_nothing_that_is_needed(tmp_path: Path) -> None:
    Saver(tmp_path).save(checkpoint(10, arrays=1))
    (tmp_path / "step-000000000010.json").rename(tmp_path / "json")
    Saver(tmp_path).save(checkpoint(10, arrays=2))
    assert is_same(load_checkpoint(tmp_path), checkpoint(10, arrays=2))


DAMAGED = {
    "not JSON": (lambda text: text[:-1], "it is no JSON"),
    "another value": (lambda text: text.replace('"done": 0', '"done": 1'), "JSON was changed"),
    "no hash": (lambda text: text.replace("sha256", "sha257"), "does not name its hash"),
    "a number": (lambda _: "3", "it is no JSON object"),
    "nothing": (lambda _: "null", "it is no JSON object"),
    "a list": (lambda _: "[]", "it is no JSON object"),
    "empty": (lambda _: "", "it is no JSON"),
    "no UTF-8": (lambda _: "\xff\xfe", "damaged: "),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told(name: str, tmp_path: Path) -> None:
    change: Callable[[str], str] = DAMAGED[name][0]
    saver = Saver(tmp_path)
    for step in (10, 20):
        saver.save(checkpoint(step))
    newest, oldest = (tmp_path / f"step-{step:012d}.json" for step in (20, 10))
    newest.write_bytes(change(newest.read_text()).encode("latin-1"))
    warnings: list[str] = []
    assert is_same(load_checkpoint(tmp_path, warnings.append), checkpoint(10))
    (told,) = warnings
    assert told.startswith("the checkpoint step-000000000020 is damaged: ")
    assert DAMAGED[name][1] in told
    assert told.endswith("; going back to step 10")
    oldest.write_bytes(change(oldest.read_text()).encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"(?s)step-0+20 .*step-0+10 .*no checkpoint in"):
        load_checkpoint(tmp_path)


def test_another_format_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("trainer.checkpoints.checkpoint.FORMAT", 3)
        Saver(tmp_path).save(checkpoint(10))
    with pytest.raises(CheckpointError, match="its format is 3, not 2"):
        load_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    Saver(tmp_path).save(checkpoint(10))
    with interposed(Fault(1, error=5)), pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with (
        interposed(Fault(1, error=28, lasting=True)),
        pytest.raises(CheckpointError, match=os.strerror(28)),
    ):
        folder.begin(some_facts(attempt=1))
    folder.begin(some_facts(attempt=2))
    assert read_facts(folder.path) == some_facts(attempt=2)
    folder.release()


def test_the_files_are_what_the_json_says(tmp_path: Path) -> None:
    Saver(tmp_path).save(checkpoint(10))
    content = json.loads((tmp_path / "step-000000000010.json").read_bytes())
    for file, sha256 in content["files"].values():
        assert sha256[:16] in file
        assert (tmp_path / file).exists()
