"""The commands that show: a spec, its schema, the recorded runs in MLflow's UI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.cli.options import HTML, PICTURE, Config, Json, Kept, Set, TrackingUri, ends_in
from trainer.cli.streams import print_json
from trainer.errors import DataError, SpecError, UsageError

if TYPE_CHECKING:
    from trainer.runs.prepare import Prepared
    from trainer.spec import Spec


def check(
    config: Config,
    set_: Set = None,
    json_: Json = False,
    resolved: Annotated[
        bool,
        typer.Option("--resolved", help="Print the spec with all values, and where each is from."),
    ] = False,
    data: Annotated[
        bool, typer.Option("--data", help="Show what is in the table instead, and what is odd.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=ends_in(*HTML), help="Also write that as a page."),
    ] = None,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Print the source of the compiled kernel.")
    ] = False,
    plot_schedule: Annotated[
        bool, typer.Option("--plot-schedule", help="Draw the learning rate by step instead.")
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=ends_in(*PICTURE), help="Write that drawing as a picture."
        ),
    ] = None,
) -> None:
    """Validate a spec and its data, without training.

    Shows the layers, the nodes of the graph, the memory needed and the fingerprint; with
    --resolved only the spec with all its values, without a look at the data; with --data the
    columns of the table, and what is odd about them.

    Example: train check configs/hidden_layer.yaml --json
    """
    if (data or html) and (resolved or kernel or plot_schedule or png):
        others = "--resolved, --kernel, --plot-schedule and --png"
        raise UsageError(
            f"--data shows the table and nothing else: leave out {others}", code="TR-U002"
        )
    from trainer.cli.progress import Progress
    from trainer.runs.prepare import prepare
    from trainer.spec import load_spec
    from trainer.training import nobody

    listen = nobody if json_ else Progress().on
    try:
        spec = load_spec(config, set_)
        if resolved:
            _show_resolved(spec, json_)
            return
        if data or html is not None:
            prepare(spec, listen)
            _show_data(spec, html, json_)
            return
        prepared = prepare(spec, listen)
    except (SpecError, DataError) as error:
        if not json_:
            raise
        problems = [problem.as_json() for problem in error.problems]
        print_json({"valid": False, "errors": problems})
        raise typer.Exit(error.exit_code) from None
    if kernel:
        _show_kernel(prepared)
        return
    if png is not None:
        _draw_schedule(prepared, png)
    if json_:
        print_json(_as_json(prepared, plot_schedule))
    elif plot_schedule:
        _show_schedule(prepared)
    else:
        _show_graph(prepared, config)


def _show_resolved(spec: Spec, json_: bool) -> None:
    """Without a look at the data, which may not be where a spec that builds on another says."""
    from trainer.spec.document import show_path
    from trainer.spec.origins import places_of, shown, with_places

    values = spec.resolved()
    if not json_:
        print(with_places(spec.document, values), end="")
        return
    places = {show_path(at): shown(mark) for at, mark in places_of(values, spec.document).items()}
    about = {"valid": True, "name": spec.name, "spec_sha256": spec.sha256}
    print_json(about | {"resolved": values, "places": places})


def _show_data(spec: Spec, html: Path | None, json_: bool) -> None:
    from trainer.cli.surveying import show_survey, write_survey
    from trainer.cli.tables import Output
    from trainer.survey import survey

    found = survey(spec)
    if html is not None:
        write_survey(found, spec.name, html)
    if json_:
        about = {"valid": True, "name": spec.name, "spec_sha256": spec.sha256}
        print_json(about | {"data": found.as_json()})
        return
    output = Output()
    show_survey(output, found, spec.name)
    if html is not None:
        output.show("", f"page: {html}")


def _show_kernel(prepared: Prepared) -> None:
    from trainer.engine.compiled.engine import kernel_source

    rows = prepared.batch_size, prepared.spec.evaluation.batch_size
    print(kernel_source(prepared.training, *rows, prepared.spec.sgd.shards), end="")


def _draw_schedule(prepared: Prepared, png: Path) -> None:
    from trainer.outputs import replacing
    from trainer.report.rates import write_schedule

    with replacing(png, PICTURE) as fresh:
        write_schedule(prepared.spec, prepared.steps_per_epoch, fresh)


def _show_schedule(prepared: Prepared) -> None:
    from trainer.cli.rates import schedule_chart
    from trainer.cli.tables import Output

    output = Output()
    output.show(*schedule_chart(prepared.spec, prepared.steps_per_epoch, output.width))


def _as_json(prepared: Prepared, schedule: bool) -> dict[str, Any]:
    from trainer.network.memory import count_parameters

    spec = prepared.spec
    nodes = [
        {"name": n.name, "op": n.op, "inputs": list(n.inputs), "shape": list(n.shape)}
        for n in prepared.model
    ]
    found: dict[str, Any] = {"valid": True, "name": spec.name, "spec_sha256": spec.sha256}
    found |= {"parameters": count_parameters(prepared.model), "nodes": nodes}
    if schedule:
        from trainer.cli.rates import schedule_points

        found["schedule"] = schedule_points(spec, prepared.steps_per_epoch)
    return found


def _show_graph(prepared: Prepared, config: Path) -> None:
    from trainer.cli.hints import command
    from trainer.graph.ops import show_shape

    print(prepared.describe())
    width = max(len(node.name) for node in prepared.model)
    print("graph")
    for node in prepared.model:
        print(f"  {node.name:<{width}}  {show_shape(node.shape):<12}  {node.formula}")
    fingerprint = f"spec {prepared.spec.sha256}"
    print(f"\n{fingerprint}\nThe spec is valid. Next: {command(config)}")


def schema(
    sweep: Annotated[bool, typer.Option("--sweep", help="That of sweeps.")] = False,
) -> None:
    """Print the JSON Schema of the spec.

    Editors that know it complete and check specs as they are written.

    Example: train schema > spec.schema.json
    """
    from pydantic import TypeAdapter

    from trainer.spec import Sketch, Spec
    from trainer.spec.editors import with_partial
    from trainer.sweeps.declaration import SweepSpec

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    kinds: Any = SweepSpec if sweep else Spec | Sketch
    print_json(document | with_partial(TypeAdapter(kinds).json_schema()), indent=2)


def ui(
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open MLflow's UI on the recorded runs.

    It listens on 127.0.0.1, for this machine alone.

    Example: train ui --port 5001
    """
    from trainer.cli.ui import serve_ui

    serve_ui(tracking_uri, kept, port)
