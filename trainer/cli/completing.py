"""What a shell may complete: specs, and the names of runs. Nothing heavy is imported here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainer.cli.places import kept_runs

LATEST: Final = 200  # runs whose names are read
PLAIN: Final = re.compile(r"[\w.@%+:,/-]+")
"""What a shell takes as one word without quotation marks."""


def spec_files(incomplete: str) -> list[str]:
    """The YAML files that begin so, in that folder and those right below it."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    found: set[str] = set()
    with suppress(OSError):
        for pattern in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml"):
            found.update(map(str, folder.glob(pattern)))
    hidden = any(part.startswith(".") for part in Path(incomplete).parts)
    return sorted(
        path for path in found
        if path.startswith(incomplete.removeprefix("./")) and PLAIN.fullmatch(path)
        and (hidden or not any(part.startswith(".") for part in Path(path).parts))
    )  # fmt: skip


def run_names(incomplete: str) -> list[str]:
    """`last`, `best` and the names of the newest runs; where none begins so, their ids."""
    with suppress(OSError):
        runs = list(_newest(kept_runs()))
        names = dict.fromkeys(["last", "best", *(name for _, name in runs)])
        begun = [name for name in names if name.startswith(incomplete) and PLAIN.fullmatch(name)]
        return begun or [id_ for id_, _ in runs if id_.startswith(incomplete)]
    return []


def _newest(runs: Path) -> Iterator[tuple[str, str]]:
    """The ids and names of the runs in a folder, the newest first."""
    files = sorted(runs.glob("*/run.json"), key=lambda path: -path.stat().st_mtime_ns)
    for path in files[:LATEST]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            yield path.parent.name[:8], str(json.loads(path.read_bytes())["name"])
