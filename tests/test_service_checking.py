"""What a spec that is sent to a service may say, what its mistakes are, and what it will take."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SWEEPS, TINY

from trainer import Profile, load_spec, train
from trainer.errors import DataError, SpecError, TrainerError, UsageError
from trainer.service.checking import Checker
from trainer.service.sending import drop_names, schema_with_uploads
from trainer.service.settings import Settings
from trainer.spec import Spec

ROWS = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (i, i * i % 7, 3 * i) for i in range(40))
SHA256 = hashlib.sha256(ROWS).hexdigest()
SPEC = """name: sent
data:
  source: {source}
  target: y
  split: {{test: 0.25}}
model: {{layers: [{{units: 1}}], loss: squared}}
sgd: {{learning_rate: 0.001, batch_size: 10, epochs: 3}}
"""


@dataclass
class Has:
    """What the users have: runs and uploads, by user."""

    runs: dict[str, set[str]] = field(default_factory=dict)
    files: dict[str, set[str]] = field(default_factory=lambda: {"ada": {SHA256}})

    def run(self, user: str, name: str) -> str | None:
        return next((run for run in self.runs.get(user, ()) if run.startswith(name)), None)

    def upload(self, user: str, sha256: str) -> bool:
        return sha256 in self.files.get(user, ())


@pytest.fixture
def has() -> Has:
    return Has()


@pytest.fixture
def checker(folder: Path, has: Has) -> Checker:
    uploads = folder / "runs" / "uploads"
    uploads.mkdir(parents=True)
    (uploads / SHA256).write_bytes(ROWS)
    data = folder / "data"
    (data / "below").mkdir(parents=True)
    (data / "rows.csv").write_bytes(ROWS)
    (folder / "data2").mkdir()
    (folder / "data2" / "secret.csv").write_bytes(ROWS)
    os.symlink(folder / "data2" / "secret.csv", data / "link.csv")
    os.symlink(folder / "data2", data / "linked")
    return Checker(Settings(runs=folder / "runs", data_folder=data), has, lambda: None)


def refusal(checker: Checker, text: str, user: str = "ada") -> str:
    with pytest.raises(TrainerError) as caught:
        checker.check(text, user)
    return str(caught.value)


# What may be named ------------------------------------------------------------------------------

UPLOAD = f"{{upload: '{SHA256}', as: csv}}"


@pytest.mark.parametrize("source", [
    UPLOAD, f"{{upload: '{SHA256}', as: csv, delimiter: ','}}",
    f"{{csv: {{upload: '{SHA256}'}}}}", f"{{csv: [{{upload: '{SHA256}', as: csv}}]}}",
    "{csv: rows.csv}", "{csv: 'r*.csv'}",
])  # fmt: skip
def test_what_a_spec_may_name(checker: Checker, source: str) -> None:
    found = checker.check(SPEC.format(source=source), "ada")
    assert (found.kind, found.name, found.cost.steps, found.epochs) == ("train", "sent", 9, 3)
    again = Spec.from_resolved(found.resolved, file=found.file)
    assert checker._shelf.prepare(again).dataset.sha256


@pytest.mark.parametrize("source", [
    "{csv: /etc/passwd}", "{csv: ../data2/secret.csv}", "{csv: below/../../data2/secret.csv}",
    "{csv: link.csv}", "{csv: linked/secret.csv}", "{csv: 'link*'}", "{csv: '/etc/*'}",
    "{csv: '../**/*.csv'}", "{csv: [rows.csv, ../data2/secret.csv]}", "{jsonl: /dev/zero}",
    "{npz: /proc/self/environ}", "{csv: '~/x.csv'}", "{csv: 'file:///etc/passwd'}",
    "{csv: http://localhost/x.csv}", f"{{csv: '../runs/uploads/{SHA256}'}}",
])  # fmt: skip
def test_what_a_spec_may_not_name(checker: Checker, source: str, folder: Path) -> None:
    """Paths outside, links, addresses; and nothing of them is told but what was written."""
    told = refusal(checker, SPEC.format(source=source))
    assert "none that the service may read" in told
    assert str(folder) not in told


@pytest.mark.parametrize(("key", "value"), [
    ("validation", "../data2/secret.csv"), ("test", "/etc/passwd"), ("validation", "link.csv"),
])  # fmt: skip
def test_the_other_files_of_a_spec(checker: Checker, key: str, value: str) -> None:
    text = SPEC.format(source="{csv: rows.csv}").replace("split: {test: 0.25}", f"{key}: {value}")
    assert "none that the service may read" in refusal(checker, text)


@pytest.mark.parametrize("where", ["", "other: 1\n"])
def test_a_spec_of_uploads_names_no_file_beside(checker: Checker, where: str) -> None:
    text = SPEC.format(source=UPLOAD).replace("split: {test: 0.25}", "validation: rows.csv")
    assert "none that the service may read" in refusal(checker, text)


def test_a_file_is_for_who_has_sent_it(checker: Checker, has: Has) -> None:
    """Who merely knows the hash is told no more than of a file that is not there."""
    text = SPEC.format(source=UPLOAD)
    other = refusal(checker, text, "eve")
    assert "you have sent no such file" in other
    assert "columns" not in other
    has.files["eve"] = {SHA256}
    assert checker.check(text, "eve").fingerprint == checker.check(text, "ada").fingerprint


def test_runs_of_others_are_none(checker: Checker, has: Has) -> None:
    has.runs = {"ada": {"f" * 32}}
    text = SPEC.format(source=UPLOAD).replace("model: {", "model: {init_from: {run: ffffff}, ")
    assert "no job of yours" in refusal(checker, text, "eve") or "no such" in refusal(
        checker, text, "eve"
    )
    found = checker.check(text, "ada")
    assert found.resolved["model"]["init_from"]["run"] == "f" * 32


@pytest.mark.parametrize(("added", "says"), [
    ("tracking: {uri: 'http://elsewhere:5000'}\n", "its own store"),
    ("tracking: {uri: 'sqlite:////tmp/x.db'}\n", "its own store"),
])  # fmt: skip
def test_another_store_is_refused(checker: Checker, added: str, says: str) -> None:
    assert says in refusal(checker, SPEC.format(source=UPLOAD) + added)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps_have_their_spec_with_them(checker: Checker, path: Path) -> None:
    """A file beside a sweep is not looked for; with its values in place the sweep is taken."""
    text = path.read_text()
    values = yaml.safe_load(text)
    if "spec" not in values:
        assert checker.check(text, "ada").kind == "sweep"
        return
    assert "no file beside the sweep" in refusal(checker, text)


SWEEP = (
    SPEC
    + """space: {{{space}}}
