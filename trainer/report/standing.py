"""Where a run stands: its metrics beside those of the trivial result, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainer.report.comparing import TRIVIAL

_PARTS: Final = {"test": "test", "val": "validation", "train": "training"}
_TOLD: Final = ("accuracy", "r2", "rmse")
_SHORT: Final = {"r2": "R²", "rmse": "RMSE"}


def standing(metrics: Mapping[str, float], says: str) -> str | None:
    """`test accuracy 0.94; always saying 'malignant' gives 0.63`, of the best part that there is;
    None where nothing was measured. `says` is what the trivial result says of every row.
    """
    part = _part(metrics)
    if part is None:
        return None
    names = [n for n in _TOLD if f"{part}_{n}" in metrics and f"{TRIVIAL}{part}_{n}" in metrics]
    names = names or ["loss"]
    here = [f"{_SHORT.get(n, n)} {metrics[f'{part}_{n}']:.4g}" for n in names]
    there = [f"{metrics[f'{TRIVIAL}{part}_{n}']:.4g}" for n in names]
    return f"{_PARTS[part]} {' and '.join(here)}; {says} gives {' and '.join(there)}"


def no_better(metrics: Mapping[str, float], says: str) -> str | None:
    """What is wrong with a run whose loss is not below the trivial one, and what to try."""
    part = _part(metrics)
    if part is None:
        return None
    loss, trivial = metrics[f"{part}_loss"], metrics[f"{TRIVIAL}{part}_loss"]
    if loss < trivial:
        return None
    message = f"the {_PARTS[part]} loss, {loss:.5g}, is no better than {trivial:.5g}, which "
    message += f"{says.rstrip(',')} gives"
    return f"{message}; try another learning rate, more epochs, or other features"


def _part(metrics: Mapping[str, float]) -> str | None:
    return next(
        (part for part in _PARTS
         if f"{part}_loss" in metrics and f"{TRIVIAL}{part}_loss" in metrics), None,
    )  # fmt: skip
