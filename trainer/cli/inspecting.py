"""The commands that show: a spec, its schema, the recorded runs in MLflow's UI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.options import Config, Json, Set, TrackingUri
from trainer.errors import DataError, SpecError


def check(
    config: Config,
    set_: Set = None,
    json_: Json = False,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Print the source of the compiled kernel.")
    ] = False,
    plot_schedule: Annotated[
        bool, typer.Option("--plot-schedule", help="Draw the learning rate by step instead.")
    ] = False,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write that drawing as a picture.")
    ] = None,
) -> None:
    """Validate a spec and its data, without training.

    Shows the layers, the nodes of the graph, the memory needed and the fingerprint.

    Example: train check configs/hidden_layer.yaml --json
    """
    from trainer.cli.hints import program
    from trainer.data import load_dataset
    from trainer.graph.ops import show_shape
    from trainer.network.build import build_graph
    from trainer.network.memory import check_memory, count_parameters
    from trainer.network.summary import describe_model
    from trainer.spec import load_spec
    from trainer.training import full_batch

    try:
        spec = load_spec(config, set_)
        dataset = load_dataset(spec)
        model = build_graph(spec, dataset.layout)
        memory = check_memory(spec, dataset, model)
    except (SpecError, DataError) as error:
        if not json_:
            raise
        problems = [problem.as_json() for problem in error.problems]
        print(json.dumps({"valid": False, "errors": problems}))
        raise typer.Exit(error.exit_code) from None
    if kernel:
        from trainer.engine.compiled.codegen import kernel_source
        from trainer.training import training_graph

        graph = training_graph(model, spec.sgd)
        rows = full_batch(spec, dataset), spec.evaluation.batch_size
        print(kernel_source(graph, *rows), end="")
        return
    steps = -(-len(dataset.train) // full_batch(spec, dataset))
    if png is not None:
        from trainer.cli.rates import written
        from trainer.report.rates import write_schedule

        written(png, lambda path: write_schedule(spec, steps, path))
    if json_:
        nodes = [
            {"name": n.name, "op": n.op, "inputs": list(n.inputs), "shape": list(n.shape)}
            for n in model
        ]
        found = {"valid": True, "name": spec.name, "spec_sha256": spec.sha256}
        found |= {"parameters": count_parameters(model), "nodes": nodes}
        if plot_schedule:
            from trainer.cli.rates import schedule_points

            found["schedule"] = schedule_points(spec, steps)
        print(json.dumps(found))
        return
    if plot_schedule:
        from trainer.cli.rates import schedule_chart
        from trainer.cli.tables import Output

        output = Output()
        output.show(*schedule_chart(spec, steps, output.width))
        return
    print(describe_model(spec, dataset, model, memory))
    width = max(len(node.name) for node in model)
    print("graph")
    for node in model:
        print(f"  {node.name:<{width}}  {show_shape(node.shape):<12}  {node.formula}")
    print(f"\nspec {spec.sha256}\nThe spec is valid. Next: {program()} {config}")


def schema() -> None:
    """Print the JSON Schema of the spec.

    Editors that know it complete and check specs as they are written.

    Example: train schema > spec.schema.json
    """
    from pydantic import TypeAdapter

    from trainer.spec import Sketch, Spec

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    both = TypeAdapter(Spec | Sketch).json_schema()
    print(json.dumps(document | both, indent=2, ensure_ascii=False))


def ui(
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open MLflow's UI on the recorded runs.

    It listens on 127.0.0.1, for this machine alone.

    Example: train ui --port 5001
    """
    from trainer.cli.ui import serve_ui

    serve_ui(tracking_uri, port)
