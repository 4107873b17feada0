"""`train doctor`: what is installed here, and whether it works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from trainer.cli.options import Json, Kept
from trainer.cli.places import kept_runs
from trainer.cli.streams import print_json
from trainer.doctor import Finding, examine, summary
from trainer.doctor.examine import exit_code

SIGNS: Final = {"ok": "✓", "note": "·", "warning": "!", "bad": "✗"}
WIDTH: Final = 14


def doctor(
    runs: Kept = None,
    tracking_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="Look at this store of MLflow's, too.")
    ] = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is bad.")] = False,
) -> None:
    """Look at this installation and machine: what is there, what works, how fast it trains.

    Each line is right (✓), told only (·), works but not as it could (!), or has to be mended before
    `train CONFIG` works (✗). What `--json` prints is for reports: no passwords, tokens, names of
    users or homes are in it. Exit codes: 0 it works, 5 a store of MLflow's does not, 7 something
    else does not.

    Example: train doctor --json > doctor.json
    """
    findings: list[Finding] = []
    for finding in examine(runs or kept_runs(), tracking_uri):
        findings.append(finding)
        if not json_ and (not quiet or finding.state == "bad"):
            print(_line(finding), flush=True)
    if json_:
        print_json(summary(findings), indent=2)
    elif not quiet:
        print(_conclusion(findings))
    raise typer.Exit(exit_code(findings))


def _conclusion(findings: Sequence[Finding]) -> str:
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        return f"\nTo be mended: {', '.join(bad)}."
    return "\n`train CONFIG` works here."


def _line(finding: Finding) -> str:
    head = f"{SIGNS[finding.state]} {finding.name:<{WIDTH}}  {finding.says}"
    return f"{head}\n{'':{WIDTH + 4}}{finding.todo}" if finding.todo else head
