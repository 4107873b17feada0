"""The comparison with scikit-learn on real tables: that it is fair, and that it counts right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

sys.path.append(str(ROOT))  # the benchmarks are no part of what is installed

from benchmarks import accuracy, tabular
from benchmarks.accuracy import Measured, with_error
from benchmarks.tables import TABLES
from benchmarks.tabular import Fitted, fit_own, fit_sklearn, split
from trainer.data import load_dataset

QUICK = {"sgd__epochs": 3}


def test_each_table_has_its_spec() -> None:
    assert {file.stem for file in tabular.SPECS.glob("*.yaml")} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_a_spec_fits_its_table(name: str, folder: Path) -> None:
    table = TABLES[name]
    if not table.installed:
        pytest.skip(f"{table.package} is not installed")
    given = split(name, folder, 3)
    assert given.spec.name == name
    assert given.spec.data.target == table.target
    assert given.spec.data.split.test == 0.2
    assert len(given.own.x) == table.rows
    kinds = {column.name: column.kind for column in given.own.columns}
    assert {n for n, kind in kinds.items() if kind == "categorical"} == set(table.categorical)
    orders = {n: given.spec.data.columns[n].order for n, kind in kinds.items() if kind == "ordinal"}
    written = {n: tuple(map(str, order or ())) for n, order in orders.items()}
    assert {n: order[order[0] == "none" :] for n, order in written.items()} == table.ordinal


@pytest.mark.parametrize("name", ["iris", "diabetes", "penguins", "titanic"])
def test_contenders_have_the_same_rows_and_the_same_columns(name: str, folder: Path) -> None:
    """Cell by cell: what scikit-learn's transformers make of the rows is what the spec makes."""
    if not TABLES[name].installed:
        pytest.skip(f"{TABLES[name].package} is not installed")
    given = split(name, folder, 3, model__dtype="float64")
    train, test = given.rows
    assert len(train) + len(test) == TABLES[name].rows
    assert not set(train) & set(test)
    dataset = load_dataset(given.spec)
    assert dataset.test is not None
    x = tabular.transformer(given)
    encoded = x.fit_transform(given.frame.iloc[train]), x.transform(given.frame.iloc[test])
    for ours, theirs in zip((dataset.train.x, dataset.test.x), encoded, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(_sorted(ours), _sorted(theirs), atol=1e-9)


def _sorted(x: np.ndarray) -> np.ndarray:
    """The columns in an order of their own numbers: both sides have another one."""
    return x[:, np.lexsort(x.round(6)[::-1])]


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_both_learn_and_are_scored_alike(name: str, folder: Path) -> None:
    given = split(name, folder, 3)
    metric = "test_accuracy" if name == "iris" else "test_r2"
    fits = [fit_own(given), *(fit_sklearn(given, solver, False) for solver in ("adam", "sgd"))]
    for fitted in fits:
        assert fitted.score > (0.8 if name == "iris" else 0.1), metric
        assert fitted.error > 0
        assert 0 < fitted.seconds <= fitted.total
    assert fit_sklearn(given, "sgd", True).epochs != fits[2].epochs


def fits(*scores: float) -> list[Fitted]:
    return [Fitted(score, 0.5, 2.0, 3.0, 7, limited=score < 0.8) for score in scores]


SMALL = Measured(
    1234,
    True,
    {"own": fits(0.9, 0.8, 0.85), "adam": fits(0.9, 0.7, 0.71), "sgd": fits(0.8, 0.8, 0.8)},
    {"adam": False, "sgd": True},
)


def test_a_difference_is_that_of_pairs() -> None:
    """To the better one by its mean, 0.1, 0 and 0.05 apart: 0.05 ± 0.05 / √3."""
    assert SMALL.rival == "sgd"
    assert SMALL.difference == pytest.approx((0.05, 0.05 / 3**0.5))
    assert [accuracy.verdict(d, 0.02) for d in (0.03, 0.02, 0.0, -0.02, -0.03)] == [
        "better", "equal", "equal", "equal", "worse",
    ]  # fmt: skip
    one_seed = with_error([0.0] * 9 + [-1 / 69])
    assert accuracy.verdict(*one_seed) == "equal"


def test_results_are_kept_and_written(folder: Path) -> None:
    accuracy.save_results(folder / "r.json", {"wine": SMALL, "iris": SMALL})
    results = accuracy.load_results(folder / "r.json")
    assert list(results) == ["iris", "wine"]
    assert results["wine"] == SMALL
    text = accuracy.page(results)
    assert "2 tables: 2 better, 0 equal, 0 worse." in text
    scores = "0.8500 ± 0.0289 | 0.7700 ± 0.0651 | **0.8000 ± 0.0000** | +0.0500 ± 0.0289"
    assert f"| iris | 1,234 | accuracy | {scores} | better |" in text
    assert "| wine | 2.00 | 2.00 | 2.00 | 3.00 | 3.00 | 3.00 | 1.0 |" in text
    assert "| iris | all rows | 7 (! 2) | stops early | 7 | 7 |" in text


def test_the_command_measures_a_table_and_keeps_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy.save_results(folder / "r.json", {"wine": SMALL})
    monkeypatch.setattr(accuracy, "CHOOSING", (100,))
    files = ["--results", str(folder / "r.json"), "--write", str(folder / "page.md")]
    accuracy.main(["--tables", "iris", "--seeds", "2", *files])
    assert list(accuracy.load_results(folder / "r.json")) == ["iris", "wine"]
    assert "| iris | 150 | accuracy |" in (folder / "page.md").read_text(encoding="utf-8")
