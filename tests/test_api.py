"""The package as a library: names, documentation, imports, and which part may know which."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

import trainer
from trainer import Profile, load_spec
from trainer.errors import TrainerError

UNKEPT = Profile(runs=None)

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(trainer.__path__, "trainer.")
    if not module.name.endswith("__main__")
)


def test_public_names() -> None:
    assert sorted(trainer.__all__) == trainer.__all__
    for name in trainer.__all__:
        assert getattr(trainer, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = trainer.nothing


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    shown = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)", page, re.MULTILINE)
    assert sorted(shown) == sorted(trainer.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, name
    for label, thing in vars(module).items():
        if label.startswith("_") or getattr(thing, "__module__", None) != name:
            continue
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert thing.__doc__, f"{name}.{label}"
        for member, function in vars(thing).items() if inspect.isclass(thing) else ():
            if inspect.isfunction(function) and not member.startswith("_"):
                assert function.__doc__, f"{name}.{label}.{member}"


def fresh(code: str) -> Any:
    """What `code` prints in a new process, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_trainer_imports_nothing_heavy() -> None:
    code = "import sys, json, trainer; print(json.dumps(sorted(sys.modules)))"
    loaded = set(fresh(code))
    heavy = {"matplotlib", "mlflow", "numpy", "pandas", "pydantic", "pyarrow", "sklearn", "scipy",
             "typer"}  # fmt: skip
    assert not loaded & heavy


ROOMS = (
    "codes", "addresses", "errors", "extras", "inputs", "numerics", "randomness", "machine",
    "outputs", "stored", "graph", "metrics", "spec", "data", "survey", "drafting", "engine",
    "network", "training", "checkpoints", "explain", "export", "report", "tracking", "runs",
    "doctor", "workers", "sweeps", "service", "client", "cli",
)  # fmt: skip
"""Each room may import those that stand before it."""


def imports_of(path: Path) -> set[str]:
    """All modules that a file imports, wherever the statement stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_imports_point_one_way() -> None:
    package = ROOT / "trainer"
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room.startswith("__"):
            continue
        for name in imports_of(path):
            if name.startswith("trainer."):
                assert ROOMS.index(name.split(".")[1]) <= ROOMS.index(room), f"{path}: {name}"
            assert name.split(".")[0] != "mlflow" or room == "tracking", path
            assert name.split(".")[0] != "typer" or room == "cli", path


def test_errors_form_one_family_with_exit_codes() -> None:
    codes = {"SpecError": 2, "GraphError": 2, "UsageError": 2, "DataError": 3, "DivergedError": 4,
             "TrackingError": 5, "CheckpointError": 6, "DamagedError": 6, "MachineError": 7,
             "ServiceError": 8,
             "NoRoomError": 6, "OtherBitsError": 6,
             "InterruptedRun": 130, "RunError": 1}  # fmt: skip
    import trainer.errors as module

    family = {
        name: thing.exit_code
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and issubclass(thing, TrainerError) and not name.startswith("_")
    }
    assert family == {"TrainerError": 1, **codes}
    assert all(f"{name} " in (module.__doc__ or "") for name in codes)


def test_train_returns_a_run(write_spec) -> None:
    seen: list[Any] = []
    run = trainer.train(load_spec(write_spec()), profile=UNKEPT, listen=seen.append)
    assert (run.id, run.run_id, run.experiment, run.tracking_uri) == (None, None, None, None)
    assert {name: value.shape for name, value in run.parameters.items()} == {
        "dense_1/W": (2, 3), "dense_1/b": (3,), "dense_2/W": (3, 1), "dense_2/b": (1,),
    }  # fmt: skip
    assert run.history["train_loss"].steps.tolist() == [0, 1, 2, 3]
    assert run.history["train_loss_step"].steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert run.metrics["train_loss"] == run.history["train_loss"].values[-1]
    kinds = [type(event).__name__ for event in seen]
    epoch = ["StepsDone", "EpochDone"]
    assert kinds == ["Started", "EpochDone", *3 * epoch, "Ended", "Trained"]
    assert seen[-1].run is run
    json.dumps(run.as_json())


def test_a_spec_made_in_python_trains_too() -> None:
    from conftest import TINY

    run = trainer.train(trainer.Spec.model_validate(TINY), profile=UNKEPT)
    assert np.isfinite(run.metrics["train_loss"])


def test_a_spec_cannot_be_changed(write_spec) -> None:
    from pydantic import ValidationError

    spec = load_spec(write_spec())
    with pytest.raises(ValidationError):
        spec.seed = 1
