"""The commands that look at recorded runs: which there are, and what differs between some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trainer.checkpoints.facts import TRIAL_TAG
from trainer.cli.hints import show_store, warn
from trainer.cli.options import HTML, Json, Kept, TrackingUri, ends_in, store_at
from trainer.cli.streams import print_json, waiting
from trainer.errors import UsageError

if TYPE_CHECKING:
    from trainer.report.comparing import Comparison
    from trainer.report.recorded import RecordedRun
    from trainer.tracking.runs import Runs

_ORDERS: Final = {
    "id": "attributes.run_id",
    "name": "attributes.run_name",
    "status": "attributes.status",
    "started": "attributes.start_time",
}
_RANKS: Final[dict[str, Callable[[RecordedRun], Any]]] = {  # columns that MLflow cannot sort by
    "duration": lambda run: run.seconds or 0.0,
    "experiment": lambda run: run.experiment,
}
_DEFAULT_METRIC: Final = "val_loss"
TRIALS: Final = 5  # of a sweep, that are compared

Experiment = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only runs of this experiment.")
]
OfSweep = Annotated[
    str | None,
    typer.Option("--sweep", metavar="NAME", help="Trials of this sweep, the best first."),
]


def list_runs(
    experiment: Experiment = None,
    where: Annotated[
        str | None,
        typer.Option("--filter", metavar="TEXT", help="In MLflow's words, see the example."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="A column or metric; -KEY begins with the largest. [default: -started]",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show so many.")] = 20,
    sweep: OfSweep = None,
    trials: Annotated[bool, typer.Option("--trials", help="Also the trials of sweeps.")] = False,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    json_: Json = False,
) -> None:
    """List the recorded runs, the latest first. A sweep stands for its trials.

    Example: train list --filter "metrics.val_loss < 0.1" --sort val_loss
    """
    from trainer.cli.showing import show_runs
    from trainer.cli.tables import Output
    from trainer.tracking.runs import Runs

    store = store_at(tracking_uri, kept).find_store()
    with waiting(f"asking {show_store(store.shown)}", json_):
        recorded, filters = Runs(store, warn), where or ""
        lacking: str | None = None if trials else TRIAL_TAG
        if sweep is None:
            runs = _sorted(recorded, filters, experiment, sort or "-started", limit + 1, lacking)
        elif sort is None and not filters:
            runs = recorded.trials(recorded.find(sweep, experiment), limit + 1)
        else:
            of = recorded.of_sweep(recorded.find(sweep, experiment))
            filters = f"{of} and {filters}" if filters else of
            runs = _sorted(recorded, filters, experiment, sort or "-started", limit + 1, None)
    if json_:
        print_json({"runs": [run.as_json() for run in runs[:limit]]})
    elif not runs:
        print(_nothing(where, experiment, store.shown))
    else:
        output = Output()
        show_runs(output, runs[:limit], (sort or "started").removeprefix("-"))
        if len(runs) > limit:
            output.show(f"There are more runs: show them with --limit {2 * limit}")
        swept = next((run for run in runs[:limit] if run.is_sweep), None)
        if swept is not None and not trials:
            output.show(f"The trials of a sweep: train list --sweep {swept.name}")


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="Name, id, beginning of an id, last, best."),
    ] = None,
    experiment: Experiment = None,
    best: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The N best runs of the experiment, or the sweep."),
    ] = None,
    sweep: OfSweep = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="What is drawn. [default: val_loss]")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=ends_in(*HTML), help="Also write a page with charts."
        ),
    ] = None,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    json_: Json = False,
) -> None:
    """Show what differs between runs: their specs, their metrics, their curves.

    Example: train compare last best --html comparison.html
    """
    if sweep is not None and best is None:
        best = TRIALS
    from trainer.report.comparing import MOST_RUNS, curve_names
    from trainer.tracking.runs import Runs

    if len(runs or ()) + (best or 0) > MOST_RUNS:
        raise UsageError(
            f"more than {MOST_RUNS} runs cannot be told apart: name fewer of them, "
            f"or take the best by --experiment NAME --best {MOST_RUNS}",
            code="TR-U003",
        )
    store = store_at(tracking_uri, kept).find_store()
    with waiting(f"asking {show_store(store.shown)}", json_):
        recorded = Runs(store, warn)
        chosen = _chosen(recorded, runs or (), experiment, best, sweep)
        drawn = _drawn(chosen, metric)
        names = [drawn, *(curve_names(chosen) if html or json_ else ())]
        comparison = _comparison(recorded, chosen, names)
    if html:
        _write(html, comparison)
    if json_:
        print_json(comparison.as_json())
        return
    from trainer.cli.showing import show_comparison
    from trainer.cli.tables import Output

    output = Output()
    show_comparison(output, comparison, drawn)
    if html:
        output.show("", f"page: {html}")


# Which runs -------------------------------------------------------------------------------------


def _sorted(
    runs: Runs, where: str, experiment: str | None, sort: str, limit: int, lacking: str | None
) -> list[RecordedRun]:
    """The first runs without the tag `lacking`, by a column, by a metric, or in an order of words
    of MLflow's own.
    """
    key, down = sort.removeprefix("-"), sort.startswith("-")
    if key in _RANKS:
        found = runs.search(where, experiment=experiment, lacking=lacking)
        return sorted(found, key=_RANKS[key], reverse=down)[:limit]
    own = "." in key or " " in key
    order = sort if own else f"{_ORDERS.get(key, f'metrics.`{key}`')} {'DESC' if down else 'ASC'}"
    found = runs.search(where, experiment=experiment, order=order, limit=limit, lacking=lacking)
    if not own and key not in _ORDERS and found:
        _check_metric(key, found, "--sort ")
    return found


def _chosen(
    runs: Runs,
    references: Sequence[str],
    experiment: str | None,
    best: int | None,
    sweep: str | None,
) -> list[RecordedRun]:
    """The runs that are named, then the best, each once."""
    found = [runs.find(reference, experiment) for reference in references]
    if sweep is not None:
        found += runs.trials(runs.find(sweep, experiment), best)
    elif best is not None:
        found += runs.best(experiment, best)
    elif experiment is not None and not references:
        raise UsageError("say how many runs of the experiment: --best N", code="TR-U002")
    found = list({run.run_id: run for run in found}.values())
    if len(found) < 2:
        only = f"there is only {found[0].id[:8]}" if found else "name them, or give --best N"
        raise UsageError(f"two runs or more can be compared: {only}", code="TR-U003")
    return found


def _comparison(recorded: Runs, chosen: Sequence[RecordedRun], names: Sequence[str]) -> Comparison:
    """The runs with the curves of these metrics."""
    from trainer.report.comparing import Comparison, curve

    curves = {
        name: [
            curve(recorded.points(run.run_id, name), run.metrics.get(f"last_{name}"))
            if name in run.metrics else ()
            for run in chosen
        ]
        for name in dict.fromkeys(names)
    }  # fmt: skip
    return Comparison(chosen, curves)


def _drawn(runs: Sequence[RecordedRun], metric: str | None) -> str:
    """The metric that is drawn: the one asked for, else `val_loss` where a run has it."""
    if metric is not None:
        _check_metric(metric, runs, "")
        return metric
    return _DEFAULT_METRIC if any(_DEFAULT_METRIC in run.metrics for run in runs) else "train_loss"


def _check_metric(name: str, runs: Sequence[RecordedRun], where: str) -> None:
    """Raises `UsageError` where no run has a metric of this name."""
    import difflib

    names = sorted({held for run in runs for held in run.metrics})
    if name not in names:
        near = difflib.get_close_matches(name, names, 3)
        flat = [held for held in names if "/" not in held]
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(flat)}"
        raise UsageError(f"{where}{name}: no run has this metric\n  hint: {hint}", code="TR-U008")


# Results ----------------------------------------------------------------------------------------


def _nothing(where: str | None, experiment: str | None, uri: str) -> str:
    from trainer.cli.hints import program

    if where:
        return f"No run fits the filter {where}"
    place = f"the experiment '{experiment}'" if experiment else show_store(uri)
    return f"There are no runs in {place} yet. Train something first: {program()} CONFIG"


def _write(path: Path, comparison: Comparison) -> None:
    from trainer.outputs import replacing
    from trainer.report.comparison_page import page

    with replacing(path, HTML) as fresh:
        fresh.write_text(page(comparison), encoding="utf-8")
