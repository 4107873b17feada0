"""What a run leaves in its folder: its start, its numbers, its model, its pictures and page.

What is needed at a run's end is imported there: it would keep the first line of `train` back.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from trainer.checkpoints.bundle import ABOUT, CODE, WEIGHTS
from trainer.checkpoints.disk import check_place, told
from trainer.checkpoints.environment import describe_environment
from trainer.checkpoints.folder import FILES, JOURNAL, MODEL, RunFolder
from trainer.checkpoints.journal import read_journal
from trainer.graph.ops import Array
from trainer.network.model import Model
from trainer.runs.finding import DECISION
from trainer.runs.trace import TRACE, write_trace
from trainer.spec.emit import to_yaml
from trainer.tracking.model import SERVED
from trainer.training import History, Job
from trainer.training.history import thinned

EXPLAINED: Final = 5  # examples on the page
_DRAWING: Final = threading.Lock()  # what draws has one state for the whole process


def leave_start(folder: RunFolder, job: Job, summary: str, git: Mapping[str, str]) -> None:
    """The spec, the environment, the preprocessing and the first parameters. Raises
    `CheckpointError`.
    """
    spec = job.spec
    folder.write(f"{FILES}/config/resolved.yaml", to_yaml(spec.resolved()))
    if spec.text is not None:
        folder.write(f"{FILES}/config/spec.yaml", spec.text)
    environment = describe_environment(job.engine.name) | {"git": git}
    folder.write(f"{FILES}/environment.json", json.dumps(environment, indent=2) + "\n")
    folder.write(f"{FILES}/model_summary.txt", summary)
    how = job.dataset.preprocessing.as_json()
    text = json.dumps(how, ensure_ascii=False, indent=1) + "\n"
    folder.write(f"{FILES}/preprocessing.json", text)
    _write_arrays(folder, "initial.safetensors", job.initial)


def leave_numbers(folder: RunFolder, job: Job, trace: bool = True) -> None:
    """The parameters, what was decided, and with `trace` the record of every step. Raises
    `CheckpointError`.
    """
    _write_arrays(folder, "parameters.safetensors", job.parameters)
    decision = json.dumps(job.decision.as_json(), indent=1)
    folder.write(f"{FILES}/{DECISION}", decision + "\n")
    names = [node.name for node in job.graph.trainable]
    with told(folder.path):
        check_place(folder.files / TRACE)
        if not trace:
            (folder.files / TRACE).unlink(missing_ok=True)
            return
        write_trace(read_journal(folder.path / JOURNAL), names, folder.files / TRACE)
    folder.seal(f"{FILES}/{TRACE}")


def leave_model(folder: RunFolder, job: Job) -> None:
    """The model, whole or not at all. Raises `CheckpointError`."""
    data = job.dataset
    model = Model.from_parts(job.spec, job.parameters, data.preprocessing, job.decision)
    place_model(folder, model, data.sample, job.kept_epoch)


def place_model(folder: RunFolder, model: Model, rows: Array, epoch: int) -> None:
    """The model of an epoch, with the raw `rows` of its example. Raises `CheckpointError`."""
    from trainer.export.bundle import write_bundle

    _place(folder, MODEL, lambda place: write_bundle(model, rows, epoch, SERVED, place))
    for name in (CODE, WEIGHTS, ABOUT):
        folder.seal(f"{MODEL}/{name}")


def leave_pictures(folder: RunFolder, job: Job, history: History) -> None:
    """Pictures, and the page that explains some examples. Raises whatever a picture meets."""
    _place(folder, f"{FILES}/explain", lambda place: _write_page(job, history, place))
    with _DRAWING:
        _place(folder, f"{FILES}/plots", lambda place: _draw(job, history, place))


def _draw(job: Job, history: History, place: Path) -> None:
    from trainer.report.pictures import draw_pictures

    place.mkdir()
    draw_pictures(job, history, place)


def _write_page(job: Job, history: History, place: Path) -> None:
    """The page that explains some examples at the parameters that were learned."""
    from trainer.explain.cases import cases_of_part
    from trainer.explain.page import write_page

    data = job.dataset
    part = data.test or data.validation or data.train
    cases = cases_of_part(job.spec, job.parameters, data.preprocessing, part, EXPLAINED)
    place.mkdir()
    norms = gradient_norms(history)
    write_page([case.explain() for case in cases], place / "graph.html", history=norms)


def gradient_norms(history: History) -> dict[str, Any] | None:
    """The norms of each parameter's gradient by epoch, as the page takes them."""
    norms = {
        name.removeprefix("grad_norm/"): series
        for name, series in history.series().items()
        if name.startswith("grad_norm/")
    }
    if not norms:
        return None
    steps = next(iter(norms.values())).steps
    shown = [number - 1 for number in thinned(len(steps))]
    by_name = {name: series.values[shown].tolist() for name, series in norms.items()}
    return {"epochs": steps[shown].tolist(), "grad_norm": by_name}


def _write_arrays(folder: RunFolder, name: str, arrays: Mapping[str, Array]) -> None:
    from safetensors.numpy import save

    folder.write(f"{FILES}/{name}", save(dict(arrays)))


def _place(folder: RunFolder, name: str, write: Callable[[Path], None]) -> None:
    """Has a folder written beside its place, which it takes whole."""
    with told(folder.path), tempfile.TemporaryDirectory(prefix=".", dir=folder.path) as scratch:
        write(Path(scratch) / "new")
        place = folder.path / name
        shutil.rmtree(place, ignore_errors=True)
        (Path(scratch) / "new").rename(place)
