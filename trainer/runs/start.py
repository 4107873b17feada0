"""The first values of parameters, where a spec takes them from a trained model (`init_from`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trainer.checkpoints.arrays import load_arrays, read_arrays
from trainer.errors import SpecError, UsageError
from trainer.graph import Graph
from trainer.graph.ops import Array, show_shape
from trainer.inputs import open_regular, remark_on
from trainer.network.fingerprint import parameters_sha256
from trainer.report.recorded import doubts
from trainer.runs.finding import PARAMETERS, find_run
from trainer.runs.profile import Profile
from trainer.spec.layers import InitFrom
from trainer.spec.messages import near
from trainer.spec.schema import Spec


def first_values(
    spec: Spec, model: Graph, profile: Profile, here: Spec | None = None
) -> tuple[Spec, dict[str, Array]]:
    """The spec with the whole id of the run and the hash of its parameters, and the values of
    those that the model takes from it, by name. `here` names the file as this machine has it.

    So the resolved spec says exactly where a training began, however the run was named. Raises
    `SpecError` where parameters are missing or have another shape or hash, `UsageError` where
    there is no such run, and `TrackingError`.
    """
    start = spec.model.init_from
    if start is None:
        return spec, {}
    run, found = _from_file(here or spec) if start.file else _from_run(spec, start, profile)
    sha256 = parameters_sha256(found)
    if start.sha256 not in (None, sha256):
        message = f"the parameters of {_named(start)} have another hash: {sha256}"
        problem = spec.problem(
            ("model", "init_from", "sha256"), message, "choose that run again", code="TR-R012"
        )
        raise SpecError(problem)
    values = _chosen(spec, start, model, found)
    pinned = {"model.init_from.run": run, "model.init_from.sha256": sha256}
    return spec.changed(pinned), values


def _named(start: InitFrom) -> str:
    return f"'{start.file}'" if start.file else f"the run {start.run}"


def _from_run(spec: Spec, start: InitFrom, profile: Profile) -> tuple[str, dict[str, Array]]:
    assert start.run is not None
    run = find_run(start.run, profile, spec)
    try:
        doubts(run.id[:8], run.status, run.tags)
    except UsageError as error:
        raise SpecError(
            spec.problem(("model", "init_from", "run"), error.message, code="TR-R012")
        ) from None
    files = run.files([PARAMETERS])
    if PARAMETERS not in files:
        message = f"the run {run.id[:8]} ({run.status}) has no parameters"
        raise SpecError(
            spec.problem(
                ("model", "init_from", "run"), message, "choose a finished run", code="TR-R012"
            )
        )
    return run.id, read_arrays(run.place / PARAMETERS, files[PARAMETERS])


def _from_file(spec: Spec) -> tuple[None, dict[str, Array]]:
    start = spec.model.init_from
    assert start is not None
    assert start.file is not None
    path = Path(spec.file).parent / start.file if spec.file else Path(start.file)
    try:
        with open_regular(path) as file:
            arrays = load_arrays(file.read())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no safetensors file"
        remark = None
        if isinstance(error, FileNotFoundError):
            remark = remark_on(start.file, "--set model.init_from.file")
        message, hint = remark or (
            f"'{path}' cannot be read: {reason}",
            "train export RUN --to safetensors writes such a file",
        )
        raise SpecError(
            spec.problem(("model", "init_from", "file"), message, hint, code="TR-R012")
        ) from None
    # what an exported model holds besides stands under x/ and y/
    return None, {n: array for n, array in arrays.items() if not n.startswith(("x/", "y/"))}


def _chosen(
    spec: Spec, start: InitFrom, model: Graph, found: Mapping[str, Array]
) -> dict[str, Array]:
    """The values of the model's parameters, or of those of the layers that are named."""
    problems, values, known = [], {}, {node.name.partition("/")[0] for node in model.learned}
    for i, layer in enumerate(start.layers or ()):
        if layer not in known:
            message = f"no layer with parameters is called '{layer}'"
            hint = near(layer, known) or f"they are {', '.join(sorted(known))}"
            problems.append(
                spec.problem(("model", "init_from", "layers", i), message, hint, code="TR-R012")
            )
    for node in model.learned:
        if start.layers is not None and node.name.partition("/")[0] not in start.layers:
            continue
        value = found.get(node.name)
        if value is None or value.shape != node.shape or not _is_real(value):
            has = "nothing" if value is None else f"an array of {show_shape(value.shape)}"
            if value is not None and not _is_real(value):
                has = f"{value.dtype}, or numbers that are not finite"
            message = (
                f"expected '{node.name}' of {show_shape(node.shape)}, {_named(start)} has {has}"
            )
            hint = "name the layers that are alike: `layers: […]`"
            problems.append(spec.problem(("model", "init_from"), message, hint, code="TR-R012"))
            continue
        values[node.name] = value.astype(node.dtype)
    if problems:
        raise SpecError(problems)
    return values


def _is_real(value: Array) -> bool:
    """Whether a training can begin with these numbers."""
    return value.dtype.kind == "f" and bool(np.isfinite(value).all())
