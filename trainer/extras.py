"""What this package is called where packages are installed, and what can be installed with it.

The distribution is `specgrad`; `trainer`, the name of the import, belongs to another project there.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

DISTRIBUTION: Final = "specgrad"
EXTRAS: Final = {
    "dask": ("distributed",),
    "docs": ("furo", "myst_parser", "sphinx"),
    "excel": ("openpyxl",),
    "onnx": ("onnx", "onnxruntime"),
    "postgres": ("psycopg",),
    "sweep": ("optuna",),
}
"""The modules that each extra brings, besides those of `dev`."""


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


@cache
def package_version(package: str = DISTRIBUTION) -> str:
    """The version of a package, `0` where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "0"
