"""The command line as a user meets it: output, JSON, exit codes, and no traceback."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import APART, ROOT, Train

from trainer.data.reading import sources

COMMANDS = [
    "run", "init", "crossval", "sweep", "resume", "reproduce", "sync", "list", "compare", "predict",
    "evaluate", "importance", "promote", "export", "serve", "explain", "gradcheck", "check",
    "schema", "ui", "doctor", "help", "submit", "jobs", "watch", "pause", "cancel", "upload",
    "service", "token",
]  # fmt: skip


def shell(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Starts `train …` as a process of its own."""
    command = [*APART, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


# Training ---------------------------------------------------------------------------------------


def test_train_shows_progress_a_table_and_what_comes_next(train, store, write_spec) -> None:
    code, out, err = train(write_spec({"sgd.epochs": 20}))
    assert code == 0
    assert err.splitlines()[0] == "tiny: 13 parameters, 4 training rows, 20 epochs of 2 steps"
    lines = err.splitlines()[1:]
    assert [line[:11] for line in lines] == [f"epoch {i:>2}/20" for i in range(2, 21, 2)]
    assert all("loss" in line and "|grad|" in line and "examples/s" in line for line in lines)
    shown = out.splitlines()
    assert shown[1].split() == ["train"]
    assert shown[2].startswith("loss")
    assert shown[3].startswith("accuracy")
    assert "note: no split: every row trains" in out
    assert "FINISHED in " in out
    assert "in experiment 'tiny', runs/mlflow.db" in out
    assert shown[-1] == "next: train ui"


def test_train_and_train_run_are_the_same(train, store, write_spec) -> None:
    path = write_spec()
    _, first, _ = train(path, "--json")
    _, second, _ = train("run", path, "--json", "--again")
    assert json.loads(first)["parameters_sha256"] == json.loads(second)["parameters_sha256"]


def test_train_json(train, store, write_spec) -> None:
    code, out, err = train(write_spec(), "--json", "--set", "sgd.epochs=2", "--name", "mine")
    assert (code, err, out.count("\n")) == (0, "", 1)
    result = json.loads(out)
    assert list(result) == [
        "id", "run_id", "experiment", "tracking_uri", "status", "known", "epochs", "steps",
        "metrics", "parameters_sha256", "spec_sha256", "data_sha256", "findings", "seconds",
    ]  # fmt: skip
    assert (result["status"], result["epochs"], result["steps"]) == ("FINISHED", 2, 4)
    assert (result["experiment"], result["tracking_uri"]) == ("tiny", store)
    assert sorted(result["metrics"]) == [
        "grad_norm",
        "learning_rate",
        "train_accuracy",
        "train_loss",
        "trivial_train_accuracy",
        "trivial_train_loss",
    ]
    from mlflow import MlflowClient

    run = MlflowClient(store).get_run(result["run_id"])
    assert run.info.run_name == "mine"
    assert (run.data.tags["trainer.run"], result["known"]) == (result["id"], False)
    assert run.data.params["sgd/epochs"] == "2"


def test_quiet_prints_nothing(train, store, write_spec) -> None:
    assert train(write_spec(), "--quiet") == (0, "", "")


def test_a_terminal_gets_a_live_bar(train, store, write_spec, monkeypatch) -> None:
    """Under a pseudo-terminal the bar shows epoch, loss, gradient norm, speed and time left."""
    path = write_spec({"sgd.epochs": 600})
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the other side is closed
            while data := os.read(master, 4096):
                seen.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with open(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        assert train(path)[0] == 0
    reader.join()
    os.close(master)
    text = b"".join(seen).decode(errors="replace")
    assert "/600" in text
    for part in ("epoch", "loss", "|grad|", "examples/s", "0:00:"):
        assert part in text


# Errors and exit codes --------------------------------------------------------------------------

FIVE = """\
name: five
data:
  source: breast_cancr
  standardise: true
model:
  layers:
    - {units: 16, activation: sigmod}
    - {units: 1}
  loss: logistic
sgd:
  learning_rate: "0.1"
  epochs: 1.5
"""


def test_five_mistakes_print_five_errors(train, folder: Path) -> None:
    (folder / "five.yaml").write_text(FIVE)
    code, out, err = train("five.yaml")
    assert (code, out) == (2, "")
    assert (
        err
        == """\
train: the spec has 5 problems
five.yaml:3:11: data.source: expected a bundled data set, found the text 'breast_cancr' [TR-S015]
    3 |   source: breast_cancr
      |           ^^^^^^^^^^^^
      hint: did you mean 'breast_cancer'?
five.yaml:4:3: data.standardise: unknown key [TR-S011]
    4 |   standardise: true
      |   ^^^^^^^^^^^
      hint: did you mean 'standardize'?
five.yaml:7:31: model.layers[0].activation: expected an activation, found the text 'sigmod' \
[TR-S015]
    7 |     - {units: 16, activation: sigmod}
      |                               ^^^^^^
      hint: did you mean 'sigmoid'?
five.yaml:11:18: sgd.learning_rate: expected a number, found the text '0.1' [TR-S013]
   11 |   learning_rate: "0.1"
      |                  ^^^^^
      hint: write 0.1 without quotes
five.yaml:12:11: sgd.epochs: expected a whole number, found the number 1.5 [TR-S013]
   12 |   epochs: 1.5
      |           ^^^
"""
    )


EXIT_CODES = [
    # arguments after the spec, changes of the spec, exit code, a part of the message
    ([], {"sgd.momentum": 2}, 2, "sgd.momentum: expected a number below 1, found the number 2"),
    (["--set", "sgd.epochs"], {}, 2, "--set sgd.epochs: expected key=value"),
    (["--set", "sgd.epoch=3"], {}, 2, "did you mean 'epochs'?"),
    ([], {"data.source": {"csv": "gone.csv"}, "data.target": "y"}, 3,
     "there is no file 'gone.csv'"),
    ([], {"data.source": "diabetes", "data.target": "bmi"}, 3, "holds numbers such as 32.1"),
    ([], {"model.loss": "squared", "sgd.learning_rate": 1e10, "sgd.epochs": 60}, 4,
     "the parameters ran away"),
    (["--tracking-uri", "http://127.0.0.1:1"], {}, 5, "no MLflow server at http://127.0.0.1:1"),
    (["--no-such-option"], {}, 2, "No such option: --no-such-option"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long for a store that does not answer."""
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 0.3)


@pytest.mark.parametrize(("arguments", "changes", "code", "message"), EXIT_CODES)
def test_exit_codes(train, store, write_spec, arguments, changes, code, message) -> None:
    path = write_spec(changes)
    found, out, err = train(path.name, *arguments)
    assert found == code
    assert bool(out) == (code in (4, 5)), "what was trained is shown"
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("arguments", "changes", "code", "message"), EXIT_CODES[:7])
def test_errors_as_json(train, store, write_spec, arguments, changes, code, message) -> None:
    path = write_spec(changes)
    found, out, _ = train(path.name, "--json", *arguments)
    result = json.loads(out.splitlines()[-1])
    assert found == code
    if code in (4, 5):  # what was trained
        assert result["status"] in {4: ["DIVERGED"], 5: ["FINISHED", "KILLED"]}[code]
        assert (result["run_id"] is None) == (code == 5)
    else:
        assert result["exit_code"] == code
        assert result["error"] == {2: result["error"], 3: "data"}[code]


def test_a_signal_ends_the_run_between_two_steps(store, write_spec) -> None:
    """Also before the recorder knows of the run; test_recorder.py has signals after that."""
    process = shell(write_spec({"sgd.epochs": 10**7}))
    assert process.stderr is not None
    process.stderr.readline()  # the line before the first step
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "train: interrupted after " in err
    assert "Traceback" not in err + out


# Checking ---------------------------------------------------------------------------------------


def test_check_json(train, folder: Path, write_spec) -> None:
    code, out, err = train("check", write_spec(), "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    result = json.loads(out)
    assert list(result) == ["valid", "name", "spec_sha256", "parameters", "nodes"]
    assert (result["valid"], result["name"], result["parameters"]) == (True, "tiny", 13)
    assert result["nodes"][2:4] == [
        {"name": "dense_1/W", "op": "parameter", "inputs": [], "shape": [2, 3]},
        {
            "name": "dense_1/product",
            "op": "matmul",
            "inputs": ["x", "dense_1/W"],
            "shape": ["B", 3],
        },
    ]


def test_check_json_of_a_spec_with_mistakes(train, folder: Path) -> None:
    (folder / "five.yaml").write_text(FIVE)
    code, out, err = train("check", "five.yaml", "--json")
    result = json.loads(out)
    assert (code, err, result["valid"], len(result["errors"])) == (2, "", False, 5)
    assert result["errors"][1] == {
        "file": "five.yaml", "line": 4, "column": 3, "path": "data.standardise",
        "code": "TR-S011", "message": "unknown key", "hint": "did you mean 'standardize'?",
    }  # fmt: skip


def test_check_json_of_data_with_mistakes(train, write_spec) -> None:
    path = write_spec({"data.source": {"csv": "gone.csv"}, "data.target": "y"})
    code, out, _ = train("check", path.name, "--json")
    result = json.loads(out)
    assert (code, result["valid"]) == (3, False)
    error = result["errors"][0]
    assert (error["file"], error["path"]) == ("spec.yaml", "data.source.csv")
    assert error["message"] == "there is no file 'gone.csv'"


def test_check_shows_layers_nodes_memory_and_fingerprint(train, write_spec) -> None:
    path = write_spec()
    code, out, _ = train("check", path)
    assert code == 0
    assert "dense_1  tanh        (B, 3)           9" in out
    assert "  dense_1          (B, 3)        tanh(dense_1/sum)" in out
    assert "memory  about" in out
    from trainer import load_spec

    assert f"spec {load_spec(path).sha256}" in out
    assert not (path.parent / "runs").exists()


@pytest.mark.parametrize(
    ("words", "large"),
    [
        (
            ["check", str(ROOT / "configs/hidden_layer.yaml")],
            ["mlflow", "pandas", "sklearn", "scipy"],
        ),
        (["help", "TR-D001"], ["numpy", "trainer.cli.training"]),
        (["predict", "--help"], ["numpy", "trainer.cli.training"]),
        (["--version"], ["numpy", "trainer.cli.training"]),
    ],
)
def test_a_command_imports_nothing_large_that_it_does_not_need(
    words: list[str], large: list[str], folder: Path
) -> None:
    """Of the other commands nothing is loaded, nor what a command would call."""
    code = (
        "import sys\nfrom trainer.cli import main\n"
        f"try:\n    main({words!r})\n"
        f"finally:\n    print([m for m in {large!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]"


def test_large_files_are_told_of_before_they_are_read(
    train: Train, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line of their own, which comes before anything else."""
    Path("t.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    assert train("init", "t.csv", "--target", "y")[0] == 0
    commands = [("t.yaml",), ("t.yaml", "--again", "--set", "data.stream=true"),
                ("check", "t.yaml"), ("check", "t.yaml", "--data"),
                ("check", "t.yaml", "--json"), ("t.yaml", "--again", "--quiet")]  # fmt: skip
    told = {}
    for size in (10**6, 100):
        monkeypatch.setattr(sources, "LARGE", size)
        told[size] = [train(*each)[2].partition("\n")[0] for each in commands]
    assert not any(line.startswith("reading") for line in told[10**6])
    silent = ["", ""]
    assert told[100] == ["reading t.csv, 0 MB"] * 4 + silent


def test_what_to_type_next_is_what_a_shell_takes(train: Train, folder: Path) -> None:
    table = Path("my table.csv")
    table.write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    _, out, _ = train("init", table, "--target", "y", "--out", "a b.yaml")
    assert out.splitlines()[-1].endswith(" 'a b.yaml'")
    _, out, _ = train("check", "a b.yaml")
    assert out.splitlines()[-1].endswith(" 'a b.yaml'")


def test_a_batch_larger_than_the_rows_is_told_at_its_place(train, write_spec) -> None:
    path = write_spec({"sgd.batch_size": 5})
    code, _, err = train("check", path.name)
    assert code == 2
    assert "sgd.batch_size: a batch of 5 rows is larger than the 4 training rows" in err


# Help and schema --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(train, command: str) -> None:
    code, out, _ = train(command, "--help")
    assert code == 0
    assert f"Example: train {command}" in out


def test_the_list_of_commands_is_complete(train) -> None:
    code, out, _ = train("--help")
    listed = re.findall(r"^  (\w+)  +\S", out.partition("Commands:")[2], re.MULTILINE)
    assert code == 0
    assert listed == COMMANDS
    assert "Exit codes: 0 done, 2 spec or usage, 3 data, 4 diverged, 5 tracking, 6" in out


def test_version(train) -> None:
    code, out, _ = train("--version")
    assert (code, out.split()[0]) == (0, "train")


def test_schema_of_sweeps_is_the_one_in_docs(train) -> None:
    """Renew it with `train schema --sweep > docs/sweep.schema.json`."""
    code, out, _ = train("schema", "--sweep")
    assert code == 0
    assert out == (ROOT / "docs" / "sweep.schema.json").read_text()
    schema = json.loads(out)
    assert schema["$defs"]["HalvingSpec"]["properties"]["from"]["description"]
    sweep = schema["$defs"]["SweepSpec"]["properties"]
    assert all("description" in value for value in sweep.values())


def test_schema_is_the_one_in_docs(train) -> None:
    """Editors read docs/spec.schema.json; renew it with `train schema > docs/spec.schema.json`."""
    code, out, _ = train("schema")
    assert code == 0
    assert out == (ROOT / "docs" / "spec.schema.json").read_text()
    schema = json.loads(out)
    layer = schema["$defs"]["DenseLayer"]["properties"]
    assert "gelu" in layer["activation"]["enum"]
    assert all("description" in value for value in layer.values())
