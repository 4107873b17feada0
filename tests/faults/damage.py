"""Files of a saved run, cut and with flipped bits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from trainer.checkpoints.folder import CHECKPOINTS, JOURNAL
from trainer.checkpoints.journal import read_journal
from trainer.errors import CheckpointError

from .story import MOMENTS, after, found, is_same, tell
from .tally import Tally

SAVED = len(MOMENTS) - 1
"""The moments of the damaged folder: its two checkpoints are of different steps."""
OLDER = SAVED - 1


def truncations(folder: Path, every: int = 1) -> Tally:
    """Each file cut after each byte, or after every so many."""
    tally = Tally("files cut short")
    for file in _saved(folder):
        whole = file.read_bytes()
        for size in range(0, len(whole), every):
            file.write_bytes(whole[:size])
            tally.case(f"{file.name} cut to {size} bytes", _fault(file))
        file.unlink()
        if file.suffix != ".json":  # without its JSON a checkpoint does not count
            tally.case(f"{file.name} missing", _fault(file))
        file.write_bytes(whole)
    return tally


def flips(folder: Path, every: int = 1) -> Tally:
    """Each bit of each file flipped, or one of every so many."""
    tally = Tally("bits flipped")
    for file in _saved(folder):
        whole = file.read_bytes()
        for bit in range(0, 8 * len(whole), every):
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            tally.case(f"bit {bit} of {file.name} flipped", _fault(file))
        file.write_bytes(whole)
    return tally


def _saved(folder: Path) -> Iterator[Path]:
    """The files of a run with two checkpoints, each at its turn."""
    path = folder / "damaged"
    shutil.rmtree(path, ignore_errors=True)
    tell(path, SAVED)
    yield from sorted([path / JOURNAL, *(path / CHECKPOINTS).iterdir()])


def _fault(file: Path) -> str | None:
    """What is wrong with what is found beside a damaged file."""
    warnings: list[str] = []
    try:
        progress = found(file.parents[0 if file.name == JOURNAL else 1], warnings.append)
        told_true = file.name != JOURNAL or _is_beginning(file)
    except CheckpointError as error:
        told = file.name in str(error) or file.stem in str(error)
        return None if told and _needed_by_both(file) else f"CheckpointError: {error}"
    except Exception as error:  # nothing else may come out
        return f"{type(error).__name__}: {error}"
    if not told_true:
        return "the journal told what never happened"
    if is_same(progress, after(SAVED)):
        return None if _is_old(file) else "the damage was not seen"
    if not is_same(progress, after(OLDER)):
        return "what was loaded was never saved"
    return None if any(file.stem in text for text in warnings) else f"told only {warnings}"


def _is_old(file: Path) -> bool:
    """Whether the newest checkpoint does without the file."""
    return file.name.startswith(f"step-{MOMENTS[OLDER - 1].snapshot.step:012d}")


def _needed_by_both(file: Path) -> bool:
    return not file.name.startswith("step-")


def _is_beginning(journal: Path) -> bool:
    """Whether the journal still tells a beginning of the story."""
    events = list(read_journal(journal))
    return is_same(events, [moment.event for moment in MOMENTS[: len(events)]])
