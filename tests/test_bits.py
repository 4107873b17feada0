"""These runs give these very bits, whatever is changed in this project, on every CPU."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from conftest import ROOT

from trainer import Profile, load_spec, train

BITS = {
    ("flats", "compiled"): (
        "15ebce19a553ae1d2d5141ed121690777dfdbe34ba0b53652340c84408ddac30",
        "b7101671f096be60",
    ),
    ("hidden_layer", "compiled"): (
        "644e860e8494a92c120119d9e8befb383421b43172b75d3718a24ca5f56964f8",
        "dc8f6a666a5095cf",
    ),
    ("iris", "compiled"): (
        "ac7aecc30c3fe790cb3ccc5dfcd6ba21e00f4b1d2d55c7d5116b564df7e053a5",
        "a8475be15d7dacdb",
    ),
    ("lecture/3_logistic_regression", "compiled"): (
        "2b668e2e03c8b4600458cebae216c2f27fd5e1fd38c0596742baa7d1e9e5c49a",
        "a28150e786ca48a6",
    ),
    ("lecture/4_linear_regression", "compiled"): (
        "60f5405cb1760a7ef19127da24d2b29cc7d07502f504936768ac89bf5d12be36",
        "c27051d300b7d873",
    ),
    ("lecture/4_linear_regression", "reference"): (
        "072390ed2e80e0ae6391b7043b82adb201d64af4dab74c8f0074953d2ede5e2b",
        "caadb3d85a7b7ac1",
    ),
    ("lecture/5_hidden_unit", "compiled"): (
        "1832959fbf5bb7b19d37cf43e74d4a092df3a5fc69b2291dff10851fd155ca4a",
        "2cfb86f5765ce029",
    ),
    ("lecture/5_hidden_unit", "reference"): (
        "553d1d3b57f71bbf806dff99c3bced8b63d4fedfe283eaf2ee077250fbb4add7",
        "df5769327a35206a",
    ),
    ("lecture/6_network", "compiled"): (
        "f87df21c42f69df9988293967f9bd79c89dda411d4dde3845fb141d4cd295e92",
        "b20ee05534c059c8",
    ),
    ("linear_regression", "compiled"): (
        "69f72c4443eec5a1ad23f575509050af2c34470558f4f7818bc11c4ec5a487ba",
        "0cf7e662271417e2",
    ),
    ("logistic_regression", "compiled"): (
        "9d72b641a3074312117bf7aa3adde1fee6315837f2274688b6cefcd3fdf62ce1",
        "ea6fba84c7d64120",
    ),
    ("xor", "compiled"): (
        "dcd58b7d5893e67bc7d06303f7d58a49624e5ce5d5c8aa76344da16b0fc686f0",
        "db430da7d5970c56",
    ),
}
"""The hash of the parameters, and the beginning of that of the losses of all steps."""


@pytest.mark.parametrize(("config", "engine"), BITS)
def test_the_bits_are_what_they_were(config: str, engine: Any) -> None:
    run = train(load_spec(ROOT / "configs" / f"{config}.yaml"), profile=Profile(engine, runs=None))
    losses = hashlib.sha256(run.history["train_loss_step"].values.tobytes()).hexdigest()
    assert (run.parameters_sha256, losses[:16]) == BITS[config, engine]
