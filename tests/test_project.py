"""The MLflow project: `mlflow run` trains a config, and the run is MLflow's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT
from mlflow import MlflowClient
from test_docs import BLOCK

from trainer import load_spec
from trainer.checkpoints.folder import folders
from trainer.tracking.names import flatten

FILES = {"MLproject", "python_env.yaml", "configs"}


def shell(page: Path, begin: str) -> str:
    """The commands of the page's block that begins like this."""
    (commands,) = (
        text for kind, text in BLOCK.findall(page.read_text()) if kind == "sh" and begin in text
    )
    return commands


def test_the_documented_commands(store: str, folder: Path) -> None:
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    commands = shell(ROOT / "docs" / "server.md", "# in the folder of the project").strip()
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", f"{commands} -P set=sgd.epochs=2 -P engine=reference"],
        env=os.environ | {"PATH": tools}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    client = MlflowClient(store)
    number = client.get_experiment_by_name("flowers").experiment_id
    (run,) = client.search_runs([number, "0"])
    assert run.info.experiment_id == number
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "iris"
    (path,) = folders(Path("runs"))
    assert f"run {path.name} in runs/mlflow.db\n" in done.stdout
    assert run.data.tags["trainer.run"] == path.name
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    leaves = flatten(load_spec(ROOT / "configs" / "iris.yaml", {"sgd.epochs": 2}).resolved())
    own = {"config": "configs/iris.yaml", "set": "sgd.epochs=2", "engine": "reference"}
    assert run.data.params == leaves | own
    assert {path.name for path in folder.iterdir()} == FILES | {"runs"}
    assert {path.name for path in Path("runs").iterdir()} == {
        "mlflow.db", "artifacts", ".known", path.name,
    }  # fmt: skip


def test_each_target_of_the_makefile_is_there_once() -> None:
    """Those that its first lines name, and that continuous integration makes."""
    text = (ROOT / "Makefile").read_text()
    named = re.findall(r"^# make ([\w-]+)", text, re.MULTILINE)
    made = re.findall(r"^make (?:--\S+ )*(.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    rules = re.findall(r"^([\w-]+):", text, re.MULTILINE)
    assert sorted(rules) == sorted(set(rules))
    assert {*named, *" ".join(made).split()} <= set(rules)
    assert {"train", "test", "test-cpus", "check"} <= {*" ".join(made).split()}
