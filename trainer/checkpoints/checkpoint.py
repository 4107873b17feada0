"""Checkpoints: where a training stands, kept so that a crash at any moment loses nothing saved.

A checkpoint is two files in the folder of its run: `step-<n>-<hash>.safetensors` with the arrays
and, written after it, `step-<n>.json` with the position and the SHA-256 of both. Each is written
under a temporary name, flushed to the disk and renamed, so a file is whole or absent; a checkpoint
counts once its JSON is there. The best parameters so far are a file of their own.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.numpy import save

from trainer.checkpoints.arrays import load_arrays
from trainer.checkpoints.disk import TEMPORARY, read_within, write_file
from trainer.checkpoints.seal import sealed, unsealed
from trainer.errors import CheckpointError, DamagedError
from trainer.graph.ops import Array
from trainer.stored import from_json
from trainer.training.snapshot import Snapshot

KEPT: Final = 2
FORMAT: Final = 2
_NAME: Final = re.compile(r"(step|best)-[\w.+-]+\.safetensors")


class Saver:
    """Saves the checkpoints of a run in its folder; best parameters are written once each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._best: dict[str, list[str]] = {}  # the file and its SHA-256, by the last key

    def save(self, snapshot: Snapshot) -> None:
        """Writes a checkpoint, then drops all but it and the one before, and what killed saves
        left.

        Raises `OSError`; whatever was saved before is then still there.
        """
        files = {}
        step = f"step-{snapshot.step:012d}"
        if snapshot.best:
            if snapshot.best_key not in self._best:
                written = self._write(f"best-{snapshot.best_key}", snapshot.best)
                self._best = {snapshot.best_key: written}
            files["best"] = self._best[snapshot.best_key]
        files["arrays"] = self._write(step, snapshot.arrays)
        content = {
            "format": FORMAT,
            "step": snapshot.step,
            "files": files,
            "best_key": snapshot.best_key,
            "position": dict(snapshot.position),
        }
        write_file(self._folder / f"{step}.json", sealed(content))
        with suppress(OSError):  # what the disk does not let go of stays for now
            _sweep(self._folder, content)

    def _write(self, name: str, arrays: Mapping[str, Array]) -> list[str]:
        """Writes arrays; returns the name of the file and its SHA-256.

        The hash is in the name, so that no file is replaced that a checkpoint still needs.
        """
        data = save(dict(arrays))
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"{name}-{sha256[:16]}.safetensors"
        write_file(self._folder / file, data)
        return [file, sha256]


def load_checkpoint(
    folder: Path,
    warn: Callable[[str], None] = lambda _: None,
    check: Callable[[Snapshot], None] = lambda _: None,
) -> Snapshot | None:
    """The newest checkpoint that is whole, or None where there is none.

    Each newer one that is damaged is told to `warn`. `check` raises `OSError`, `ValueError`,
    `KeyError` or `TypeError` for one that lacks something else. Raises `CheckpointError` where
    there are checkpoints and all are damaged, or the folder cannot be read.
    """
    reasons = []
    try:
        paths = _newest_first(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(
            f"the folder {folder} cannot be read: {error.strerror}", code="TR-R004"
        ) from None
    for path in paths:
        try:
            found = _read(path)
            check(found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reasons.append(f"the checkpoint {path.stem} is damaged: {error}")
            continue
        for reason in reasons:
            warn(f"{reason}; going back to step {found.step}")
        return found
    if reasons:
        raise DamagedError("\n".join([*reasons, f"  no checkpoint in {folder} can be read"]))
    return None


def _read(path: Path) -> Snapshot:
    content = _content(path)
    arrays = {}
    for kind, (name, sha256) in content.files.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"it names a file that is no checkpoint's: {name!r}")
        data = read_within(path.parent, name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(f"{name} was changed")
        arrays[kind] = load_arrays(data)
    return Snapshot(
        content.step, content.position, arrays["arrays"], arrays.get("best", {}),
        content.best_key,
    )  # fmt: skip


@dataclass(frozen=True)
class _Content:
    """What the JSON of a checkpoint says: `files` has the name and the hash of each, `position` is
    that of the snapshot.
    """

    format: int
    step: int
    files: Mapping[str, list[str]]
    best_key: str
    position: Mapping[str, int | float | str | None]


def _content(path: Path) -> _Content:
    """What the JSON of a checkpoint says. Raises `OSError`; `ValueError` where it was changed."""
    content = unsealed(read_within(path.parent, path.name))
    if content.get("format") != FORMAT:
        raise ValueError(f"its format is {content.get('format')}, not {FORMAT}")
    return from_json(_Content, content)


def _newest_first(folder: Path) -> list[Path]:
    """The JSON files of the checkpoints. Raises `OSError`, which `Path.glob` may keep to itself."""
    paths = [folder / name for name in os.listdir(folder)]
    return sorted((p for p in paths if p.match("step-*.json")), reverse=True)


def _sweep(folder: Path, saved: Mapping[str, Any]) -> None:
    """Drops all but the checkpoint that was just saved and the one before it.

    One of a later step is of no use by now: the run went back to before it. Raises `OSError`
    before anything is dropped whose checkpoint could not be read.
    """
    contents = [(saved["step"], saved["files"])]
    for path in _newest_first(folder):
        with suppress(ValueError):
            older = _content(path)
            if older.step < saved["step"]:
                contents.append((older.step, older.files))
    kept = set()
    for step, files in contents[:KEPT]:
        kept |= {f"step-{step:012d}.json"}
        kept |= {name for name, _ in files.values()}
    for path in folder.iterdir():
        ours = path.name.startswith((TEMPORARY, "step-", "best-"))
        if ours and path.name not in kept:
            path.unlink(missing_ok=True)
