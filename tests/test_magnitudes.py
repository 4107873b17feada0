"""Numbers that the float type cannot hold are mistakes of the spec, and no warning of NumPy's."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import WriteSpec

from trainer import load_spec
from trainer.errors import SpecError
from trainer.runs.prepare import prepare

EQUATIONS = {
    "inputs": {"x": 2}, "parameters": {"w": {"shape": [2]}}, "output": "y_hat", "loss": "logistic",
    "equations": {"h": "3.5e38 + w @ x", "y_hat": "h - .9e+39 + 1e38"},
}  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), [
    ({"sgd.learning_rate": 1e39}, ["sgd.learning_rate: float32 holds no number as large as 1e+39"]),
    ({"sgd.weight_decay": 1e300, "sgd.clip_norm": 4e38},
     ["sgd.clip_norm: float32 holds no number as large as 4e+38",
      "sgd.weight_decay: float32 holds no number as large as 1e+300"]),
    ({"model.layers": [{"units": 2}, {"type": "batch_norm", "epsilon": 1e39}, {"units": 1}]},
     ["model.layers[1].epsilon: float32 holds no number as large as 1e+39"]),
    ({"model": EQUATIONS},
     ["model.equations.h: float32 holds no number as large as 3.5e38",
      "model.equations.y_hat: float32 holds no number as large as .9e+39"]),
])  # fmt: skip
def test_numbers_that_are_too_large(
    changes: dict[str, Any], told: list[str], write_spec: WriteSpec
) -> None:
    path = write_spec({"model.dtype": "float32"} | changes)
    with pytest.raises(SpecError) as error:
        prepare(load_spec(path))
    found = error.value.problems
    assert sorted(f"{each.path}: {each.message}" for each in found) == sorted(told)
    assert all(each.line and "the largest is 3.4e+38" in (each.hint or "") for each in found)


def test_what_a_float64_holds(write_spec: WriteSpec) -> None:
    prepare(load_spec(write_spec({"sgd.learning_rate": 1e39})))  # the tiny model's type
