"""The command that looks for a learning rate: lr-find."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.hints import show_store, warn
from trainer.cli.options import Config, EngineChoice, Json, Quiet, Set, Threads, TrackingUri

if TYPE_CHECKING:
    from trainer.runs.rate_search import Search
    from trainer.training.range_test import Sweep

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
_ENDS: Final = {
    "range": "all {tried} steps are done",
    "rise": "the loss rose to more than 4 times its least after {count} of {tried} steps",
    "divergence": "the loss was not finite after {count} of {tried} steps",
}


def lr_find(
    config: Config,
    set_: Set = None,
    lowest: Annotated[float, typer.Option("--from", metavar="RATE", help="First rate.")] = LOWEST,
    highest: Annotated[float, typer.Option("--to", metavar="RATE", help="Last rate.")] = HIGHEST,
    steps: Annotated[int, typer.Option(metavar="N", help="SGD steps between them.")] = STEPS,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the curve as a picture.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The run's name. [default: the spec's]")
    ] = None,
    tracking_uri: TrackingUri = None,
    no_track: Annotated[bool, typer.Option("--no-track", help="Record nothing.")] = False,
    engine: Annotated[
        EngineChoice, typer.Option(help="What computes; `auto` compiles long runs.")
    ] = EngineChoice.auto,
    threads: Threads = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Look for a learning rate: raise it step by step and see when the loss falls fastest.

    Example: train lr-find configs/hidden_layer.yaml
    """
    from trainer.runs.rate_search import find_learning_rate
    from trainer.spec import load_spec

    spec = load_spec(config, set_)
    if not (quiet or json_):
        print(f"{spec.name}: {steps} steps from {lowest:g} to {highest:g}", file=sys.stderr)
    search = find_learning_rate(
        spec, lowest=lowest, highest=highest, steps=steps, name=name, tracking_uri=tracking_uri,
        track=not no_track, engine=engine.value, threads=threads, warn=warn,
    )  # fmt: skip
    if png is not None:
        from trainer.cli.rates import written
        from trainer.report.rates import write_sweep

        written(png, lambda path: write_sweep(search.sweep, spec.name, path))
    if json_:
        print(json.dumps(search.as_json()))
    elif not quiet:
        _show(search, png)


def _show(search: Search, png: Path | None) -> None:
    from trainer.cli.rates import sweep_chart
    from trainer.cli.tables import Output

    output, sweep = Output(), search.sweep
    output.show(*sweep_chart(sweep, output.width), *_told(sweep))
    if png is not None:
        output.show(f"picture: {png}")
    if search.run_id is not None:
        place = show_store(search.tracking_uri or "")
        output.show(f"run {search.run_id} in experiment '{search.experiment}', {place}")
    if sweep.suggestion is not None:
        output.show(f"suggestion: sgd.learning_rate: {sweep.suggestion:g}")


def _told(sweep: Sweep) -> Iterator[str]:
    """What was found, in words."""
    yield _ENDS[sweep.end].format(count=len(sweep.rates), tried=sweep.tried)
    if sweep.suggestion is None:
        yield "no suggestion: the loss does not fall at any of these rates"
        return
    yield f"least loss at {sweep.minimum:.2g}, a tenth of which is {sweep.minimum / 10:.2g}"
    if sweep.still_falls:
        yield "the loss still falls at the last rate: try a larger one with --to"
