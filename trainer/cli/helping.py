"""`train help`: what the code at the end of a message means, and what to do."""

from __future__ import annotations

import re
import textwrap
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.options import Json
from trainer.cli.streams import print_json
from trainer.errors import UsageError

if TYPE_CHECKING:
    from trainer.codes import Entry

WIDTH: Final = 88


def help_(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="As TR-D001, or d001.")] = None,
    json_: Json = False,
) -> None:
    """Say what the code at the end of an error means, and what to do.

    Without a code: what the letters of codes stand for. Options of commands: `train --help`.

    Example: train help TR-D001
    """
    from trainer.codes import LETTERS

    if code is not None:
        entry = find_entry(code)
        print_json(asdict(entry)) if json_ else print(page_of(entry))
    elif json_:
        print_json({letter: about for letter, (about, _) in LETTERS.items()})
    else:
        print("The message of an error ends with its code, as [TR-D001], whose letter says where")
        print("the mistake lies:\n")
        for letter, (about, entries) in LETTERS.items():
            print(f"  TR-{letter}  {len(entries):>2}  {about}")
        print(
            "\ntrain help TR-D001 says what it means and what to do; docs/errors.md has them all."
        )


def find_entry(code: str) -> Entry:
    """The entry with this code, which may lack TR- and be in small letters.

    Raises `UsageError` with near codes.
    """
    from trainer.codes import ENTRIES, LETTERS

    written = re.sub(r"[\s\[\]_-]", "", code.upper()).removeprefix("TR")
    full = f"TR-{written[:1]}{written[1:].zfill(3)}"
    if full in ENTRIES:
        return ENTRIES[full]
    letter = written[:1]
    if letter in LETTERS and written[1:].isdigit():
        last = LETTERS[letter][1][-1].code
        hint = f"the codes of this letter end with {last}"
    elif near := get_close_matches(full, ENTRIES, 3, 0.75):
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = "`train help` tells the letters, `train COMMAND --help` the options of a command"
    raise UsageError(f"there is no error with the code '{code}'\n  hint: {hint}", code="TR-U010")


def page_of(entry: Entry) -> str:
    """The entry as a terminal shows it."""
    lines = [f"{entry.code}: {entry.title}", "", textwrap.fill(entry.why, WIDTH), ""]
    lines.append(textwrap.fill(f"What to do: {entry.do}", WIDTH))
    if entry.example:
        lines += ["", textwrap.indent(entry.example, "    ")]
    return "\n".join(lines)
