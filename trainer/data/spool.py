"""A part of the data whose rows stay on disk: memory holds a window of them.

The rows lie one after the other in a file that has no name, so nothing is left of it when the
process ends, however that happens. They are read by position, not mapped into memory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Final
from weakref import finalize

import numpy as np

from trainer.data.parts import Part
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array

BLOCK: Final = 2**18
"""The least bytes of a block."""
WINDOW: Final = 256
"""How many blocks are in memory at a time: 64 MB, or up to 128 MB."""


@dataclass(frozen=True)
class RowFormat:
    """What a row is on disk: x, y, and a weight where rows have one, all of one dtype."""

    width: int
    outputs: int
    weighted: bool
    dtype: str

    @cached_property
    def columns(self) -> Mapping[str, slice]:
        """The places of the numbers, by the names of the graph's inputs."""
        end = self.width + self.outputs
        found = {"x": slice(0, self.width), "y": slice(self.width, end)}
        return found | {"weight": slice(end, end + 1)} if self.weighted else found

    @property
    def numbers(self) -> int:
        """How many numbers a row has."""
        return self.width + self.outputs + self.weighted

    @property
    def bytes(self) -> int:
        """The bytes of a row."""
        return self.numbers * np.dtype(self.dtype).itemsize

    @cached_property
    def block(self) -> int:
        """The rows of a block: the least power of two that makes `BLOCK` bytes."""
        return 1 << (-(-BLOCK // self.bytes) - 1).bit_length()

    def split(self, rows: Array) -> dict[str, Array]:
        """Rows of shape (rows, numbers) as arrays by name, C-contiguous."""
        return {name: np.array(rows[:, at], order="C") for name, at in self.columns.items()}


@dataclass(frozen=True)
class Scratch:
    """The folder in which files without a name are made; `need` are the bytes of all of them."""

    folder: Path
    need: int

    def check(self) -> None:
        """Makes the folder. Raises `DataError` where its disk has not enough room."""
        with self.told():
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        if free < self.need:
            raise DataError(self._problem(f"has {_size(free)} free"))

    def file(self) -> ScratchFile:
        """A new file. Raises `DataError`."""
        with self.told():
            return ScratchFile(tempfile.TemporaryFile(dir=self.folder))

    @contextmanager
    def told(self) -> Iterator[None]:
        """`DataError` for what the disk refuses."""
        try:
            yield
        except OSError as error:
            raise DataError(self._problem(f"refuses: {error.strerror}")) from None

    def _problem(self, what: str) -> Problem:
        message = f"the rows need {_size(self.need)} in '{self.folder}', whose disk {what}"
        return Problem(
            "data.stream", message, "TMPDIR may name a folder on another disk", code="TR-M001"
        )


def _size(count: float) -> str:
    """`3.2 GB`, `0.4 MB`: bytes as people read them."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


class ScratchFile:
    """A file that is closed, and thereby gone, when nothing refers to this object any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.io = file
        finalize(self, file.close)


class Spool:
    """Rows that are appended one after the other. Its methods raise `DataError`."""

    def __init__(self, scratch: Scratch, form: RowFormat) -> None:
        self._scratch, self._form, self._rows = scratch, form, 0
        self._file = scratch.file()

    def append(self, part: Part) -> None:
        """Adds rows at the end."""
        rows = np.empty((len(part), self._form.numbers), self._form.dtype)
        for name, array in part.arrays.items():
            rows[:, self._form.columns[name]] = array
        with self._scratch.told():
            self._file.io.write(rows.data)
        self._rows += len(part)

    def done(self) -> StreamedPart:
        """All rows."""
        with self._scratch.told():
            self._file.io.flush()
        return StreamedPart(self._file, self._scratch, self._form, self._rows)


@dataclass(frozen=True)
class StreamedPart:
    """Rows in a file, with the methods of `Part`, which say what they do. Reading raises
    `DataError` where the disk refuses.

    `shuffled` takes blocks of rows that follow one another, `form.block` of them each. They are
    dealt to windows of `WINDOW` blocks, in an order that is drawn where there are several windows;
    the rows of each window are in an order drawn after that. So rows of one window are in the
    order in which `Part` would have them.
    """

    file: ScratchFile
    scratch: Scratch
    form: RowFormat
    rows: int

    def __len__(self) -> int:
        return self.rows

    @property
    def nbytes(self) -> int:
        """The bytes of all rows."""
        return self.rows * self.form.bytes

    @property
    def held(self) -> int:
        """The bytes of them that are in memory: those of a window."""
        return min(self.rows, WINDOW * self.form.block) * self.form.bytes

    def span(self, start: int, stop: int) -> dict[str, Array]:
        """The rows from `start` to `stop`, by the names of the graph's inputs."""
        rows = self._room(max(min(stop, self.rows) - start, 0))
        self._read(start, rows)
        return self.form.split(rows)

    def take(self, rows: Array) -> dict[str, Array]:
        """The rows with these numbers, by the names of the graph's inputs."""
        found = self._room(len(rows))
        for i, row in enumerate(rows.tolist()):
            self._read(row, found[i : i + 1])
        return self.form.split(found)

    def order(self, rng: np.random.Generator, first: int, count: int) -> Array:
        """The numbers of the rows that `shuffled` puts at the places from `first` on."""
        found = [np.zeros(0, np.intp)]
        for blocks, order in self._windows(rng, first):
            rows = np.concatenate([np.arange(*self._ends(block)) for block in blocks.tolist()])
            found.append(rows[order[:count]])
            count -= len(found[-1])
            if not count:
                break
        return np.concatenate(found)

    def shuffled(
        self, rng: np.random.Generator, size: int, skip: int = 0
    ) -> Iterator[tuple[int, dict[str, Array]]]:
        """The rows in an order that `rng` draws, `size` at a time, each piece with the place of
        its first row. Pieces that end before the place `skip` are left out. The arrays are
        overwritten by the next piece.
        """
        start, filled = skip // size * size, 0
        size = min(size, self.rows)
        piece, window = self._room(size), self._room(min(self.rows, WINDOW * self.form.block))
        room = self.form.split(piece)
        for blocks, order in self._windows(rng, start):
            self._load(blocks, window)
            while len(order):
                some = order[: size - filled].astype(np.intp)
                # the default mode would buffer
                np.take(window, some, axis=0, out=piece[filled : filled + len(some)], mode="clip")
                order, filled = order[len(some) :], filled + len(some)
                if filled == size or start + filled == self.rows:
                    for name, at in self.form.columns.items():
                        room[name][:filled] = piece[:filled, at]
                    yield start, {name: array[:filled] for name, array in room.items()}
                    start, filled = start + filled, 0

    def _windows(self, rng: np.random.Generator, skip: int) -> Iterator[tuple[Array, Array]]:
        """The blocks of each window in the order of the file, and the order of their rows; from
        the place `skip` on.
        """
        blocks = np.arange(-(-self.rows // self.form.block), dtype=np.uint32)
        if len(blocks) > WINDOW:
            rng.shuffle(blocks)
        place = 0
        for start in range(0, len(blocks), WINDOW):
            some = np.sort(blocks[start : start + WINDOW])
            last = int(some[-1]) == len(blocks) - 1  # which may have fewer rows
            rows = len(some) * self.form.block - last * (-self.rows % self.form.block)
            order = np.arange(rows, dtype=np.uint32)
            rng.shuffle(order)
            if place + rows > skip:
                self._expect(blocks[start + WINDOW :][:WINDOW])
                yield some, order[max(skip - place, 0) :]
            place += rows

    # The file -----------------------------------------------------------------------------------

    def _ends(self, block: int) -> tuple[int, int]:
        """The first row of a block, and the first one behind it."""
        return block * self.form.block, min((block + 1) * self.form.block, self.rows)

    def _room(self, rows: int) -> Array:
        return np.empty((rows, self.form.numbers), self.form.dtype)

    def _load(self, blocks: Array, room: Array) -> None:
        """Reads blocks, one behind the other."""
        filled = 0
        for block in blocks.tolist():
            start, stop = self._ends(block)
            self._read(start, room[filled : filled + stop - start])
            filled += stop - start

    def _read(self, start: int, rows: Array) -> None:
        """Fills the array with the rows from `start` on."""
        at, left = start * self.form.bytes, rows.view(np.uint8).reshape(-1)
        with self.scratch.told():
            while len(left):
                count = os.preadv(self.file.io.fileno(), [left.data], at)
                if not count:
                    raise OSError(None, "the file ended early")
                at, left = at + count, left[count:]

    def _expect(self, blocks: Array) -> None:
        """Tells the system which blocks come next, so that it reads them meanwhile."""
        if hasattr(os, "posix_fadvise"):
            length = self.form.block * self.form.bytes
            for block in blocks.tolist():
                os.posix_fadvise(
                    self.file.io.fileno(), block * length, length, os.POSIX_FADV_WILLNEED
                )
