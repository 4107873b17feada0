"""TR-E: packages that are not installed."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-E001",
        "the packages for ONNX are not installed",
        "ONNX files are written and checked with packages that not everyone needs.",
        "Install the extra that the hint names.",
    ),
    Entry(
        "TR-E002",
        "the packages for clusters are not installed",
        "Workers of a cluster are reached with Dask, which not everyone needs.",
        "Install the extra that the hint names.",
    ),
    Entry(
        "TR-E003",
        "Optuna is not installed",
        "`search: {method: tpe}` asks Optuna for the next trial.",
        "Install what the hint names, or search at random.",
        "search: {method: random, trials: 32}",
    ),
    Entry(
        "TR-E004",
        "the package for Excel is not installed",
        "Workbooks are read with a package that not everyone needs.",
        "Install the extra that the hint names, or save the sheet as CSV.",
    ),
    Entry(
        "TR-E005",
        "the driver of the database is not installed",
        "Databases that are servers need a package that speaks to them.",
        "Install what the hint names.",
    ),
    Entry(
        "TR-E006",
        "the installed scikit-learn lacks a bundled data set",
        "Bundled data are read from the files of scikit-learn, and the version that is "
        "installed does not hold this one.",
        "Install the version of scikit-learn that this package asks for.",
    ),
)
"""The entries, in the order of their codes."""
