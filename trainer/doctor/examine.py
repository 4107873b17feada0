"""All that is looked at, in the order in which it is told, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trainer.doctor.finding import Finding
from trainer.doctor.installed import dependencies, extras, package
from trainer.doctor.machine import cache, cores, memory, processor, settings, terminal
from trainer.doctor.places import runs_folder, stores
from trainer.doctor.speed import speed
from trainer.errors import TrainerError
from trainer.extras import package_version


def examine(runs: Path, tracking_uri: str | None = None) -> Iterator[Finding]:
    """Looks at everything, each as it is asked for. Nothing is raised: what cannot be looked at is
    a finding, too. `runs` is where runs are kept, `tracking_uri` a store besides the usual one.
    """
    probes: list[tuple[str, Callable[[], Finding | list[Finding]]]] = [
        ("package", package),
        ("dependencies", dependencies),
        ("extras", extras),
        ("settings", settings),
        ("terminal", terminal),
        ("processor", processor),
        ("cores", cores),
        ("memory", memory),
        ("kernel cache", cache),
        ("runs", lambda: runs_folder(runs)),
        ("store", lambda: stores(runs, tracking_uri)),
        ("speed", speed),
    ]
    for name, probe in probes:
        for finding in _found(name, probe):
            yield finding.clean()


def _found(name: str, probe: Callable[[], Finding | list[Finding]]) -> list[Finding]:
    try:
        found = probe()
    except Exception as error:  # whatever is wrong here, the others are told
        what = error.message if isinstance(error, TrainerError) else error
        says = f"cannot be looked at: {type(error).__name__}: {what}"
        return [Finding(name, "warning", says, "report this as a mistake of `train doctor`")]
    return found if isinstance(found, list) else [found]


def summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """What `train doctor --json` prints: for reports of what went wrong."""
    return {
        "usable": exit_code(findings) == 0,
        "version": package_version(),
        "findings": [finding.as_json() for finding in findings],
    }


def exit_code(findings: Sequence[Finding]) -> int:
    """0 where `train CONFIG` works, else the code of the first finding that is bad."""
    return next((found.exit_code for found in findings if found.state == "bad"), 0)