search: {{method: grid}}
objective: train_loss
"""
)


@pytest.mark.parametrize("space", [
    "data.source: {values: [{csv: /etc/passwd}]}", "data.source.csv: {values: [/etc/passwd]}",
    "data: {values: [{source: {csv: /etc/passwd}, target: y}]}",
    "data.validation: {values: [/etc/passwd]}", "model.init_from: {values: [{file: /etc/passwd}]}",
    "model.init_from.run: {values: [ffffff]}",
])  # fmt: skip
def test_trials_name_no_files_of_their_own(checker: Checker, space: str) -> None:
    told = refusal(checker, SWEEP.format(source=UPLOAD, space=space))
    assert "root:" not in told
    assert "one source of data" in told or "space" in told
    fine = SWEEP.format(source=UPLOAD, space="sgd.learning_rate: {values: [0.001, 0.002]}")
    assert checker.check(fine, "ada").cost.steps == 18


# Mistakes ---------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_their_places(checker: Checker) -> None:
    text = SPEC.format(source="{upload: '12', as: csvv}").replace("epochs: 3", "epochs: 3, x: 1")
    with pytest.raises(SpecError) as caught:
        checker.check(text, "ada")
    found = [(p.line, p.column, p.path) for p in caught.value.problems]
    assert found == [
        (3, 20, "data.source.upload"), (3, 26, "data.source.as"), (7, 56, "sgd.x"),
    ]  # fmt: skip


def test_mistakes_of_data_name_no_folder_of_the_machine(checker: Checker, folder: Path) -> None:
    with pytest.raises((DataError, SpecError)) as caught:
        checker.check(SPEC.format(source=UPLOAD).replace("target: y", "target: z"), "ada")
    assert "the columns are a, b, y" in str(caught.value)
    assert str(folder) not in str(caught.value)


@pytest.mark.parametrize(("kind", "options", "says"), [
    ("sweep", {}, "declares one run"), ("train", {"folds": 3}, "belongs to a cross-validation"),
])  # fmt: skip
def test_options_that_do_not_fit(
    checker: Checker, kind: Any, options: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        checker.check(SPEC.format(source=UPLOAD), "ada", kind, options)


def test_a_graph_without_data_is_no_job(checker: Checker) -> None:
    text = "name: g\nmodel: {inputs: {a: 1.0}, equations: {b: a + a}, output: b}\n"
    assert "cannot be trained" in refusal(checker, text)


# What it takes ----------------------------------------------------------------------------------


def test_what_a_spec_takes(checker: Checker) -> None:
    text = (ROOT / "configs" / "hidden_layer.yaml").read_text()
    found = checker.check(text, "ada")
    assert (found.cost.steps, found.epochs) == (550, 50)
    assert [row["parameters"] for row in found.layers] == ["", "496", "17"]
    folds = checker.check(text, "ada", "crossval", {"folds": 4})
    assert (folds.cost.steps, folds.epochs, folds.options) == (4 * 550, 4, {"folds": 4})


def test_json_is_a_spec_too(checker: Checker) -> None:
    import json

    assert checker.check(json.dumps(TINY), "ada").cost.steps == 6


def test_what_was_trained_before_is_known_to_who_has_it(
    checker: Checker, has: Has, folder: Path
) -> None:
    text = yaml.safe_dump(TINY)
    Path("spec.yaml").write_text(text)
    assert checker.check(text, "ada").known is None
    run = train(load_spec("spec.yaml"), profile=Profile(runs=folder / "runs", record=False))
    assert run.id is not None
    assert checker.check(text, "ada").known is None
    has.runs = {"ada": {run.id}}
    assert checker.check(text, "ada").known == run.id
    assert checker.check(text, "eve").known is None


def test_large_data_are_left_to_a_worker(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.service.checking.CHECK_BYTES", 100)
    found = checker.check(SPEC.format(source=UPLOAD), "ada")
    assert (found.cost.steps, found.fingerprint) == (None, None)
    assert "a worker checks them" in found.notes[0]


# Names and schema -------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [
    ("csv", ".csv"), ("csv.gz", ".csv.gz"), ("tsv", ".tsv"), ("parquet", ".parquet"),
    ("excel", ".xlsx"), ("jsonl.zst", ".jsonl.zst"),
])  # fmt: skip
def test_a_file_is_called_by_its_kind(checker: Checker, kind: str, name: str) -> None:
    """So it is read as such: most of these cannot be, as it is a CSV file."""
    text = SPEC.format(source=f"{{upload: '{SHA256}', as: {kind}}}")
    with suppress(TrainerError):
        checker.check(text, "ada")
    uploads = checker._naming.uploads
    assert [path.name for path in uploads.glob(f"{SHA256}.*")] == [SHA256 + name]
    drop_names(uploads, SHA256)
    assert [path.name for path in uploads.iterdir()] == [SHA256]


def test_the_schema_has_uploads() -> None:
    from pydantic import TypeAdapter

    made = schema_with_uploads(TypeAdapter(Spec).json_schema())
    data = made["$defs"]["DataSpec"]["properties"]
    for key in ("source", "validation", "test"):
        assert {"$ref": "#/$defs/Upload"} in data[key]["anyOf"]
