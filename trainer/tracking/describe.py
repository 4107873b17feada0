"""A run in the words of MLflow: its parameters, its data and its description."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer.spec.layers import LayersSpec
from trainer.training import Ended, Job

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

MAX_VALUE: Final = 500  # characters of a parameter; MLflow's tables show fewer


def flatten(value: Any, path: str = "") -> dict[str, str]:
    """Nested values as MLflow parameters, one a leaf: `model/layers/0/units`.

    A list of plain values is one leaf, and so are inline rows; long values are shortened.
    """
    if isinstance(value, dict):
        items = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        items = [(str(i), child) for i, child in enumerate(value)]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > MAX_VALUE:
            text = f"{text[: MAX_VALUE - 30]}… ({len(text)} characters)"
        return {path: text}
    flat: dict[str, str] = {}
    for key, child in items:
        flat |= flatten(child, f"{path}/{key}" if path else key)
    return flat


def dataset_inputs(job: Job) -> list[DatasetInput]:
    """The parts of the data, with the digest of the whole, as MLflow's dataset inputs.

    Each part has a name of its own, since MLflow takes a data set once a run.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = job.dataset
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return [
        DatasetInput(
            Dataset(
                name=f"{Path(dataset.origin).name}/{context}",
                digest=dataset.sha256[:36],
                source_type="local",
                source=json.dumps({"uri": dataset.origin}),
                profile=json.dumps({"rows": len(part), "features": len(dataset.features)}),
            ),
            [InputTag("mlflow.data.context", context)],
        )
        for context, part in parts.items()
        if part is not None
    ]


def describe_run(job: Job, notes: Sequence[str], result: Sequence[str] = ()) -> str:
    """The run's description in the UI, in Markdown.

    The lines of `result` stand first: the UI folds all but the first lines.
    """
    spec, data = job.spec, job.dataset
    sizes = [len(data.features), spec.model.units]
    what = f"{len(getattr(spec.model, 'equations', ()))} equations, "
    if isinstance(spec.model, LayersSpec):
        units = [layer.units for layer in spec.model.layers if hasattr(layer, "units")]
        sizes, what = [sizes[0], *units], "a network of "
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    rows = ", ".join(f"{len(part)} {name}" for name, part in parts.items() if part is not None)
    sgd = f"learning rate {spec.sgd.learning_rate:g}, momentum {spec.sgd.momentum:g}"
    lines = [
        f"**{spec.name}**: {what}{' → '.join(map(str, sizes))} with {spec.model.loss} loss",
        "",
        *result,
        f"- Data: {data.origin}, target `{data.target}`, rows: {rows}",
        f"- SGD: {sgd}, batches of {job.batch_size}, {spec.sgd.epochs} epochs",
        *(f"- Note: {note}" for note in notes),
    ]
    return "\n".join(lines)


def describe_result(
    job: Job, metrics: Mapping[str, float], ended: Ended, findings: Sequence[str], run_id: str
) -> list[str]:
    """What the description says besides, once the run has ended, a line each.

    `metrics` are the last values; `findings` what is to be said of the gradients.
    """
    shown = [
        f"{name.replace('_', ' ')} {metrics[name]:.5g}"
        for name in ("test_loss", "test_accuracy", "test_r2", "val_loss", "val_accuracy", "val_r2")
        if name in metrics and (name.startswith("test") or "test_loss" not in metrics)
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
    lines += [f"- Gradients: {text}" for text in findings]
    short = run_id[:8]
    if ended.status == "FINISHED":
        lines.append(f"- Predict: `train predict {short} --data rows.csv`")
    if ended.status != "KILLED":
        lines.append(f"- Reproduce: `train reproduce {short}`")
    return lines
