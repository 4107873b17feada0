"""The command `train`: parse, call, print, exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits, also where it is stopped while it still loads."""
    try:
        from trainer.cli import app
    except KeyboardInterrupt:
        print("train: stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    app.main(arguments)


__all__ = ["main"]
