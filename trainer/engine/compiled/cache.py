"""Generated modules on disk: a kernel that was compiled once is loaded the next time.

A module's file is named by the hash of all that decides its machine code, so a file is never
wrong, only unused. Files are written under a temporary name and renamed, as Numba does with
its own, so processes that compile at the same time do not disturb each other.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Final

MAX_BYTES: Final = 256 * 2**20
ROOM: Final = 16 * 2**20  # free bytes below which nothing is cached
OWN: Final = ("blas.py", "functions.py", "pipeline.py", "team.py")


def cache_folder() -> Path:
    """TRAINER_CACHE, else `trainer/kernels` in the user's cache folder; made if missing.

    Raises `OSError` where it cannot be written or its disk is full.
    """
    named = os.environ.get("TRAINER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(named) if named else Path(base) / "trainer" / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < ROOM:
        raise OSError(f"there is no room in {folder}")
    return folder


def load_module(source: str) -> ModuleType:
    """The module with this source, from the cache if it has been there before.

    Where nothing can be cached the module is made in memory, and compiled each time.
    """
    key = _key(source)
    try:
        file = _stored(source, cache_folder() / key)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        file = None
    name = f"trainer_kernel_{key}"
    module = ModuleType(name)
    sys.modules[name] = module  # Numba looks it up when it loads machine code
    if file is None:
        exec(source.replace("cache=True, ", ""), module.__dict__)  # noqa: S102 (our own source)
    else:
        module.__file__ = str(file)
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 (as above)
    return module


def _stored(source: str, folder: Path) -> Path:
    """The file that holds the source, written unless it is there and whole."""
    file = folder / "kernel.py"
    if not file.exists() or file.read_text(encoding="utf-8") != source:
        _make_room(folder.parent)
        folder.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as fresh:
            fresh.write(source)
        Path(fresh.name).replace(file)
    os.utime(folder)  # the least recently used is dropped first
    return file


def _key(source: str) -> str:
    digest = hashlib.sha256(source.encode())
    for name in OWN:
        digest.update((Path(__file__).parent / name).read_bytes())
    for package in ("numba", "llvmlite", "numpy", "scipy"):
        digest.update(version(package).encode())
    digest.update(platform.python_version().encode())
    return digest.hexdigest()[:24]


def _make_room(folder: Path) -> None:
    """Drops what was used longest ago while the cache holds more than `MAX_BYTES`."""
    entries = []
    for entry in folder.iterdir():
        try:
            size = sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
            entries.append((entry.stat().st_mtime, size, entry))
        except OSError:  # another process has just dropped it
            continue
    total = sum(size for _, size, _ in entries)
    for _, size, entry in sorted(entries):
        if total <= MAX_BYTES:
            break
        shutil.rmtree(entry, ignore_errors=True)
        total -= size
