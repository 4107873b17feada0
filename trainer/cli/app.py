"""The command line: its commands, and the one place that turns errors into exit codes.

Each command imports what it needs when it is called, so that `--help` is quick.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import (  # type: ignore[attr-defined]  # where typer keeps its own copy of it
    CompletionItem,
    TyperGroup,
)
from typer.main import get_command

from trainer.cli.commands import COMMANDS, STYLE, Loaded
from trainer.cli.completing import spec_files
from trainer.cli.hints import headline
from trainer.cli.signals import signals_caught
from trainer.cli.streams import keep_descriptors, print_json, safe_streams, told_of
from trainer.errors import InterruptedRun, MachineError, RunError, TrainerError, UsageError

EXIT_CODES: Final = (
    "Exit codes: 0 done, 2 spec or usage, 3 data, 4 diverged, 5 tracking, 6 checkpoint, "
    "7 machine (disk, memory, output), 8 service, 130 interrupted (143 by SIGTERM)."
)
ONE_THREAD: Final = (
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
COLLECTED: Final = 50_000
"""Objects after which Python looks for those that only each other know. By default it does after
some hundreds, and a tenth of a command's start is that.
"""
WrongUsage: Final[Any] = typer.BadParameter.__base__
"""What typer raises for options and arguments that a command does not take."""
OWN_OPTIONS: Final = ("--help", "-h", "--version", "--install-completion", "--show-completion")


class _RunByDefault(TyperGroup):
    """`train CONFIG …` means `train run CONFIG …`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Loaded()  # type: ignore[assignment]  # a mapping that nothing is put into

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*OWN_OPTIONS, *COMMANDS):
            if not ctx.resilient_parsing:
                self._check(args[0])
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def _check(self, word: str) -> None:
        """Raises `UsageError` for a word that is neither a command nor can be a file's name."""
        if word.startswith("-") or Path(word).suffix or "/" in word or os.path.lexists(word):
            return
        files = spec_files("")
        known = {**{Path(file).stem: f"train {file}" for file in files},
                 **{command: f"train {command}" for command in COMMANDS},
                 "train": "train CONFIG"}  # fmt: skip
        near = dict.fromkeys(known[name] for name in get_close_matches(word, known, 3))
        hint = f"did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else ""
        hint = hint or f"the commands are {', '.join(COMMANDS)}"
        raise UsageError(
            f"there is no command and no file '{word}'\n  hint: {hint}", code="TR-U001"
        )

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The commands, and the specs: `train CONFIG` needs no command."""
        files = [CompletionItem(path) for path in spec_files(incomplete)]
        return [*super().shell_complete(ctx, incomplete), *files]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedRun("stopped") from None


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    epilog=EXIT_CODES,
    **STYLE,
)


def _version(wanted: bool) -> None:
    if wanted:
        from trainer.extras import package_version

        typer.echo(f"train {package_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train the network that a YAML file declares, and record the run in MLflow.

    `train CONFIG` is short for `train run CONFIG`.

    Example: train configs/hidden_layer.yaml
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits. The one place that turns errors into exit codes."""
    program, arguments = arguments is None, sys.argv[1:] if arguments is None else arguments
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # read when NumPy loads its BLAS
    if program:
        gc.set_threshold(COLLECTED)
    keep_descriptors()
    with safe_streams() as (out, _):
        code = _carried_out(arguments)
        sys.stdout.flush()
        lost = told_of(out)
        if lost is not None:
            code = code or _told(lost, [])
    if program:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """Ends this process at once, once all that asked for it at an end has had its turn.

    Threads of libraries live on: those of pyarrow still let go of what they have read. Where Python
    takes itself down below them, as it does at a usual end, one that asks for Python's lock then
    aborts the process (status 134, "terminate called without an active exception") or hangs it. It
    would also look once more through all of MLflow's objects, for most of a second.
    """
    atexit._run_exitfuncs()
    os._exit(code)


@cache
def _parser() -> Callable[..., Any]:
    """The whole command, which is made once: that takes as long as many a one of its commands."""
    return get_command(app)


def _carried_out(arguments: list[str]) -> int:
    """The exit code of the command. What went wrong is told."""
    try:
        with signals_caught("stopped"):
            code = _parser()(arguments, prog_name="train", standalone_mode=False)
            return code if isinstance(code, int) else 0
    except WrongUsage as error:
        return _told_of_usage(error, arguments)
    except TrainerError as error:
        return _told(error, arguments)
    except MemoryError as error:
        return _told(
            MachineError(f"there is not enough memory: {error}".rstrip(": "), code="TR-M002"),
            arguments,
        )
    except (OSError, ImportError, RuntimeError) as error:
        refused = _refused(error)
        if refused is None:
            raise
        return _told(refused, arguments)


def _told_of_usage(error: Any, arguments: list[str]) -> int:
    """Tells what a command does not take; its exit code."""
    words = error.format_message()
    if words.startswith("Usage: "):  # all of the help, where nothing was asked for
        print(words, file=sys.stderr)
        return int(error.exit_code)
    usage = error.ctx.get_usage().removeprefix("Usage: ") if error.ctx else "train --help"
    return _told(UsageError(f"{words}\n  hint: it is called as {usage}", code="TR-U003"), arguments)


def _refused(error: OSError | ImportError | RuntimeError) -> MachineError | None:
    """What the machine refused, in a line; None for what is no refusal of it."""
    try:
        os.getcwd()
    except OSError:
        return MachineError(
            "the current folder is not there any more: go to one that is", code="TR-M005"
        )
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return MachineError(f"{error.strerror or error}{place}", code="TR-M004")
    if isinstance(error, ImportError) or "can't start new thread" in str(error):
        return MachineError(
            f"{error}\n  hint: there may not be enough memory, or processes", code="TR-M006"
        )
    return None


def _told(error: TrainerError, arguments: list[str]) -> int:
    """Tells what went wrong; its exit code."""
    if "--json" in arguments and not (isinstance(error, RunError) and error.run):
        print_json(error.as_json())
    print(f"train: {headline(error)}", file=sys.stderr)
    return error.exit_code
