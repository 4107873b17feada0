"""The command that looks for a learning rate: lr-find."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.hints import show_store
from trainer.cli.options import (
    PICTURE,
    RUNS,
    Config,
    Engine,
    EngineChoice,
    Json,
    Name,
    Quiet,
    Runs,
    Set,
    Threads,
    TrackingUri,
    ends_in,
)
from trainer.cli.streams import print_json
from trainer.cli.training import heard
from trainer.runs.ahead import start_ahead

if TYPE_CHECKING:
    from trainer.runs.rate_search import Search
    from trainer.training.range_test import RangeTest

_ENDS: Final = {
    "range": "all {tried} steps are done",
    "rise": "the loss rose to more than 4 times its least after {count} of {tried} steps",
    "divergence": "the loss was not finite after {count} of {tried} steps",
}


def lr_find(
    config: Config,
    set_: Set = None,
    lowest: Annotated[
        float | None, typer.Option("--from", metavar="RATE", help="First rate. [default: 1e-06]")
    ] = None,
    highest: Annotated[
        float | None, typer.Option("--to", metavar="RATE", help="Last rate. [default: 10]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="SGD steps between them. [default: 100]")
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=ends_in(*PICTURE), help="Also write the curve as a picture."
        ),
    ] = None,
    name: Name = None,
    runs: Runs = RUNS,
    tracking_uri: TrackingUri = None,
    no_track: Annotated[bool, typer.Option("--no-track", help="Keep and record nothing.")] = False,
    engine: Engine = EngineChoice.auto,
    threads: Threads = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Look for a learning rate: raise it step by step and see when the loss falls fastest.

    Example: train lr-find configs/hidden_layer.yaml
    """
    if not no_track:
        start_ahead()
    from trainer.runs.facts import named
    from trainer.runs.profile import Profile
    from trainer.runs.rate_search import find_learning_rate
    from trainer.spec import load_spec

    spec = named(load_spec(config, set_), name)
    given = _given(lowest=lowest, highest=highest, steps=steps)
    profile = Profile(engine.value, threads, None if no_track else runs, tracking_uri)
    _announce(spec.name, given, quiet or json_)
    with heard(silent=True) as hear:
        search = find_learning_rate(spec, profile=profile, **given, **hear)  # type: ignore[arg-type]  # by name
    if png is not None:
        from trainer.outputs import replacing
        from trainer.report.rates import write_range_test

        with replacing(png, PICTURE) as fresh:
            write_range_test(search.test, spec.name, fresh)
    if json_:
        print_json(search.as_json())
    elif not quiet:
        _show(search, png)


def _given(**asked: float | None) -> dict[str, float]:
    return {key: value for key, value in asked.items() if value is not None}


def _announce(name: str, given: dict[str, float], silent: bool) -> None:
    if silent:
        return
    from trainer.runs.rate_search import HIGHEST, LOWEST, STEPS

    all_ = {"lowest": LOWEST, "highest": HIGHEST, "steps": STEPS} | given
    text = f"{name}: {all_['steps']} steps from {all_['lowest']:g} to {all_['highest']:g}"
    print(text, file=sys.stderr)


def _show(search: Search, png: Path | None) -> None:
    from trainer.cli.rates import range_chart
    from trainer.cli.tables import Output

    output, test = Output(), search.test
    output.show(*range_chart(test, output.width), *_told(test))
    if png is not None:
        output.show(f"picture: {png}")
    if search.run_id is not None and search.folder is not None:
        place = show_store(search.tracking_uri or "")
        output.show(f"run {search.folder.name} in experiment '{search.experiment}', {place}")
    if test.suggestion is not None:
        output.show(f"suggestion: sgd.learning_rate: {test.suggestion:g}")


def _told(test: RangeTest) -> Iterator[str]:
    """What was found, in words."""
    yield _ENDS[test.end].format(count=len(test.rates), tried=test.tried)
    if test.suggestion is None:
        yield "no suggestion: the loss does not fall at any of these rates"
        return
    yield f"least loss at {test.minimum:.2g}, a tenth of which is {test.minimum / 10:.2g}"
    if test.still_falls:
        yield "the loss still falls at the last rate: try a larger one with --to"
