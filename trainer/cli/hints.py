"""What to type next: commands and places as the person at the keyboard would write them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def show_store(uri: str) -> str:
    """The store as people call it: the path of a database, relative where it is below here."""
    path = uri.removeprefix("sqlite:///")
    return os.path.relpath(path) if path != uri and Path(path).is_relative_to(Path.cwd()) else path


def ui_command(uri: str) -> str:
    """The command that shows this store."""
    if uri.startswith(("http://", "https://")):
        return f"open {uri}"
    default = f"sqlite:///{(Path('runs') / 'mlflow.db').resolve()}"
    option = "" if uri == default else f" --tracking-uri {uri}"
    return f"{program()} ui{option}    (then open http://127.0.0.1:5000)"


def program() -> str:
    """How to call this command again: `train`, or its path where that is not on PATH."""
    called = Path(sys.argv[0])
    if called.name != "train" or shutil.which("train") == str(called.absolute()):
        return "train"
    return os.path.relpath(called)
