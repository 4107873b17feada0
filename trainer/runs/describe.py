"""A run's description, in Markdown: what is trained, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trainer.metrics import DEFAULTS
from trainer.spec.layers import LayersSpec
from trainer.training import Ended, Job

HEALTHY: Final = "healthy"
"""What is said of a run without findings."""
NOTE: Final = "- Note: "
"""How a line of the description begins that has a note on the data."""


def describe_run(job: Job, result: Sequence[str] = ()) -> list[str]:
    """The lines of the description. Those of `result` stand first: a page may fold the others."""
    spec, data = job.spec, job.dataset
    sizes = [len(data.features), spec.model.units]
    what = f"{len(getattr(spec.model, 'equations', ()))} equations, "
    if isinstance(spec.model, LayersSpec):
        units = [layer.units for layer in spec.model.layers if hasattr(layer, "units")]
        sizes, what = [sizes[0], *units], "a network of "
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    rows = ", ".join(f"{len(part)} {name}" for name, part in parts.items() if part is not None)
    sgd = f"learning rate {spec.sgd.learning_rate:g}, momentum {spec.sgd.momentum:g}"
    return [
        f"**{spec.name}**: {what}{' → '.join(map(str, sizes))} with {spec.model.loss} loss",
        "",
        *result,
        f"- Data: {data.origin}, target `{data.target}`, rows: {rows}",
        f"- SGD: {sgd}, batches of {job.batch_size}, {spec.sgd.epochs} epochs",
        *(f"{NOTE}{note}" for note in data.notes),
    ]


def describe_result(
    job: Job, metrics: Mapping[str, float], ended: Ended, findings: Sequence[str], run: str
) -> list[str]:
    """What the description says once the run has ended, a line each.

    `metrics` are the last values; `findings` what is wrong, or `HEALTHY`; `run` the id.
    """
    part = "test" if "test_loss" in metrics else "val"
    shown = [
        f"{part} {name} {metrics[f'{part}_{name}']:.5g}"
        for name in ("loss", *DEFAULTS)
        if f"{part}_{name}" in metrics
    ]
    if "best_val_loss" in metrics:
        best, epoch = metrics["best_val_loss"], metrics["best_epoch"]
        shown.append(f"best validation loss {best:.5g} after epoch {epoch:.0f}")
    if not shown and "train_loss" in metrics:
        shown.append(f"train loss {metrics['train_loss']:.5g}")
    how = f"{ended.epoch} of {job.spec.sgd.epochs} epochs"
    if ended.status != "FINISHED":
        how = f"{ended.status.lower()} after {how}"
    lines = [f"- Result: {', '.join([*shown, how])}"]
    lines += [f"- {'Gradients' if text == HEALTHY else 'Finding'}: {text}" for text in findings]
    if ended.status == "FINISHED":
        lines.append(f"- Predict: `train predict {run[:8]} --data rows.csv`")
    if ended.status in ("PAUSED", "KILLED", "FAILED"):
        lines.append(f"- Go on: `train resume {run[:8]}`")
    else:
        lines.append(f"- Reproduce: `train reproduce {run[:8]}`")
    return lines
