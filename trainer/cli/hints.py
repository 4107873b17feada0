"""What people are told: how an error reads, and what to type next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from trainer.cli.places import kept_runs
from trainer.errors import DataError, SpecError, TrainerError, UsageError, visible


def show_store(uri: str) -> str:
    """The store as people call it: the path of a database, relative where it is below here."""
    path = uri.removeprefix("sqlite:///")
    return os.path.relpath(path) if path != uri and Path(path).is_relative_to(Path.cwd()) else path


def ui_command(uri: str) -> str | None:
    """The command that shows this store; None where there is none, as for PostgreSQL."""
    if uri.startswith(("http://", "https://")):
        return f"open {uri}"
    if not uri.startswith("sqlite:"):
        return None
    default = f"sqlite:///{(kept_runs() / 'mlflow.db').resolve()}"
    return command("ui") if uri == default else command("ui", "--tracking-uri", uri)


def program() -> str:
    """How to call this command again: `train`, or its path where that is not on PATH."""
    called = Path(sys.argv[0])
    if called.name != "train" or shutil.which("train") == str(called.absolute()):
        return "train"
    return shlex.quote(os.path.relpath(called))


def command(*words: object) -> str:
    """`train` with these words, as a shell takes them; a file is not taken for an option."""
    plain = [f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
             for word in words]  # fmt: skip
    return f"{program()} {shlex.join(plain)}"


def headline(error: TrainerError) -> str:
    """The message as `train` prints it; several problems stand below their number."""
    if isinstance(error, SpecError | DataError):
        count = len(error.problems)
        what = "the spec" if isinstance(error, SpecError) else "the data"
        return f"{what} has {count} problem{'s' * (count != 1)}\n{error}"
    if isinstance(error, UsageError):
        return f"{error}\nTry `train --help`."
    return str(error)


def warn(text: str) -> None:
    """Tells what went wrong beside what was asked for."""
    print(visible(f"train: warning: {text}"), file=sys.stderr)  # a live bar would colour it
