"""Some runs give these very bits, whatever is changed in this project and with every kernel of BLAS
and NumPy: their sums are too short to be taken in another order, and they call no function that
one kernel rounds as another does not.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from conftest import ROOT

from trainer import Profile, load_spec, train

BITS = {
    ("lecture/3_logistic_regression", "compiled"): (
        "845cb5c88e1cdea87bdf614b47f8b4abe421b6c4a1e4aec7ed4aabb6162380a1",
        "926f13033a78ff2d",
    ),
    ("lecture/4_linear_regression", "compiled"): (
        "60f5405cb1760a7ef19127da24d2b29cc7d07502f504936768ac89bf5d12be36",
        "0253b96024910fd9",
    ),
    ("lecture/4_linear_regression", "reference"): (
        "072390ed2e80e0ae6391b7043b82adb201d64af4dab74c8f0074953d2ede5e2b",
        "caadb3d85a7b7ac1",
    ),
    ("lecture/5_hidden_unit", "compiled"): (
        "ec7108d8c9465d2dba6a31125e9bdf8f688b2a51326f76d2aae60617c9d99091",
        "a2eb391513d25882",
    ),
    ("lecture/5_hidden_unit", "reference"): (
        "553d1d3b57f71bbf806dff99c3bced8b63d4fedfe283eaf2ee077250fbb4add7",
        "df5769327a35206a",
    ),
    ("lecture/6_network", "compiled"): (
        "900c6778f7d1e022439eb111391f9228eeab340f2c0a5475e357f4e7a3100d2b",
        "c8e275449598e69f",
    ),
    ("linear_regression", "compiled"): (
        "b098d4aef49b9351b05110e55499147ba89c747eeb4d0c7fee51e25a1c9b5140",
        "697df349e5bfbe41",
    ),
    ("logistic_regression", "compiled"): (
        "3be2bac6372dc6179293fa07dc92456da144fb32fc00e94c226f8bd62583e249",
        "65f4cf01c2297c4d",
    ),
    ("xor", "compiled"): (
        "7405e08edee9b9605b5880cd256834eaaf041feb96414a63c65e9d23dc350caf",
        "f84e2bd7198fe49b",
    ),
}
"""The hash of the parameters, and the beginning of that of the losses of all steps."""


@pytest.mark.parametrize(("config", "engine"), BITS)
def test_the_bits_are_what_they_were(config: str, engine: Any) -> None:
    run = train(load_spec(ROOT / "configs" / f"{config}.yaml"), profile=Profile(engine, runs=None))
    losses = hashlib.sha256(run.history["train_loss_step"].values.tobytes()).hexdigest()
    assert (run.parameters_sha256, losses[:16]) == BITS[config, engine]
