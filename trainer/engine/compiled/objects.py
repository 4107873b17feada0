"""Object files on disk: code that was made once is loaded the next time.

A file is named by the hash of all that decides its bytes, so it is never wrong, only unused; it
holds the object's own hash before the object, so one that was damaged is made again. It is written
under a temporary name and renamed: processes that make the same at once do not disturb each other.
Whoever can write to the folder can run code as its owner: it is the owner's alone, links in it are
not followed, and a folder that others can write to is not used. Where nothing can be kept, code is
made in memory, each time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Final
from weakref import WeakValueDictionary

from trainer.engine.compiled.target import Code, Target, make_object

VARIABLE: Final = "TRAINER_CACHE"
FORMAT: Final = 1  # of the files, and of what `make_object` does besides what it is told
MAX_BYTES: Final = 256 * 2**20
ROOM: Final = 16 * 2**20  # free bytes below which nothing is kept
SEAL: Final = hashlib.sha256().digest_size  # bytes of the hash at the beginning of a file

_loaded: WeakValueDictionary[str, Code] = WeakValueDictionary()
_loading = Lock()


def cache_folder() -> Path:
    """TRAINER_CACHE, else `trainer/kernels` in the user's cache folder; made if missing.

    Raises `OSError` where it cannot be written, others can write to it, or its disk is full.
    """
    named = os.environ.get(VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(named) if named else Path(base) / "trainer" / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(folder.stat()):
        raise OSError(f"{folder} can be written by other users")
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < ROOM:
        raise OSError(f"there is no room in {folder}")
    return folder


def load_code(
    text: str | Callable[[], str],
    target: Target,
    passes: tuple[str, ...] = (),
    level: int = 1,
    recipe: str = "",
) -> Code:
    """The code of LLVM's text: what this process has loaded, else from the disk, else made now.

    `passes` and `level` are those of `make_object`. Of a text that is a function of this package's
    sources and of a `recipe`, that is all that decides: it is written only where the code has to
    be made.
    """
    if recipe:
        key = _key(f"{_own_sources()} {recipe}", target, passes, level)
    else:
        text = text if isinstance(text, str) else text()
        key = _key(text, target, passes, level)
    with _loading:
        code = _loaded.get(key)
        if code is None:
            try:
                file = cache_folder() / f"{key}.o"
            except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
                file = None
            data = _read(file) if file else None
            if data is None:
                written = text if isinstance(text, str) else text()
                data = make_object(written, target, passes, level)
                if file:
                    with suppress(OSError):  # it is made again the next time
                        _write(file, data)
            code = _loaded[key] = Code(data, target)
    return code


@cache
def _own_sources() -> str:
    """The hash of the sources that write LLVM's text."""
    package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for folder in ("engine", "engine/compiled", "graph", "graph/ops", "numerics"):
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def _llvmlite() -> str:
    return version("llvmlite")


def _key(text: str, target: Target, passes: tuple[str, ...], level: int) -> str:
    decisive = (FORMAT, _llvmlite(), target, passes, level, text)
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:32]


def _read(file: Path) -> bytes | None:
    """The object that a file holds; None where there is none, or not as it was written."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(opened, "rb") as source:
            about = os.fstat(opened)
            if not stat.S_ISREG(about.st_mode) or not _is_ours(about):
                return None
            whole = source.read()
            os.utime(opened)  # what was used longest ago is dropped first
    except OSError:
        return None
    seal, data = whole[:SEAL], whole[SEAL:]
    return data if hashlib.sha256(data).digest() == seal else None


def _write(file: Path, data: bytes) -> None:
    _make_room(file.parent, len(data))
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as fresh:
        try:
            fresh.write(hashlib.sha256(data).digest() + data)
            fresh.close()
            Path(fresh.name).replace(file)
        except OSError:
            Path(fresh.name).unlink(missing_ok=True)
            raise


def _is_ours(about: os.stat_result) -> bool:
    """Whether a file or folder is this user's, and nobody else can write to it."""
    return about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _make_room(folder: Path, size: int) -> None:
    """Drops what was used longest ago, until `size` bytes more pass `MAX_BYTES` no longer."""
    entries = []
    for entry in folder.iterdir():
        with suppress(OSError):  # another process has just dropped it
            held = sum(path.lstat().st_size for path in (entry, *entry.rglob("*")))
            entries.append((entry.lstat().st_mtime, held, entry))
    total = size + sum(held for _, held, _ in entries)
    for _, held, entry in sorted(entries):
        if total <= MAX_BYTES:
            break
        if entry.is_dir() and not entry.is_symlink():  # of an edition that kept folders
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
        total -= held
