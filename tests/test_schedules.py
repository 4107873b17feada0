"""Learning-rate schedules: tables worked by hand, and what holds for all of them."""

from __future__ import annotations

from math import cos, pi, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import SpecError, load_spec
from trainer.spec.sgd import (
    ScheduleSpec,
    SGDSpec,
)
from trainer.spec.tagged import models_of
from trainer.training.schedule import learning_rates, rates_at

SCHEDULES = tuple(models_of(ScheduleSpec))
HALF = sqrt(0.5)  # cos 45°


def sgd(schedule: Any, rate: float = 1.0, epochs: int = 2) -> SGDSpec:
    values = {"learning_rate": rate, "epochs": epochs, "schedule": schedule}
    return SGDSpec.model_validate(values)


# Values -----------------------------------------------------------------------------------------

# schedule → the rates of a run of 2 epochs of 4 steps, at the rate 1
TABLE: list[tuple[Any, list[float]]] = [
    ("constant", [1] * 8),
    ({"type": "constant", "warmup": 1}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
    ({"type": "constant", "warmup": 0.5}, [0.5, 1, 1, 1, 1, 1, 1, 1]),
    # 2.8 steps are 3
    ({"type": "constant", "warmup": 0.7}, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1]),
    ({"type": "step", "every": 1}, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1]),
    ({"type": "step", "every": 0.75, "factor": 0.5}, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    # warm-up of 2 steps, then a change every 2
    (
        {"type": "step", "every": 0.5, "factor": 0.5, "warmup": 0.5},
        [0.5, 1, 1, 1, 0.5, 0.5, 0.25, 0.25],
    ),
    # a sixteenth an epoch of 4 steps is a half a step
    ({"type": "exponential", "factor": 0.0625}, [2.0**-n for n in range(8)]),
    ("linear", [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
    ({"type": "linear", "final": 0.2, "warmup": 1}, [0.25, 0.5, 0.75, 1, 1, 0.8, 0.6, 0.4]),
    ("cosine", [1, (1 + cos(pi / 8)) / 2, (1 + HALF) / 2, (1 + cos(3 * pi / 8)) / 2,
                0.5, (1 - cos(3 * pi / 8)) / 2, (1 - HALF) / 2, (1 - cos(pi / 8)) / 2]),
    ({"type": "cosine", "cycle": 1}, [1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2] * 2),
    # cycles of 2, 4 and 8 steps
    (
        {"type": "cosine", "cycle": 0.5, "growth": 2},
        [1, 0.5, 1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2, 1, (1 + cos(pi / 8)) / 2],
    ),
    ({"type": "cosine", "final": 0.5, "warmup": 1},
     [0.25, 0.5, 0.75, 1, 1, 0.75 + HALF / 4, 0.75, 0.75 - HALF / 4]),
    # up in 4 steps, down in 4
    (
        {"type": "one_cycle", "start": 0.2, "peak": 0.5, "final": 0},
        [0.2, 0.6 - 0.4 * HALF, 0.6, 0.6 + 0.4 * HALF, 1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "expected"), TABLE, ids=lambda value: str(value)[:60])
def test_rates(schedule: Any, expected: list[float]) -> None:
    found = learning_rates(sgd(schedule), 4, 1, 8)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_every_schedule_has_a_row_and_is_told_in_the_formulas() -> None:
    rows = {schedule if isinstance(schedule, str) else schedule["type"] for schedule, _ in TABLE}
    assert rows == set(SCHEDULES)
    import trainer.training.schedule as module

    assert all(f"    {name} " in (module.__doc__ or "") for name in SCHEDULES)


def test_the_formulas_of_pytorch() -> None:
    """Epoch by epoch, the values that the documentation of its schedulers gives.

    StepLR(step_size=30, gamma=0.1) from 0.05; ExponentialLR(gamma); CosineAnnealingLR(T_max=T,
    eta_min): eta_min + (rate - eta_min) (1 + cos(π t / T)) / 2; LinearLR from 1 to 0.
    """
    epochs = np.array([0, 29, 30, 59, 60, 89, 90])
    steps = 1 + 10 * epochs
    step = sgd({"type": "step", "every": 30}, 0.05, 100)
    np.testing.assert_allclose(
        rates_at(step, 10, steps), [0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005, 0.00005], rtol=1e-15
    )
    exponential = sgd({"type": "exponential", "factor": 0.9}, 0.05, 100)
    np.testing.assert_allclose(rates_at(exponential, 10, steps), 0.05 * 0.9**epochs, rtol=1e-13)
    cosine = sgd({"type": "cosine", "final": 0.1}, 0.5, 100)
    expected = [0.05 + 0.225 * (1 + cos(pi * epoch / 100)) for epoch in epochs]
    np.testing.assert_allclose(rates_at(cosine, 10, steps), expected, rtol=1e-14)
    np.testing.assert_allclose(rates_at(sgd("linear", 0.5, 100), 10, steps), 0.5 - epochs / 200)


def test_a_constant_rate_is_the_rate_to_the_bit() -> None:
    for rate in (0.1, 1 / 3, 1e-300, 0.7):
        assert set(learning_rates(sgd("constant", rate), 1000, 1, 2000).tolist()) == {rate}


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "one_cycle"])
def test_the_schedule_begins_with_the_whole_rate(schedule: str) -> None:
    more = {"step": {"every": 0.1}, "exponential": {"factor": 0.3}}.get(schedule, {})
    for warmup in (0.0, 0.3):
        rates = learning_rates(sgd({"type": schedule, "warmup": warmup, **more}, 0.3), 10, 1, 4)
        assert rates[round(10 * warmup)] == 0.3


# growth → how many first cycles are over where each begins
GROWN = {1.0: range(250), 2.0: (0, 1, 3, 7, 15, 31, 63, 127), 3.0: (0, 1, 4, 13, 40, 121)}


def test_changes_come_at_the_step_that_was_meant() -> None:
    """0.07 · 100 is a bit above 7 in binary; the change is before the 8th step all the same."""
    for period in range(2, 100):
        epochs = period / 100
        rates = learning_rates(sgd({"type": "step", "every": epochs}, epochs=5), 100, 1, 500)
        changes = np.flatnonzero(np.diff(rates)) + 1
        assert changes.tolist() == list(range(period, 500, period))
        for growth, begins in GROWN.items():
            starts = [period * begin for begin in begins if period * begin < 500]
            schedule = {"type": "cosine", "cycle": epochs, "growth": growth}
            rates = learning_rates(sgd(schedule, epochs=5), 100, 1, 500)
            assert np.flatnonzero(rates > 1 - 1e-9).tolist() == starts


def test_a_period_is_a_step_at_least() -> None:
    step = sgd({"type": "step", "every": 1e-320, "factor": 0.5})
    assert learning_rates(step, 4, 1, 4).tolist() == [1, 0.5, 0.25, 0.125]
    cosine = sgd({"type": "cosine", "cycle": 1e-320})
    assert learning_rates(cosine, 4, 1, 4).tolist() == [1, 1, 1, 1]


def test_one_cycle_step_by_step() -> None:
    schedule = {"type": "one_cycle", "start": 0.1, "peak": 0.3, "final": 0.01}
    expected = [0.1 + 0.9 * (1 - cos(pi * n / 30)) / 2 for n in range(30)]
    expected += [0.01 + 0.99 * (1 + cos(pi * n / 70)) / 2 for n in range(70)]
    rates = learning_rates(sgd(schedule, 2.0, epochs=10), 10, 1, 100)
    np.testing.assert_allclose(rates, 2 * np.array(expected), rtol=1e-13)


def test_a_warmup_may_round_to_the_whole_run() -> None:
    found = learning_rates(sgd({"type": "cosine", "warmup": 1.9}), 1, 1, 2)
    assert found.tolist() == [0.5, 1]


# What holds for all -----------------------------------------------------------------------------

FRACTIONS = st.floats(0, 1)
FACTORS = st.floats(1e-300, 1)
PERIODS = st.floats(0, 1e308, exclude_min=True) | st.floats(0.01, 30)
KINDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "constant": {},
    "step": {"every": PERIODS, "factor": FACTORS},
    "exponential": {"factor": FACTORS},
    "cosine": {"final": FRACTIONS, "cycle": st.none() | PERIODS, "growth": st.floats(1, 100)},
    "linear": {"final": FRACTIONS},
    "one_cycle": {"start": FACTORS, "final": FRACTIONS,
                  "peak": st.floats(0, 1, exclude_min=True, exclude_max=True)},
}  # fmt: skip


