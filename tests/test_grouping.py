"""Rare categories become one: which, what it is called, and what becomes of those never seen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from trainer import Profile, train
from trainer.data import Dataset, Preprocessing, load_dataset
from trainer.data.preparing.fit_categories import Limits
from trainer.errors import SpecError
from trainer.export.onnx import answer_onnx, write_onnx
from trainer.export.program import write_program
from trainer.network.model import Model
from trainer.spec import Spec, load_spec

SPEC = """\
name: groups
seed: 1
data:
  source: {csv: data.csv}
  target: y
model:
  layers: [{units: 1}]
  loss: squared
sgd: {learning_rate: 0.001, batch_size: 4, epochs: 2}
"""
CELLS = ["b"] * 5 + ["a"] * 4 + ["d"] * 3 + ["c"] * 3 + ["e", "f"]


def load(folder: Path, cells: Sequence[str], *changes: str) -> tuple[Spec, Dataset]:
    rows = "".join(f"{cell},{i},{i % 3}\n" for i, cell in enumerate(cells))
    (folder / "data.csv").write_text("c,n,y\n" + rows)
    (folder / "spec.yaml").write_text(SPEC)
    spec = load_spec(folder / "spec.yaml", [*changes])
    return spec, load_dataset(spec)


def columns(how: str) -> str:
    return f"data.columns={{c: {{{how}}}}}"


@pytest.mark.parametrize(
    ("counts", "most", "least", "rare"),
    [
        ([5, 1, 3], None, 1, []),
        ([5, 1, 3], None, 3, [1]),
        ([5, 1, 3], 3, 1, []),
        ([5, 1, 3], 2, 1, [1, 2]),
        ([2, 2, 2, 2], 3, 1, [2, 3]),  # of equals the first stay
        ([5, 1, 3, 4], 3, 2, [1, 2]),  # with the group there are three
        ([5, 1, 3], 3, 2, [1]),
        ([1, 1], None, 2, [0, 1]),
        ([5, 4, 3, 1], 2, 4, [1, 2, 3]),
    ],
)
def test_which_are_rare(counts: list[int], most: int | None, least: int, rare: list[int]) -> None:
    assert np.flatnonzero(Limits(most, least).rare(np.array(counts))).tolist() == rare


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize(
    ("changes", "categories", "note"),
    [
        (["data.max_categories=3"], "a b other",
         "4 rare categories of 'c', in 8 training rows, became 'other': c, d, e, …"),
        ([columns("max_categories: 6")], "a b c d e f", None),
        ([columns("min_count: 2")], "a b c d other",
         "2 rare categories of 'c', in 2 training rows, became 'other': e, f"),
        (["data.min_count=4", columns("min_count: 2")], "a b c d other",
         "2 rare categories of 'c', in 2 training rows, became 'other': e, f"),
        (["data.min_count=4", columns("unknown: error")], "a b c d e f", None),
        ([columns("min_count: 9")], "other",
         "6 rare categories of 'c', in 17 training rows, became 'other': a, b, c, …"),
        ([columns("max_categories: 3, encode: embedding, dimensions: 2")], "a b other",
         "4 rare categories of 'c', in 8 training rows, became 'other': c, d, e, …"),
    ],
)  # fmt: skip
def test_categories_of_a_column(
    changes: list[str], categories: str, note: str | None, stream: str, tmp_path: Path
) -> None:
    _, dataset = load(tmp_path, CELLS, *changes, f"data.stream={stream}")
    assert dataset.preprocessing.columns[0].categories == tuple(categories.split())
    assert [text for text in dataset.notes if "rare" in text] == ([note] if note else [])


def test_the_group_has_a_name_of_its_own(tmp_path: Path) -> None:
    _, dataset = load(tmp_path, [*CELLS, "other", "other_"], "data.max_categories=3")
    assert dataset.preprocessing.columns[0].categories == ("a", "b", "other__")


@pytest.mark.parametrize(
    ("fill", "code"),
    [
        ("most_frequent", 1),  # though the group has more rows
        ("{constant: a}", 0),
        ("{constant: f}", 2),
        ("{constant: new}", 2),
    ],
)
def test_what_stands_for_missing_values(fill: str, code: int, tmp_path: Path) -> None:
    _, dataset = load(tmp_path, [*CELLS, ""], columns(f"missing: {fill}, max_categories: 3"))
    how = dataset.preprocessing
    assert how.columns[0].categories == ("a", "b", "other")
    assert how.rules[0].fill == code


def test_a_constant_that_is_frequent_is_a_category(tmp_path: Path) -> None:
    changes = columns("missing: {constant: none}, max_categories: 3")
    _, dataset = load(tmp_path, [*CELLS, *[""] * 6], changes)
    assert dataset.preprocessing.columns[0].categories == ("b", "none", "other")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([columns("max_categories: 1")], "expected a number of at least 2, found the number 1"),
        ([columns("min_count: 0")], "expected a number of at least 1, found the number 0"),
        ([columns("min_count: 2, unknown: error")],
         "where rare categories become one, unknown ones are in it and no error"),
        (["data.columns={n: {max_categories: 5}}"], "'n' is numeric, and has no 'max_categories'"),
    ],
)  # fmt: skip
def test_mistakes(changes: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=told):
        load(tmp_path, CELLS, *changes)


# Everywhere the same -----------------------------------------------------------------------------

NEW = ["a", "b", "c", "f", "never", "other", ""]
RAW = [0.0, 1.0, 2.0, -1.0, -1.0, 99.0, np.nan]


@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
def test_every_way_to_predict_knows_the_group(encode: str, tmp_path: Path) -> None:
    changes = columns(f"max_categories: 3, missing: most_frequent, encode: {encode}")
    spec, dataset = load(tmp_path, CELLS, changes)
    how = Preprocessing.from_json(dataset.preprocessing.as_json())
    assert how == dataset.preprocessing
    run = train(spec, profile=Profile(runs=None))
    model = Model.from_parts(spec, run.parameters, how)
    raw = np.array([[code, 0.0] for code in RAW])
    (right,) = model.predict(raw).values()
    assert right[2] == right[3] == right[4] == right[5]
    assert right[6] == right[1]
    assert len({*right.tolist()}) == 3
    program = tmp_path / "model.py"
    write_program(model, program)
    (tmp_path / "new.csv").write_text("c,n\n" + "".join(f"{cell},0\n" for cell in NEW))
    done = subprocess.run([sys.executable, program, tmp_path / "new.csv"], check=True,
                          capture_output=True, text=True)  # fmt: skip
    assert np.allclose([float(line) for line in done.stdout.split()[1:]], right, atol=1e-6)
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    write_onnx(model, tmp_path / "model.onnx", {})
    found = answer_onnx(model, tmp_path / "model.onnx", raw).numbers[:, 0]
    assert np.allclose(found, right, atol=1e-6)
