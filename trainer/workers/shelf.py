"""What a worker keeps between its tasks: the data sets that it has read, and its git facts."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from trainer.checkpoints.environment import origin
from trainer.data import Dataset, Reading, load_dataset
from trainer.data.misfits import MisfitError
from trainer.data.reading.files import find_files
from trainer.runs.facts import Origin
from trainer.runs.prepare import Prepared, prepare
from trainer.spec.fields import as_tuple
from trainer.spec.layers import LayersSpec
from trainer.spec.schema import Spec
from trainer.spec.sources import FileSource, NpySource
from trainer.training import Listener, nobody

MOST: Final = 4
MOST_BYTES: Final = 2**28
SETTLED_SECONDS: Final = 0.1
"""A file that was changed later than this before it was read may be changed again within one tick
of the clock of its disk, and look the same."""

Identity: TypeAlias = tuple[tuple[str, int, int, int, int], ...]
"""Of files: path, size, moments of the last change of contents and of anything, inode."""


class Shelf:
    """Data sets that were read, the last few, for as long as their files stay as they are."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, tuple[Identity, Dataset]] = OrderedDict()
        self._guard = threading.Lock()
        self.origin_of: Origin = cache(origin)
        """Who starts a run, and the commit, as they were when it was first asked."""

    def prepare(self, spec: Spec, listen: Listener = nobody) -> Prepared:
        """What `prepare` does; data that are here are not read again."""
        return prepare(spec, listen, self.load)

    def load(self, spec: Spec, told: Reading) -> Dataset:
        """What `load_dataset` does."""
        files = None if spec.data.stream else identity(spec)
        if files is None:
            return load_dataset(spec, told)
        key = _decides(spec)
        with self._guard:
            known, dataset = self._kept.get(key, (None, None))
        if dataset is not None and known == files and _fits(spec, dataset):
            with self._guard:
                self._kept[key] = files, dataset  # another thread may have dropped it
                self._kept.move_to_end(key)
            return dataset
        dataset = load_dataset(spec, told)
        if are_settled(files):
            self._keep(key, files, dataset)
        return dataset

    def _keep(self, key: str, files: Identity, dataset: Dataset) -> None:
        with self._guard:
            self._kept[key] = files, dataset
            self._kept.move_to_end(key)
            while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
                self._kept.popitem(last=False)

    @property
    def _bytes(self) -> int:
        parts = ((d.train, d.validation, d.test) for _, d in self._kept.values())
        return sum(part.held for each in parts for part in each if part is not None)


def _fits(spec: Spec, dataset: Dataset) -> bool:
    """Whether there are the rows of a batch; if not, that is told when the data are read."""
    batch = spec.sgd.batch_size
    return batch == "full" or batch <= len(dataset.train)


def _decides(spec: Spec) -> str:
    """All of a spec that its data set depends on but the batch size, which must only fit."""
    model = spec.model
    place = model.output_layers if isinstance(model, LayersSpec) else model.inputs
    parts: Mapping[str, Any] = {
        "file": spec.file, "seed": spec.seed, "data": spec.data.model_dump(mode="json"),
        "model": [model.loss, model.multi_label, model.dtype, model.units, place],
        "class_weights": model.model_dump(mode="json").get("class_weights"),
    }  # fmt: skip
    return json.dumps(parts, sort_keys=True, default=str)


def identity(spec: Spec) -> Identity | None:
    """The files of the spec's data, as they are; None where that cannot be told."""
    try:
        return tuple(_entry(path) for path in data_files(spec))
    except (OSError, ValueError, MisfitError):  # told when they are read
        return None


def _entry(path: Path) -> tuple[str, int, int, int, int]:
    about = os.stat(path)
    return str(path), about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino


def are_settled(files: Identity) -> bool:
    """Whether files that look the same later are the same."""
    latest = max((max(entry[2], entry[3]) for entry in files), default=0)
    return time.time_ns() - latest > SETTLED_SECONDS * 1e9


def data_files(spec: Spec) -> Iterator[Path]:
    """The files that the spec's data are read from, as they are found now; none for data that are
    bundled, drawn or in the spec. Raises what reading them raises where they are not there.
    """
    data, source = spec.data, spec.data.source
    if not isinstance(source, FileSource):
        return
    folder, kind = Path(spec.file).parent if spec.file else Path(), source.tag()
    groups = [source.paths, data.validation or (), data.test or ()]
    if isinstance(source, NpySource):
        groups.append(source.y)
    for patterns in groups:
        for found in find_files(as_tuple(patterns), folder, ("data",), kind):
            yield found.path
