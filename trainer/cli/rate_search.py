"""The command that looks for a learning rate: lr-find."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trainer.cli.hints import show_store
from trainer.cli.options import (
    PICTURE,
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
from trainer.cli.places import RUNS
from trainer.cli.streams import print_json
from trainer.cli.training import heard
from trainer.runs.ahead import start_ahead

if TYPE_CHECKING:
    from rich.text import Text

    from trainer.runs.rate_search import Search
    from trainer.training.range_test import RangeTest
    from trainer.training.trials import Trial, Trials

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
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Of each trial; 0: none. [default: the spec's, if quick]"
        ),
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
    """Look for a learning rate: raise it until the loss is too large, then try those before it.

    Example: train lr-find configs/hidden_layer.yaml
    """
    if not no_track:
        start_ahead()
    from trainer.runs.facts import named
    from trainer.runs.profile import Profile
    from trainer.runs.rate_search import find_learning_rate
    from trainer.spec import load_spec

    spec = named(load_spec(config, set_), name)
    given: dict[str, Any] = _given(lowest=lowest, highest=highest, steps=steps, epochs=epochs)
    profile = Profile(engine.value, threads, None if no_track else runs, tracking_uri)
    _announce(spec.name, given, quiet or json_)
    told: Callable[[int, Trial], None] = (lambda *_: None) if quiet or json_ else _tell
    with heard(silent=True) as hear:
        search = find_learning_rate(spec, profile=profile, told=told, **given, **hear)
    if png is not None:
        from trainer.outputs import replacing
        from trainer.report.rates import write_search

        with replacing(png, PICTURE) as fresh:
            write_search(search.test, search.trials, spec.name, fresh)
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


def _tell(epochs: int, trial: Trial) -> None:
    """Tells of a trial that is done."""
    print(f"{epochs} epochs at {trial.rate:g}: {_loss(trial)}", file=sys.stderr)


def _show(search: Search, png: Path | None) -> None:
    from trainer.cli.rates import range_chart
    from trainer.cli.tables import Output

    output, test = Output(), search.test
    output.show(*range_chart(test, output.width), *_told(test))
    if search.trials is not None:
        output.show("", *_trials(search.trials, output.width), "")
    if png is not None:
        output.show(f"picture: {png}")
    if search.run_id is not None and search.folder is not None:
        place = show_store(search.tracking_uri or "")
        output.show(f"run {search.folder.name} in experiment '{search.experiment}', {place}")
    output.show(*_verdict(search))


def _told(test: RangeTest) -> Iterator[str]:
    """What the curve says, in words."""
    yield _ENDS[test.end].format(count=len(test.rates), tried=test.tried)
    if test.steepest is None:
        yield "the loss does not fall at any of these rates"
    else:
        yield f"steepest fall at {test.steepest:g}, least loss at {test.minimum:.2g}"


def _trials(trials: Trials, width: int | None) -> Iterator[Text | str]:
    """The trials as a table; those about as good as the best are marked."""
    from trainer.cli.tables import Column, table

    good, best = trials.as_good, trials.best
    marks = [
        "best" if trial == best else "as good" if good and good[0] <= trial.rate <= good[1] else ""
        for trial in trials.done
    ]
    columns = [
        Column("rate", [f"{trial.rate:g}" for trial in trials.done]),
        Column(f"{trials.judged_by} after {trials.epochs} epochs",
               [_loss(trial) for trial in trials.done], right=True),
        Column("", marks),
    ]  # fmt: skip
    yield from table(columns, width)[0]


def _loss(trial: Trial) -> str:
    return f"{trial.loss:#.5g}" if trial.loss < float("inf") else "diverged"


def _verdict(search: Search) -> Iterator[str]:
    """How sure the search is, and what it suggests."""
    if search.suggestion is None:
        yield f"no suggestion: {search.doubts[0] if search.doubts else 'the loss does not fall'}"
        return
    for doubt in search.doubts:
        yield f"unsure: {doubt}"
    if search.as_good is not None:
        low, high = search.as_good
        same = f"from {low:g} to {high:g} the loss is within a tenth of the best"
        sure = "" if search.doubts else "sure: "
        yield sure + (same if low < high else "no other rate comes within a tenth of the best")
    yield f"suggestion: sgd.learning_rate: {search.suggestion:g}"
