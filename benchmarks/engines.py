"""Which engine of this project is timed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from trainer.engine import EngineName

ENGINES: Final[tuple[EngineName, ...]] = ("auto", "compiled", "reference")


def choose_engine(wanted: EngineName) -> EngineName:
    """The name of the engine: `auto` is the compiled one where it can run.

    Raises `SystemExit` where the compiled one is wanted and missing.
    """
    there = all(find_spec(name) for name in ("numba", "trainer.engine.compiled"))
    if wanted == "compiled" and not there:
        raise SystemExit("the compiled engine cannot run here: it or Numba is missing")
    return "compiled" if there and wanted != "reference" else "reference"