@st.composite
def runs(draw: Any) -> tuple[SGDSpec, int]:
    """Any schedule, with the steps of an epoch."""
    kind = draw(st.sampled_from(SCHEDULES))
    values = {"type": kind} | {name: draw(how) for name, how in KINDS[kind].items()}
    epochs = draw(st.integers(1, 30))
    if kind != "one_cycle":
        values["warmup"] = draw(st.just(0.0) | st.floats(0, epochs, exclude_max=True))
    rate = draw(st.floats(1e-9, 1e3))
    return sgd(values, rate, epochs), draw(st.integers(1, 50))


@given(runs())
def test_rates_are_at_most_the_rate(run: tuple[SGDSpec, int]) -> None:
    spec, per_epoch = run
    rates = learning_rates(spec, per_epoch, 1, spec.epochs * per_epoch)
    assert np.isfinite(rates).all()
    assert rates.min() >= 0
    assert rates.max() <= spec.learning_rate
    assert rates[0] > 0


@given(runs(), st.data())
def test_however_a_run_is_cut_its_rates_are_the_same_bits(
    run: tuple[SGDSpec, int], data: st.DataObject
) -> None:
    spec, per_epoch = run
    steps = spec.epochs * per_epoch
    whole = learning_rates(spec, per_epoch, 1, steps)
    cuts = data.draw(st.lists(st.integers(0, steps), max_size=6).map(sorted))
    parts = [
        learning_rates(spec, per_epoch, first + 1, last - first)
        for first, last in zip([0, *cuts], [*cuts, steps], strict=True)
    ]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    one = data.draw(st.integers(1, steps))
    assert learning_rates(spec, per_epoch, one, 1)[0] == whole[one - 1]


