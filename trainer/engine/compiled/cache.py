"""Generated modules on disk: a kernel that was compiled once is loaded the next time.

A module's file is named by the hash of all that decides its machine code, so a file is never
wrong, only unused. Files are written under a temporary name and renamed, as Numba does with
its own, so processes that compile at the same time do not disturb each other.

Numba's files are machine code and pickles, and it does not flush them to the disk. So what it
wrote is sealed by hashes once it is whole, and what is not as it was sealed is dropped before
Numba looks at it, and compiled anew. Whoever can write to the folder can run code as its owner:
it is the owner's alone, and one that others can write to is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Final

MAX_BYTES: Final = 256 * 2**20
ROOM: Final = 16 * 2**20  # free bytes below which nothing is cached
SOURCE: Final = "kernel.py"
CODE: Final = "__pycache__"  # beside the source, where Numba writes
SEAL: Final = "seal.json"
OWN: Final = ("blas.py", "functions.py", "pipeline.py", "team.py")


def cache_folder() -> Path:
    """TRAINER_CACHE, else `trainer/kernels` in the user's cache folder; made if missing.

    Raises `OSError` where it cannot be written, others can write to it, or its disk is full.
    """
    named = os.environ.get("TRAINER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(named) if named else Path(base) / "trainer" / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(folder)
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < ROOM:
        raise OSError(f"there is no room in {folder}")
    return folder


def load_module(source: str) -> ModuleType:
    """The module with this source, from the cache if it has been there before.

    Where nothing can be cached the module is made in memory, and compiled each time.
    """
    key = _key(source)
    try:  # where the user sends Numba elsewhere, nothing can be sealed
        file = None if os.environ.get("NUMBA_CACHE_DIR") else _stored(source, cache_folder() / key)
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
    file = folder / SOURCE
    if not folder.is_dir() or _sha256(file) != hashlib.sha256(source.encode()).hexdigest():
        _make_room(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as fresh:
            fresh.write(source)
        Path(fresh.name).replace(file)
    _check_owner(folder)
    _drop_unsealed(folder)
    os.utime(folder)  # the least recently used is dropped first
    return file


def seal_module(module: ModuleType) -> None:
    """Records what Numba wrote for this module, if it compiled anything of it."""
    file = getattr(module, "__file__", None)
    if file is None or not any(map(_was_compiled, vars(module).values())):
        return
    folder = Path(file).parent
    with suppress(OSError):  # without its seal it is compiled anew the next time
        text = json.dumps(_contents(folder))
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as fresh:
            fresh.write(text)
        Path(fresh.name).replace(folder / SEAL)


def _was_compiled(thing: object) -> bool:
    """Whether it is a function of Numba's that was not in the cache."""
    stats = getattr(thing, "stats", None)
    return bool(getattr(stats, "cache_misses", None))


def _drop_unsealed(folder: Path) -> None:
    """Drops machine code that is not what was sealed. Raises `OSError` where it cannot be."""
    found = _contents(folder)
    try:
        sealed = json.loads((folder / SEAL).read_bytes()) if _sha256(folder / SEAL) else {}
    except (ValueError, RecursionError):
        sealed = {}
    if found != sealed:
        for path in (folder / CODE).glob("*"):
            path.unlink(missing_ok=True)


def _contents(folder: Path) -> dict[str, str | None]:
    """The SHA-256 of the source and of all that Numba wrote for it, by name. Raises `OSError`
    where Numba's folder is a link.
    """
    code = folder / CODE
    if code.is_symlink():
        raise OSError(f"{code} is a link")
    found = {path.name: _sha256(path) for path in sorted(code.glob("*"))}
    return {SOURCE: _sha256(folder / SOURCE), **found}


def _sha256(path: Path) -> str | None:
    """The SHA-256 of a regular file; None where there is none."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _check_owner(folder: Path) -> None:
    """Raises `OSError` where another user can write to a folder."""
    about = folder.stat()
    if about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{folder} can be written by other users")


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
