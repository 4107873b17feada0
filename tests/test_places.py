"""Commands from any folder: where runs are found, and where the data of a run are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Train, WriteSpec

from trainer import Profile, load_spec, resume
from trainer import train as begin
from trainer.cli.completing import run_names, spec_files
from trainer.cli.places import kept_runs
from trainer.runs.facts import spec_place

ROWS = "a,y\n" + "".join(f"{i},{2 * i}\n" for i in range(12))


@pytest.fixture
def project(folder: Path, write_spec: WriteSpec) -> Path:
    """A folder with a spec, its data beside it, and a run that no store knows of."""
    (folder / "project").mkdir()
    os.chdir(folder / "project")
    Path("rows.csv").write_text(ROWS)
    spec = write_spec({
        "data": {"source": {"csv": "rows.csv"}, "target": "y", "split": {"test": 0.25}},
        "model.layers": [{"units": 1}], "model.loss": "squared", "sgd.learning_rate": 0.001,
    }, "project/spec.yaml")  # fmt: skip
    begin(load_spec(os.path.relpath(spec)), profile=Profile(record=False))
    return folder / "project"


@pytest.mark.parametrize("arguments", [
    ["predict", "tiny", "--data", "{}/rows.csv"], ["evaluate", "last", "--data", "{}/rows.csv"],
    ["export", "tiny", "--to", "safetensors"], ["explain", "--run", "tiny"],
    ["gradcheck", "--run", "tiny"], ["importance", "tiny", "--no-track"],
])  # fmt: skip
@pytest.mark.parametrize("where", ["below", "elsewhere"])
def test_a_run_is_used_from_any_folder(
    arguments: list[str], where: str, project: Path, train: Train
) -> None:
    """Below the folder with its runs as in it; elsewhere with `--runs`."""
    there = project / "a" / "b" if where == "below" else project.parent / "elsewhere"
    there.mkdir(parents=True)
    os.chdir(there)
    options = ["--runs", project / "runs"] if where == "elsewhere" else []
    code, out, err = train(*(text.format(project) for text in arguments), *options)
    assert (code, err) == (0, "")
    assert out
    if arguments[0] == "export":
        assert "checked with safetensors on 3 test rows" in out  # so the data were found


def test_going_on_from_another_folder(project: Path) -> None:
    os.chdir(project.parent)
    profile = Profile(runs=Path("project/runs"), record=False)
    assert resume("tiny", changes={"sgd.epochs": 5}, profile=profile).epochs == 5


def test_runs_are_looked_for_upwards(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a folder of another user, and an own one that is empty does not count."""
    assert kept_runs() == Path("runs")
    (project / "below" / "runs").mkdir(parents=True)
    os.chdir(project / "below")
    assert kept_runs() == project / "runs"
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert kept_runs() == Path("runs")


def test_where_a_spec_is_looked_for(folder: Path) -> None:
    here = str(folder / "configs" / "s.yaml")
    (folder / "configs").mkdir()
    assert spec_place(here, "configs/s.yaml") == here
    shutil.rmtree(folder / "configs")
    assert spec_place(here, "configs/s.yaml") == "configs/s.yaml"
    assert spec_place(here, here) == "s.yaml"
    assert spec_place(None, None) is None


# Words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "said"), [
    ("trian", "did you mean `train CONFIG`?"), ("complare", "did you mean `train compare`?"),
    ("spec", "did you mean `train spec.yaml`?"), ("qqq", "the commands are run, init, "),
    ("spec.yml", "spec.yml: no such file [TR-S001]\n      hint: did you mean 'spec.yaml'?"),
])  # fmt: skip
def test_a_word_that_is_no_command(
    word: str, said: str, train: Train, write_spec: WriteSpec
) -> None:
    write_spec()
    code, _, err = train(word)
    assert code == 2
    assert said in err


@pytest.mark.parametrize("command", [[], ["check"]])
def test_short_help(command: list[str], train: Train) -> None:
    assert train(*command, "-h") == train(*command, "--help")


def test_what_is_completed(folder: Path) -> None:
    """Names that a shell would take apart are left to the ids."""
    for name in ("a.yaml", "b.yml", "c.txt", "configs/d.yaml", ".hid/e.yaml", "configs/f/g.yaml"):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).touch()
    assert spec_files("") == ["a.yaml", "b.yml", "configs/d.yaml"]
    assert spec_files("configs/") == ["configs/d.yaml", "configs/f/g.yaml"]
    assert spec_files(".h") == [".hid/e.yaml"]
    assert spec_files("no/such/") == []
    for i, name in enumerate(["old", "two words", "new", "new", "a\x1b"]):
        run = Path("runs", f"{i}abcdef0" + 24 * "0")
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"name": name}))
        os.utime(run / "run.json", (i, i))
    Path("runs/damaged").mkdir()
    Path("runs/damaged/run.json").write_text("{")
    assert run_names("") == ["last", "best", "new", "old"]
    assert run_names("n") == ["new"]
    assert run_names("1a") == ["1abcdef0"]


def test_completion_in_bash(write_spec: WriteSpec, project: Path) -> None:
    """Commands, specs, names of runs and options, by the script that `train` shows."""
    bin_ = Path(sys.executable).parent
    script = """
        eval "$(_TRAIN_COMPLETE=source_bash train)"
        for words in "train comp" "train run s" "train predict t" "train spec.yaml --ag"; do
            COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _train_completion train
            echo "${COMPREPLY[@]}"
        done
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True,
        env=os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["compare", "spec.yaml", "tiny", "--again"]