@given(runs())
def test_some_schedules_never_rise(run: tuple[SGDSpec, int]) -> None:
    """After the warm-up, all but the cosine with restarts and the one cycle."""
    spec, per_epoch = run
    if spec.schedule.type == "one_cycle" or getattr(spec.schedule, "cycle", None) is not None:
        return
    warm = round(spec.schedule.warmup * per_epoch)
    rates = learning_rates(spec, per_epoch, warm + 1, max(1, spec.epochs * per_epoch - warm))
    assert (np.diff(rates) <= 1e-15 * spec.learning_rate).all()


# The spec ---------------------------------------------------------------------------------------

WRONG = [
    ({"type": "cosine", "warmup": 5}, "the warm-up takes 5 epochs, and sgd.epochs is 3"),
    ({"type": "linear", "warmup": 3.0}, "the warm-up takes 3 epochs, and sgd.epochs is 3"),
    ({"type": "one_cycle", "warmup": 1}, "'one_cycle' begins with a rise of its own"),
]


@pytest.mark.parametrize(("schedule", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_warmup_that_does_not_fit_is_told_at_its_place(
    write_spec, schedule: Any, message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        load_spec(write_spec({"sgd.schedule": schedule}))
    (problem,) = caught.value.problems
    assert problem.path == "sgd.schedule.warmup"
    assert problem.source.strip().startswith("warmup:")
    assert problem.hint
