"""TR-U: the command line, and calls of the Python interface."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-U001",
        "there is no such command and no such file",
        "`train WORD` takes a command or the file of a spec, and this is neither.",
        "Take one of the near names, or see all commands.",
        "train --help",
    ),
    Entry(
        "TR-U002",
        "options that do not go together",
        "One of the options says what the other leaves no place for, or needs another one "
        "beside it.",
        "Leave one out, or add what is missing, as the message says.",
        "train predict RUN --data rows.csv --out predictions.csv --json",
    ),
    Entry(
        "TR-U003",
        "an option or argument that the command does not take",
        "The option is unknown, is missing, or its value has another form or is out of range.",
        "See what the command takes; each has an example.",
        "train run --help",
    ),
    Entry(
        "TR-U004",
        "nothing can be written under this name",
        "The name of the file has another ending than its kind, names a folder or a device, or "
        "its folder is not there.",
        "Give the name of a file in a folder that exists, with one of the endings that are told.",
        "train export RUN --to onnx --out model.onnx",
    ),
    Entry(
        "TR-U005",
        "the port cannot be used",
        "Another program listens at this port, or the system keeps it for others.",
        "Choose another one.",
        "train ui --port 5001",
    ),
    Entry(
        "TR-U006",
        "values that the inputs do not take",
        "Examples are given as values by the names of inputs or columns, with as many numbers "
        "as each has; or as numbers of rows, counted from 0, that the data have.",
        "Write what is told.",
        "train explain flats.yaml --at rooms=3 --at area=78 --at district=north",
    ),
    Entry(
        "TR-U007",
        "standard input is not read",
        "Rows are read more than once, which a pipe does not allow.",
        "Write the rows to a file and name it.",
        "train predict RUN --data rows.csv",
    ),
    Entry(
        "TR-U008",
        "no run has this metric",
        "The metric was not measured, or it does not fit the loss.",
        "Take one of those that are told.",
        "train list --sort val_loss",
    ),
    Entry(
        "TR-U009",
        "an argument of another type",
        "A function of the Python interface was called with something that it does not take.",
        "See the docstring of the function.",
        "python -c 'import trainer; help(trainer.train)'",
    ),
    Entry(
        "TR-U010",
        "there is no error with this code",
        "Codes are TR-, a letter and three digits; one that was once given stays.",
        "Copy the code from the end of the message. Without a code the letters are shown.",
        "train help TR-D001",
    ),
    Entry(
        "TR-U011",
        "the format does not hold this model",
        "An ONNX file holds 2 GiB of numbers, and labels that are texts or numbers of 64 bits.",
        "Export it in another format.",
        "train export RUN --to safetensors",
    ),
    Entry(
        "TR-U012",
        "no spec can be drafted for this",
        "`train init` needs a table in one file, and a column of it that can be predicted: numbers "
        "or classes, not dates, and not texts that are different in every row.",
        "Name another column, or write the spec by hand from a file in `configs/`.",
        "train init flats.csv --target rent",
    ),
    Entry(
        "TR-U013",
        "a spec is there already",
        "What somebody has written is not replaced without a word.",
        "Write to another file, or say that it is to be replaced.",
        "train init flats.csv --target rent --out second.yaml",
    ),
)
"""The entries, in the order of their codes."""
