"""A short training as its keeper sees it, and what must be found on disk at any moment of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from trainer.checkpoints.checkpoint import KEPT
from trainer.checkpoints.folder import CHECKPOINTS, RunFolder, load_progress
from trainer.checkpoints.keeper import Every, Keeper
from trainer.engine import Steps
from trainer.training import Ended, EpochDone, Event, Job, StepsDone, Warned
from trainer.training.events import LoopEvent
from trainer.training.snapshot import Snapshot

Progress = tuple[Snapshot | None, list[LoopEvent]]


@dataclass(frozen=True)
class Moment:
    """An event, and the snapshot that is due with it."""

    event: LoopEvent
    epoch: int
    snapshot: Snapshot


def _steps(epoch: int, first: int) -> StepsDone:
    """Three steps, with numbers of their own."""
    values = np.random.default_rng(first).random((3, 4))
    return StepsDone(epoch, first, Steps(values[:, 0], values[:, 1], values[:, 2:], 6, False))


def _epoch(epoch: int, step: int) -> EpochDone:
    return EpochDone(epoch, step, {"val_loss": 1 / (epoch + 3)}, {"dense_1/W": 0.5}, 1e9 + epoch)


def _moment(event: LoopEvent, step: int, epoch: int, best: int, arrays: int) -> Moment:
    """`arrays` is the number of the arrays that are saved, `best` the epoch of the best."""

    def drawn(number: int) -> Any:
        return np.random.default_rng(number).random(5)

    state = {"state/dense_1/W": drawn(arrays), "score/right": np.array(arrays)}
    position = {"epoch": epoch, "done": 0, "best_loss": 1 / (best + 3), "best_epoch": best}
    return Moment(event, epoch, Snapshot(
        step, position, state, {"dense_1/W": drawn(100 + best)}, str(best)
    ))  # fmt: skip


MOMENTS = (
    _moment(_epoch(0, 0), step=0, epoch=1, best=0, arrays=0),
    _moment(_steps(1, 1), step=3, epoch=1, best=0, arrays=1),
    # other arrays and another best at the same step: the epoch's record began anew
    _moment(_epoch(1, 3), step=3, epoch=2, best=1, arrays=2),
    _moment(_steps(2, 4), step=6, epoch=2, best=1, arrays=3),
    _moment(Ended("FINISHED", 2, 6, {"best_epoch": 1.0}), step=6, epoch=3, best=1, arrays=3),
)
BEGINNING: Progress = (None, [])


class Teller:
    """A keeper whose job stands where the story says, after its first `begun` moments."""

    def __init__(self, path: Path, begun: int = 0) -> None:
        self.warnings: list[str] = []
        self._job = SimpleNamespace()
        self._stand(MOMENTS[max(begun - 1, 0)])
        folder = RunFolder(path)
        found, _ = load_progress(path, lambda _: None)
        size = found.position["journal"] if found else 0
        job = cast("Job", self._job)
        self._folder = folder
        self._keeper = Keeper(folder, job, Every(seconds=0), self._hear, size)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warnings.append(event.message)

    def _stand(self, moment: Moment) -> None:
        self._job.progress = SimpleNamespace(step=moment.snapshot.step, epoch=moment.epoch)
        self._job.snapshot = lambda: moment.snapshot

    def tell(self, number: int) -> None:
        """Lets a moment pass, with the checkpoint that is due."""
        self._stand(MOMENTS[number])
        self._keeper.on(MOMENTS[number].event)

    def save(self) -> None:
        """Saves where the job stands. Raises `OSError`."""
        self._keeper.save()

    def close(self) -> None:
        self._keeper.close()
        self._folder.release()


def tell(path: Path, count: int) -> None:
    """Makes the folder of a run that has come through its first `count` moments."""
    teller = Teller(path)
    for number in range(count):
        teller.tell(number)
    teller.close()
    assert teller.warnings == []


def after(count: int) -> Progress:
    """What must be found once the first `count` moments are saved."""
    if not count:
        return BEGINNING
    return MOMENTS[count - 1].snapshot, [moment.event for moment in MOMENTS[:count]]


def found(path: Path, warn: Callable[[str], None] = lambda _: None) -> Progress:
    """What is found on disk. Raises what the library raises."""
    checkpoint, events = load_progress(path, warn)
    if checkpoint is not None:
        position = {k: v for k, v in checkpoint.position.items() if k != "journal"}
        checkpoint = replace(checkpoint, position=position)
    return checkpoint, events


def is_same(one: object, other: object) -> bool:
    """Whether two values are the same to the bit, arrays and all."""
    return _flat(one) == _flat(other)


def matching(path: Path, counts: range) -> str | None:
    """What is wrong unless the folder holds the run after one of these numbers of moments."""
    try:
        progress = found(path)
    except Exception as error:  # whatever it is, the run is lost
        return f"{type(error).__name__}: {error}"
    if any(is_same(progress, after(count)) for count in counts):
        return None
    checkpoint, events = progress
    return f"found step {checkpoint and checkpoint.step} after {len(events)} events"


def leftovers(path: Path) -> set[str]:
    """The files of a folder of checkpoints that no saved one refers to."""
    place = path / CHECKPOINTS
    over = {file.name for file in place.iterdir()}
    checkpoints = {name for name in over if name.endswith(".json")}
    for name in sorted(checkpoints)[-KEPT:]:
        files = json.loads((place / name).read_bytes())["files"].values()
        over -= {name, *(file for file, _ in files)}
    return over


def _flat(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if is_dataclass(value):
        return type(value).__name__, [_flat(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, Mapping):
        return sorted((key, _flat(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    return repr(value)
