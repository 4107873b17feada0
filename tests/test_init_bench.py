"""The comparison of drafted specs with scikit-learn: that it is fair, and that it counts right."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

sys.path.append(str(ROOT))  # the benchmarks are no part of what is installed

from benchmarks import init
from benchmarks.drafted import Drafted, Trained, fit_own, fit_sklearn, fit_trivial, transformer
from benchmarks.init_page import Compared, page
from benchmarks.measured import save_results
from benchmarks.raw_tables import RAW_TABLES, RawTable
from benchmarks.tables import TABLES
from trainer.drafting import draft


def test_there_are_twenty_raw_tables() -> None:
    assert list(RAW_TABLES)[:10] == list(TABLES)
    assert len(RAW_TABLES) == 20
    assert [table.name for table in RAW_TABLES.values()] == list(RAW_TABLES)
    assert [table.task for table in RAW_TABLES.values()].count("classes") == 12


@pytest.mark.parametrize("name", RAW_TABLES)
def test_a_raw_table_has_its_target_and_nothing_that_tells_it(name: str, folder: Path) -> None:
    table = RAW_TABLES[name]
    if not table.installed:
        pytest.skip(f"{table.package} is not installed")
    table.write(folder / "t.csv")
    lines = (folder / "t.csv").read_text(encoding="utf-8").splitlines()
    header = [name.strip('" ') for name in lines[0].split(",")]
    assert len(lines) == table.rows + 1
    assert table.target in header
    assert not {*header} & {*table.telling}


def test_only_telling_columns_are_left_out(folder: Path) -> None:
    text = '"",a,b,y\n1,"x, z",?,\n2,, 3,4\n'
    table = RawTable("t", "sys", lambda: text, "y", "numbers", 2, "CC0")
    table.write(folder / "t.csv")
    assert (folder / "t.csv").read_text() == text
    replace(table, telling=("b",)).write(folder / "t.csv")
    assert (folder / "t.csv").read_text() == ',a,y\n1,"x, z",\n2,,4\n'
    with pytest.raises(ValueError, match="'c' is not in list"):
        replace(table, telling=("c",)).write(folder / "t.csv")


RAW = """,kind,size,gap,y
1,a,1.5,?,no
2,b,2.5,3,yes
3,,0.5,4,
4,a,2,?,no
""" + "".join(
    f"{i},{'ab'[i % 2]},{i % 7},{i % 5},{('no', 'yes')[i % 3 > 0]}\n" for i in range(5, 65)
)


@pytest.fixture
def given(folder: Path) -> Drafted:
    """A table with row numbers, missing cells and a row without a target."""
    (folder / "t.csv").write_text(RAW)
    (folder / "t.yaml").write_text(draft(folder / "t.csv", "y", folder).text)
    return Drafted.load(folder / "t.yaml", 3)


def test_both_have_the_same_rows_and_columns(given: Drafted) -> None:
    """Row by row: what pandas reads is what this project reads."""
    assert (given.spec.seed, given.metric) == (3, "accuracy")
    train, test = given.rows
    assert sorted([*train, *test]) == list(range(63))  # one of the 64 has no target
    frame = given.frame()
    assert list(frame) == ["kind", "size", "gap"]
    own = given.own.x[:, [given.own.features.index(name) for name in ("size", "gap")]]
    np.testing.assert_array_equal(frame[["size", "gap"]].to_numpy(), own)
    assert frame["kind"].tolist()[:3] == ["a", "b", "a"]
    encoded = transformer(frame).fit_transform(frame)
    assert encoded.shape == (63, 4)
    np.testing.assert_allclose(encoded[:, :2].mean(axis=0), 0, atol=1e-12)
    assert encoded[:3, 2:].tolist() == [[1, 0], [0, 1], [1, 0]]


def test_the_trivial_one_says_the_most_frequent(given: Drafted) -> None:
    test = given.rows[1]
    frequent = given.y[given.rows[0]].mean() > 0.5
    share = float((given.y[test] == frequent).mean())
    assert fit_trivial(given).scores == {"accuracy": share, "balanced_accuracy": 0.5}


@pytest.mark.parametrize(("name", "least"), [("iris", 0.8), ("diabetes", 0.1)])
def test_both_learn_and_are_scored_alike(name: str, least: float, folder: Path) -> None:
    table = RAW_TABLES[name]
    table.write(folder / f"{name}.csv")
    (folder / "t.yaml").write_text(draft(folder / f"{name}.csv", table.target, folder).text)
    given = Drafted.load(folder / "t.yaml", 1)
    own, sklearn, trivial = (fit(given) for fit in (fit_own, fit_sklearn, fit_trivial))
    assert own.scores.keys() == sklearn.scores.keys() == trivial.scores.keys()
    for fitted in (own, sklearn):
        assert fitted.scores[given.metric] > least > trivial.scores[given.metric]
        assert fitted.seconds > 0


def fits(*scores: float) -> list[Trained]:
    return [Trained({"accuracy": score, "balanced_accuracy": score / 2}, 2.0) for score in scores]


SMALL = Compared(
    1234, 5, 7, "accuracy", 0.5,
    {"own": fits(0.9, 0.8, 0.85), "sklearn": fits(0.8, 0.8, 0.8), "trivial": fits(0.5, 0.5, 0.5)},
)  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "at_least"),
    [
        ((0.8, 0.8, 0.8), True),  # a tie
        ((0.79990, 0.8, 0.8), True),  # 0.79997, which is printed as 0.8000
        ((0.7998, 0.8, 0.8), False),
        ((0.9, 0.9, 0.1), False),
    ],
)
def test_at_least_is_what_is_printed(ours: tuple[float, ...], at_least: bool) -> None:
    assert replace(SMALL, fits={**SMALL.fits, "own": fits(*ours)}).is_at_least() is at_least


def test_a_difference_is_that_of_pairs() -> None:
    """0.1, 0 and 0.05 apart: 0.05 ± 0.05 / √3."""
    assert SMALL.differences() == pytest.approx([0.1, 0, 0.05])
    assert SMALL.differences("balanced_accuracy") == pytest.approx([0.05, 0, 0.025])


def test_results_are_kept_and_written(folder: Path) -> None:
    rare = replace(SMALL, metric="balanced_accuracy", fits={**SMALL.fits, "own": fits(0.1, 0.1)})
    rare = replace(rare, fits={who: each[:2] for who, each in rare.fits.items()})
    save_results(folder / "r.json", {"pneumonia": rare, "iris": SMALL})
    results = init.load_results(folder / "r.json")
    assert list(results) == ["iris", "pneumonia"]
    assert results["iris"] == SMALL
    text = page(results)
    assert "on **1 of 2** tables" in text
    scores = "0.5000 ± 0.0000 | 0.8500 ± 0.0289 | 0.8000 ± 0.0000 | +0.0500 ± 0.0289"
    assert f"| iris | accuracy | {scores} | yes |" in text
    assert "| pneumonia | balanced accuracy | 0.2500 ± 0.0000 | 0.0500 ± 0.0000 |" in text
    assert "| pneumonia | accuracy | 0.5000 ± 0.0000 | 0.1000 ± 0.0000 |" in text
    assert "| pneumonia | 0 | 0 | 2 | -0.3500 to -0.3500 |" in text
    assert "| iris | 2 | 1 | 0 | +0.0000 to +0.1000 |" in text
    assert "measured first it is" not in text
    assert "| iris | 0.50 | 2.00 | 2.00 |" in text
    assert "| iris | sklearn | target | 1,234 | 7 | 5 | CC BY 4.0 (UCI) |" in text


def test_seeds_that_were_measured_later_are_told_apart() -> None:
    six = {"own": fits(0.1, 0.1, 0.1, 0.1, 0.1, 0.9), "sklearn": fits(*[0.2] * 6)}
    text = page({"iris": replace(SMALL, fits={**six, "trivial": fits(*[0.1] * 6)})})
    assert "on **1 of 1** tables" in text
    assert "measured first it is 0, with the others alone 1." in text


def test_the_command_measures_a_table_and_keeps_the_others(folder: Path) -> None:
    save_results(folder / "r.json", {"wine": SMALL})
    files = ["--results", str(folder / "r.json"), "--write", str(folder / "page.md")]
    init.main(["--tables", "iris", "--seeds", "2", "--first", "100", *files])
    results = init.load_results(folder / "r.json")
    assert list(results) == ["iris", "wine"]
    assert results["iris"].rows == 150
    assert "| iris | accuracy |" in (folder / "page.md").read_text(encoding="utf-8")
    assert "seed: 0" in (folder / "iris.yaml").read_text(encoding="utf-8")
