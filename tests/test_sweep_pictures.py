"""What a sweep is shown as: its table, its pictures, and how much each key matters."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.report.choices import Choice, brief, written
from trainer.report.influence import LEAST, influences
from trainer.report.objective import Measure
from trainer.report.style import tail
from trainer.report.sweeps import SweepShown, TrialShown, write_sweep

COSINE = {"type": "cosine", "warmup": 5}
SPACE: Mapping[str, Any] = {
    "sgd.learning_rate": {"log": [1e-4, 0.1]},
    "sgd.batch_size": {"values": [8, 16, 32]},
    "sgd.schedule": {"values": ["constant", COSINE]},
}


def trial(number: int, results: Mapping[int, float], values: Mapping[str, Any] | None = None,
          status: str = "finished", reason: str = "") -> TrialShown:  # fmt: skip
    epochs = max(results, default=0)
    return TrialShown(number, f"{number:032x}", status, values or {}, epochs, results, reason)


def swept(*trials: TrialShown, space: Mapping[str, Any] = SPACE, **others: Any) -> SweepShown:
    metric = others.pop("metric", "val_loss")
    return SweepShown("flats", metric, others.pop("maximise", False), space, trials, **others)


def random_sweep(count: int, space: Mapping[str, Any], **others: Any) -> SweepShown:
    """Trials with values of any kind, of which some wait, and every seventh diverged."""
    draw = random.Random(count)
    trials = []
    for number in range(count):
        values = {
            key: draw.choice(kind["values"]) if "values" in kind else
            10 ** draw.uniform(*map(math.log10, kind["log"]))
            for key, kind in space.items()
        }  # fmt: skip
        first = 10 ** draw.uniform(-2, 3)
        status, results = "waiting", {5: first}
        if number % 7 == 3:
            status, results = "diverged", {5: math.inf}
        elif number % 3 == 0:
            status, results = "finished", {5: first, 15: first / 2}
        trials.append(trial(number, results, values, status))
    return swept(*trials, space=space, winner=0, **others)


# Values on axes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "values", "places", "ticks"),
    [
        ({"log": [1e-4, 1.0]}, [1e-4, 0.01, 1.0], [0, 0.5, 1], {"10⁻⁴", "0.01", "1"}),
        ({"uniform": [0, 4]}, [1, 4.0, "x", None, True], [], {"1", "4", "x", "null", "true"}),
        ({"uniform": [0, 4]}, [1, 3.0], [0.25, 0.75], {"0", "2", "4"}),
        ({"integers": [4, 64], "log": True}, [16], [0.5], {"5", "20"}),
        ({"values": [8, 16, 32]}, [32, 8], [5 / 6, 1 / 6], {"8", "16", "32"}),
        ({"values": ["constant", COSINE]}, [{"warmup": 5, "type": "cosine"}], [0.75],
         {"constant", "cosine, warmup 5"}),
        ({"log": [0.1, 0.1]}, [0.1], [0.5], {"0.1"}),
        (None, [7, 7], [0.5, 0.5], {"7"}),
    ],
)  # fmt: skip
def test_values_have_places(
    declared: Any, values: list[Any], places: list[float], ticks: set[str]
) -> None:
    choice = Choice.of("key", declared, values)
    assert [choice.place(value) for value in values][: len(places)] == pytest.approx(places)
    assert ticks <= set(choice.ticks(6).values())
    assert math.isnan(choice.place({"another": 1}))


def test_how_values_are_written() -> None:
    shown = {written(v) for v in (0.0001234567, 5, True, None, "relu", [1, [2.5]], {"a": {"b": 1}})}
    assert shown == {"0.000123457", "5", "true", "null", "relu", "[1, [2.5]]", "a b 1"}


@pytest.mark.parametrize(
    ("key", "length", "shown"),
    [("sgd.momentum", 12, "sgd.momentum"), ("model.layers.17.units", 14, "…17.units"),
     ("abcdefghijkl", 6, "…hijkl"), ("a\nb", 9, "a b")],
)  # fmt: skip
def test_a_long_key_keeps_its_last_parts(key: str, length: int, shown: str) -> None:
    assert tail(key, length) == shown


@pytest.mark.parametrize(
    ("keys", "names"),
    [(["sgd.momentum", "seed"], ["momentum", "seed"]),
     (["model.layers.0.units", "model.layers.1.units", "units"],
      ["0.units", "1.units", "units"]), (["a.b", "b"], ["a.b", "b"])],
)  # fmt: skip
def test_keys_are_told_apart_by_their_last_parts(keys: list[str], names: list[str]) -> None:
    assert list(brief(keys).values()) == names


# The table --------------------------------------------------------------------------------------


def test_the_table_by_hand(tmp_path: Path) -> None:
    files = write_sweep(
        swept(
            trial(0, {5: 0.5, 15: 0.25}, {"sgd.learning_rate": 0.01, "sgd.batch_size": 8,
                                          "sgd.schedule": COSINE}),
            trial(1, {5: 1 / 3}, {"sgd.learning_rate": 1e-4, "sgd.batch_size": 32,
                                  "sgd.schedule": "constant"}, "waiting"),
            trial(2, {3: math.inf}, {}, "diverged", "the loss is nan, at step 7"),
            trial(3, {}, {"sgd.batch_size": 16}, "running"),
            winner=0,
        ),
        tmp_path,
    )  # fmt: skip
    with files[0].open(newline="") as file:
        titles, *rows = csv.reader(file)
    assert titles == ["trial", "run", "status", "epochs", "val_loss", *SPACE, "val_loss after 5",
                      "reason"]  # fmt: skip
    assert [row[2:5] + row[8:] for row in rows] == [
        ["finished", "15", "0.25", "0.5", ""],
        ["waiting", "5", "0.3333333333333333", "0.3333333333333333", ""],
        ["diverged", "3", "inf", "", "the loss is nan, at step 7"],
        ["running", "0", "", "", ""],
    ]
    assert rows[0][5:8] == ["0.01", "8", '{"type": "cosine", "warmup": 5}']
    assert rows[1][5:8] == ["0.0001", "32", "constant"]


# Rank and axis of the objective -----------------------------------------------------------------


@pytest.mark.parametrize(("maximise", "order"), [(False, [3, 0, 2, 1]), (True, [0, 3, 1, 2])])
def test_who_came_farther_is_ahead(maximise: bool, order: list[int]) -> None:
    """Trial 3 ended early, as it got no better; trial 4 diverged."""
    sweep = swept(
        trial(0, {5: 1.0, 15: 0.9}), trial(1, {5: 0.5}, status="waiting"),
        trial(2, {5: 0.4}, status="waiting"), trial(3, {5: 1.0, 9: 0.8}),
        trial(4, {5: 0.1, 15: math.inf}, status="diverged"), maximise=maximise,
    )  # fmt: skip
    assert [each.number for each in sweep.ranked] == order
    assert sweep.rungs == [5]


@pytest.mark.parametrize(
    ("values", "maximise", "log", "hidden"),
    [
        ([0.1, 0.2, 0.15], False, False, []),
        ([0.1, 5.0, 100.0], False, True, []),
        ([0.0, 5.0, 100.0], False, False, []),
        ([1 + i / 10 for i in range(9)] + [1e90], False, True, [1e90]),
        ([0.9, 0.8, 0.85, 0.7, 0.75, 0.6, 0.5, 0.8, -1e9], True, False, [-1e9]),
        ([1.0] * 8 + [0.99], True, False, []),
        ([0.3, math.inf, math.nan], False, False, [math.inf, math.nan]),
        ([1e-90, 1e99], False, True, [1e99]),
        ([0.0, *range(1, 9), 1e9], False, False, [1e9]),
    ],
)
def test_the_axis_of_the_objective(
    values: list[float], maximise: bool, log: bool, hidden: list[float]
) -> None:
    sweep = swept(*(trial(i, {5: value}) for i, value in enumerate(values)), maximise=maximise)
    measure = Measure.of(sweep)
    assert measure.log == log
    assert [v for v in values if not measure.shows(v)] == pytest.approx(hidden, nan_ok=True)
    placed = measure.within([*values, None])
    assert placed[-1] == (measure.low if maximise else measure.high)
    assert ((measure.low <= placed) & (placed <= measure.high)).all()


# Influence --------------------------------------------------------------------------------------


def influence_of(chosen: Sequence[Any], losses: Sequence[float], declared: Any = None) -> Any:
    choices = {"k": Choice.of("k", declared, chosen)}
    return influences(choices, [{"k": value} for value in chosen], losses).get("k")


def test_influence_by_hand() -> None:
    """Ranks 1 … 12, of which `a` has the lower and `b` the upper half: means 3.5 and 9.5, between
    12 · 9 = 108 of 143 in all, within 35 / 10 = 3.5, so (108 − 3.5) / 143.
    """
    found = influence_of(["a"] * 6 + ["b"] * 6, [10.0**i for i in range(12)], {"values": ["a"]})
    assert found.share == pytest.approx((108 - 3.5) / 143)
    assert found.chance == pytest.approx((3.8415 - 1) / 11, rel=0.04)  # χ² of one degree


@pytest.mark.parametrize(
    ("chosen", "losses", "share"),
    [
        ([*"ab"] * 6, [1.0] * 12, None),  # nobody is better
        ([*"ab"] * 5, range(10), None),  # too few
        (["a"] * 12, range(12), 0.0),  # no choice
        (range(12), range(12), 0.87),  # groups of four
        ([1.0] * 12, range(12), 0.0),
        ([*"abc"] * 4, [1.0] * 11 + [math.inf], 0.0),
        (range(60), [abs(i - 30) for i in range(60)], 0.85),  # neither rising nor falling
        ([f"{i}" for i in range(12)], range(12), 0.0),  # as many categories as trials
    ],
)
def test_influence(chosen: Sequence[Any], losses: Sequence[float], share: float | None) -> None:
    found = influence_of(list(chosen), list(losses))
    assert (found is None) if share is None else found.share == pytest.approx(share, abs=0.08)
    assert len(chosen) >= LEAST or found is None


def test_one_key_in_twenty_of_those_that_do_nothing_looks_as_if() -> None:
    draw = np.random.default_rng(5)
    found = [influence_of(draw.random(60).tolist(), draw.random(60).tolist()) for _ in range(400)]
    looks = sum(each.share > each.chance for each in found) / len(found)
    assert 0.02 < looks < 0.09


# Pictures ---------------------------------------------------------------------------------------

ODD: Mapping[str, Any] = {
    "a.$x_1$ [µ] 名前 that goes on and on.units": {"log": [1e-9, 1e9]},
    "model.layers": {"values": [[{"units": 16}, {"units": 1}], [{"units": 1}]]},
    "b": {"values": [True, False, None]},
    "c": {"values": ["x" * 50, "$y$", "<b>&\n"]},
    "d": {"values": [2**i for i in range(20)]},
}
MANY = {f"model.layers.{i}.units": {"log": [4, 64]} for i in range(40)}
CASES: Mapping[str, tuple[SweepShown, list[str]]] = {
    "usual": (random_sweep(40, SPACE), ["history", "parallel", "slices", "importance"]),
    "one trial": (swept(trial(0, {20: 0.5}, {"sgd.learning_rate": 0.01}), winner=0),
                  ["history", "parallel", "slices"]),
    "one key": (random_sweep(13, {"d": ODD["d"]}, maximise=True),
                ["history", "parallel", "slices", "importance"]),
    "odd": (random_sweep(14, ODD, metric="val_" + "x" * 60),
            ["history", "parallel", "slices", "importance"]),
    "40 keys": (random_sweep(50, MANY), ["history", "parallel", "slices", "importance"]),
    "all waiting": (swept(trial(0, {5: 0.5}, status="waiting"), trial(1, {}, status="running")),
                    ["history", "parallel", "slices"]),
    "all diverged": (swept(trial(0, {5: math.inf}, status="diverged")), []),
    "nothing": (swept(), []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_pictures(tmp_path: Path, name: str) -> None:
    sweep, expected = CASES[name]
    files = write_sweep(sweep, tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "trials.csv", *(f"plots/{each}.png" for each in expected),
    ]  # fmt: skip
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in files[1:])


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_sweep(random_sweep(14, SPACE), tmp_path / name) for name in "ab")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
