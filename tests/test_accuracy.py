"""The comparison with scikit-learn on real tables: that it is fair, and that it counts right."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

sys.path.append(str(ROOT))  # the benchmarks are no part of what is installed

from benchmarks import accuracy, tabular
from benchmarks.climb import Climb, Lap, climb
from benchmarks.measured import Measured, load_results, save_results, verdict, with_error
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


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_a_climb_rises_to_what_the_training_ends_with(name: str, folder: Path) -> None:
    """Of so few epochs the last is the best: its score is that of the whole call."""
    given = split(name, folder, 3, **QUICK)
    found, fitted = climb(given), fit_own(given)
    assert found.scores == sorted(set(found.scores))
    assert found.scores[-1] == fitted.score
    assert found.epochs[0] == 0
    assert found.epochs[-1] <= found.whole[1] == fitted.epochs == 3
    assert found.seconds[0] > 0
    assert [*found.seconds, found.whole[0]] == sorted({*found.seconds, found.whole[0]})


def fits(*scores: float) -> list[Fitted]:
    return [Fitted(score, 0.5, 2.0, 3.0, 7, limited=score < 0.8) for score in scores]


SMALL = Measured(
    1234,
    True,
    {"own": fits(0.9, 0.8, 0.85), "adam": fits(0.9, 0.7, 0.71), "sgd": fits(0.8, 0.8, 0.8)},
    {"adam": False, "sgd": True},
    [
        Climb([0.1, 0.5, 1.5], [0, 2, 9], [0.5, 0.8, 0.9], (2.0, 10)),
        Climb([0.1, 0.75], [0, 4], [0.79, 0.81], (2.0, 10)),
        Climb([0.1], [0], [0.79], (4.0, 10)),
    ],
)


def test_a_difference_is_that_of_pairs() -> None:
    """To the better one by its mean, 0.1, 0 and 0.05 apart: 0.05 ± 0.05 / √3."""
    assert SMALL.rival == "sgd"
    assert SMALL.difference == pytest.approx((0.05, 0.05 / 3**0.5))
    assert [verdict(d, 0.02) for d in (0.03, 0.02, 0.0, -0.02, -0.03)] == [
        "better", "equal", "equal", "equal", "worse",
    ]  # fmt: skip
    one_seed = with_error([0.0] * 9 + [-1 / 69])
    assert verdict(*one_seed) == "equal"


def test_a_lap_ends_where_the_better_one_ends() -> None:
    """That one, sgd, ends with 0.8 each time; the third training never has it."""
    assert SMALL.laps == [Lap(0.5, 2, True), Lap(0.75, 4, True), Lap(4.0, 10, False)]
    assert SMALL.lead == 2.0 / 0.75
    assert SMALL.is_ahead


@pytest.mark.parametrize(
    ("seconds", "scores", "ahead"),
    [
        ((1.9, 1.9, 9.9), (0.8, 0.8, 0.8), True),
        ((2.0, 2.0, 0.1), (0.8, 0.8, 0.8), False),  # as long as the quicker one
        ((0.1, 0.1, 0.1), (0.8, 0.79, 0.79), False),  # mostly not as good
    ],
)
def test_ahead_is_who_is_as_good_and_sooner(
    seconds: tuple[float, ...], scores: tuple[float, ...], ahead: bool
) -> None:
    pairs = zip(seconds, scores, strict=True)
    climbs = [Climb([taken], [1], [score], (taken, 10)) for taken, score in pairs]
    assert replace(SMALL, climbs=climbs).is_ahead is ahead


def test_the_quicker_one_is_told_by_its_seconds() -> None:
    slow = [replace(fitted, seconds=3.0) for fitted in SMALL.fits["adam"]]
    assert SMALL.quicker == "adam"  # both take 2.0
    assert replace(SMALL, fits={**SMALL.fits, "adam": slow}).quicker == "sgd"


def test_results_are_kept_and_written(folder: Path) -> None:
    save_results(folder / "r.json", {"wine": SMALL, "iris": SMALL})
    results = load_results(folder / "r.json")
    assert list(results) == ["iris", "wine"]
    assert results["wine"] == SMALL
    text = accuracy.page(results)
    assert "2 tables: 2 better, 0 equal, 0 worse." in text
    scores = "0.8500 ± 0.0289 | 0.7700 ± 0.0651 | **0.8000 ± 0.0000** | +0.0500 ± 0.0289"
    assert f"| iris | 1,234 | accuracy | {scores} | better |" in text
    assert "| wine | 2.000 | 2.000 | 2.000 | 3.000 | 3.000 | 3.000 | 1.0 |" in text
    assert "| iris | sgd | 2 of 3 | 4 | 0.750 | **2.000** | 2.000 | 2.7 | yes |" in text
    assert "Ahead on 2 of 2 tables." in text
    assert "| iris | all rows | 7 (! 2) | stops early | 7 | 7 |" in text


def test_the_command_measures_a_table_and_keeps_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_results(folder / "r.json", {"wine": SMALL})
    monkeypatch.setattr(accuracy, "CHOOSING", (100,))
    files = ["--results", str(folder / "r.json"), "--write", str(folder / "page.md")]
    accuracy.main(["--tables", "iris", "--seeds", "2", *files])
    assert list(load_results(folder / "r.json")) == ["iris", "wine"]
    assert "| iris | 150 | accuracy |" in (folder / "page.md").read_text(encoding="utf-8")
