"""Configs with random mistakes: whatever stands in a file, a reader is told in time."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trainer import TrainerError, load_spec
from trainer.sweeps.declaration import load_sweep

from .tally import Tally

ROOT: Final = Path(__file__).parents[2] / "configs"
CONFIGS: Final = sorted(ROOT.rglob("*.yaml"))
SECONDS: Final = 2.0
SYNTAX: Final[tuple[str, ...]] = (
    *"{}[]:,-#&*!|>'\"%@`?~\\\0\t\r\n", "\n- ", "? ", ": ", "<<: ", "*a", "&a ",
    "!!python/name:os ", "---\n", "...\n", "%YAML 9.9\n", '"\\x',
    "\u2028", "\ufeff", "\ud800", "1e999", ".nan", "0o9",
    "-.inf", "9" * 30, "[" * 80, "{a: " * 80, "'" * 3, "null", "x" * 5000,
)  # fmt: skip


def mutations(folder: Path, number: int, seed: int = 1) -> Tally:
    """So many mutated configs: read, or refused with a `TrainerError`, within two seconds. Those of
    sweeps are read as sweeps, with the specs that they name beside them.
    """
    tally = Tally("mutated configs")
    texts = [(path.read_bytes(), path.parent.name == "sweeps") for path in CONFIGS]
    file = folder / "sweeps" / "mutated.yaml"
    file.parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / "flats.yaml", folder)
    for i in range(number):
        chance = random.Random(f"{seed}/{i}")
        data, is_sweep = chance.choice(texts)
        for _ in range(chance.choice((1, 1, 2, 5, 20))):
            data = chance.choice(CHANGES)(data, chance)
        file.write_bytes(data)
        tally.case(
            f"mutation {i} of seed {seed}", _fault(file, load_sweep if is_sweep else load_spec)
        )
    return tally


def _fault(file: Path, load: Callable[[Path], object]) -> str | None:
    began = time.perf_counter()
    try:
        load(file)
    except TrainerError as error:
        str(error)
    except Exception as error:  # a user would see a traceback
        return f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    return f"took {seconds:.1f} s" if seconds > SECONDS else None


def _flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) or 1)
    return data[:place] + bytes(b ^ 1 << chance.randrange(8) for b in data[place:][:1]) + (
        data[place + 1 :])  # fmt: skip


def _delete(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) or 1)
    return data[:place] + data[place + chance.choice((1, 1, 3, 30)) :]


def _repeat_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    line = chance.choice(lines)
    lines.insert(chance.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _drop_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def _insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    text = chance.choice(SYNTAX).encode(errors="surrogatepass")
    return data[:place] + text + data[place:]


CHANGES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _flip, _delete, _repeat_line, _drop_line, _insert, _insert,
)  # fmt: skip
