"""Checkpoints: where a training stands, kept so that a crash at any moment loses nothing saved.

A checkpoint is two files in the folder of its run: `step-<n>.safetensors` with the arrays and,
written after it, `step-<n>.json` with the position and the SHA-256 of both. Each is written under
a temporary name, flushed to the disk and renamed, so a file is whole or absent; a checkpoint
counts once its JSON is there. The best parameters so far are a file of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.numpy import load, save

from trainer.errors import CheckpointError
from trainer.graph.ops import Array

KEPT: Final = 2
FORMAT: Final = 1
_TEMPORARY: Final = ".writing-"


@dataclass(frozen=True)
class Checkpoint:
    """Arrays by name, and the position as JSON values; `step` counts all SGD steps done.

    `best` holds the best parameters so far, and `best_key` says which they are, so that they
    are written once.
    """

    step: int
    position: Mapping[str, Any]
    arrays: Mapping[str, Array]
    best: Mapping[str, Array] = field(default_factory=dict)
    best_key: str = ""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, then drops all but the last two and what is left of killed saves.

    Raises `OSError`; whatever was saved before is then still there.
    """
    files = {}
    if checkpoint.best:
        name = f"best-{checkpoint.best_key}.safetensors"
        known = _known_hash(folder, name)
        files["best"] = [name, known or _write(folder / name, save(dict(checkpoint.best)))]
    name = f"step-{checkpoint.step:012d}.safetensors"
    files["arrays"] = [name, _write(folder / name, save(dict(checkpoint.arrays)))]
    content = {
        "format": FORMAT,
        "step": checkpoint.step,
        "files": files,
        "best_key": checkpoint.best_key,
        "position": dict(checkpoint.position),
    }
    sealed = content | {"sha256": _seal(content)}
    _write(folder / f"step-{checkpoint.step:012d}.json", json.dumps(sealed).encode())
    _sweep(folder)


def load_checkpoint(
    folder: Path, warn: Callable[[str], None] = lambda _: None
) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None where there is none.

    Each newer one that is damaged is told to `warn`. Raises `CheckpointError` where there are
    checkpoints and all are damaged.
    """
    paths = sorted(folder.glob("step-*.json"), reverse=True)
    reasons = []
    for path in paths:
        try:
            found = _read(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            reasons.append(f"the checkpoint {path.stem} is damaged: {error}")
            continue
        for reason in reasons:
            warn(f"{reason}; going back to step {found.step}")
        return found
    if reasons:
        raise CheckpointError("\n".join([*reasons, f"  no checkpoint in {folder} can be read"]))
    return None


def write_file(path: Path, data: bytes) -> None:
    """Writes a small file whole or not at all, flushed to the disk."""
    _write(path, data)


def _read(path: Path) -> Checkpoint:
    content = json.loads(path.read_bytes())
    seal = content.pop("sha256")
    if seal != _seal(content):
        raise ValueError("its JSON was changed")
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']}, not {FORMAT}")
    arrays = {}
    for kind, (name, sha256) in content["files"].items():
        data = (path.parent / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(f"{name} was changed")
        arrays[kind] = load(data)
    return Checkpoint(
        content["step"], content["position"], arrays["arrays"], arrays.get("best", {}),
        content["best_key"],
    )  # fmt: skip


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _write(path: Path, data: bytes) -> str:
    """Writes, flushes and renames; returns the SHA-256 of the bytes."""
    fresh = path.parent / f"{_TEMPORARY}{path.name}"
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        flush_folder(path.parent)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return hashlib.sha256(data).hexdigest()


def flush_folder(folder: Path) -> None:
    """Flushes the names of the files in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _contents(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The checkpoints whose JSON can be read, newest first."""
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            yield path, json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue


def _known_hash(folder: Path, name: str) -> str | None:
    """The hash of a file that a checkpoint here already refers to."""
    for _, content in _contents(folder):
        for file, sha256 in content.get("files", {}).values():
            if file == name and (folder / name).exists():
                return str(sha256)
    return None


def _sweep(folder: Path) -> None:
    """Drops old checkpoints and leftovers; what cannot be dropped stays."""
    kept = set()
    for path, content in list(_contents(folder))[:KEPT]:
        kept |= {path.name, *(file for file, _ in content.get("files", {}).values())}
    for path in folder.iterdir():
        ours = path.name.startswith((_TEMPORARY, "step-", "best-"))
        if ours and path.name not in kept:
            path.unlink(missing_ok=True)
