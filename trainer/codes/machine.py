"""TR-M: the machine: disk, memory, output."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-M001",
        "the disk is full",
        "There is no room for what is to be kept. Nothing that was kept before is lost.",
        "Make room, or name a folder on another disk; then go on where it stopped.",
        "train resume RUN",
    ),
    Entry(
        "TR-M002",
        "there is not enough memory",
        "What the spec needs is more than the machine has, or the system gives no more.",
        "Use fewer units, a smaller batch, or leave the rows on disk.",
        "data: {stream: true}",
    ),
    Entry(
        "TR-M003",
        "standard output cannot be written",
        "What reads the output has ended, or the disk that it goes to is full.",
        "Look at the end of the pipe, or write to another file.",
    ),
    Entry(
        "TR-M004",
        "the system refuses a file",
        "A file cannot be opened or written; the reason of the system is told.",
        "Check the permissions of the file and of its folder.",
    ),
    Entry(
        "TR-M005",
        "the current folder is gone",
        "The folder in which the command runs was deleted or moved, so that no path below it "
        "can be found.",
        "Go to a folder that is there.",
        "cd ~",
    ),
    Entry(
        "TR-M006",
        "the system refuses a thread, a process or a library",
        "There may be too many processes, or too little memory to load a library.",
        "End other programs, or raise the limits of the system.",
        "ulimit -a",
    ),
    Entry(
        "TR-M007",
        "the processor cannot do what the engine needs",
        "Compiled kernels fuse multiplication and addition, which processors since about 2013 "
        "do, and libraries that multiply must keep to one thread. Without these, bits would "
        "differ.",
        "Train without the compiler.",
        "train run flats.yaml --engine reference",
    ),
)
"""The entries, in the order of their codes."""
