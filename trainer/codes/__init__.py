"""The catalogue of errors: what each code means, why it is refused, and what to do.

A code is TR-, a letter and a number, as TR-D012. The letter says what the mistake is in. A code
never changes what it stands for: whoever has written it down finds the same entry in every later
version. So the code of an entry that is retired is not given anew, and a new entry takes the next
number of its letter. Entries that are alike in why and in what to do are one, wherever they are
met.

Errors and problems name their code where they are raised (`code="TR-D012"`); nothing else of the
package knows the catalogue but `train help` and the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainer.codes import (
    data,
    extras,
    graph,
    machine,
    runs,
    service,
    serving,
    spec,
    sweeps,
    tracking,
    training,
    usage,
)
from trainer.codes.entry import Entry

__all__ = ["ENTRIES", "LETTERS", "Entry"]

LETTERS: Final[Mapping[str, tuple[str, tuple[Entry, ...]]]] = {
    "S": ("the file of a spec: YAML, keys and values", spec.ENTRIES),
    "G": ("the graph: equations, layers, shapes", graph.ENTRIES),
    "D": ("the data", data.ENTRIES),
    "U": ("the command line, and calls from Python", usage.ENTRIES),
    "R": ("runs and what is kept of them", runs.ENTRIES),
    "X": ("trainings that did not come to a good end", training.ENTRIES),
    "W": ("sweeps, cross-validation and workers", sweeps.ENTRIES),
    "T": ("the tracking store", tracking.ENTRIES),
    "V": ("the training service, as its users meet it", service.ENTRIES),
    "A": ("running a service", serving.ENTRIES),
    "M": ("the machine: disk, memory, output", machine.ENTRIES),
    "E": ("packages that are not installed", extras.ENTRIES),
}
"""What each letter stands for, and its entries."""

ENTRIES: Final[Mapping[str, Entry]] = {
    entry.code: entry for _, entries in LETTERS.values() for entry in entries
}
"""All entries by their codes."""
