"""What wide tables cost: refused before memory is taken, and linear in columns and categories."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer.data import load_dataset
from trainer.errors import Problem, SpecError
from trainer.graph.initialisers import initial_parameters
from trainer.machine import machine_memory
from trainer.network.build import build_graph
from trainer.network.model import Model
from trainer.spec import Spec, load_spec

GB = 10**9

SPEC = """\
name: shop
seed: 1
data:
  source: {csv: data.csv}
  target: price
model:
  layers: [{units: 1}]
  loss: squared
sgd: {learning_rate: 0.05, batch_size: 16, epochs: 1}
"""


def refused(spec: Spec) -> Problem:
    """The one problem that the spec has with its data."""
    with pytest.raises(SpecError) as raised:
        load_dataset(spec)
    [problem] = raised.value.problems
    return problem


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A spec of 1,500 sales of 500 articles."""
    rows = [f"S{i % 500},{i % 7},{i % 11}" for i in range(1500)]
    (tmp_path / "data.csv").write_text("\n".join(["sku,pieces,price", *rows]) + "\n")
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["data.stream=true"],
        ["data.scale=standard"],
        ["data.columns={sku: {type: categorical}}"],
    ],
)
def test_more_columns_than_memory_holds_are_refused(
    changes: list[str], shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # (500 + 1 + 1) numbers of 4 bytes in 1500 rows
    monkeypatch.setattr("trainer.data.preparing.room.machine_memory", lambda: 3 * 10**6)
    problem = refused(load_spec(shop, changes))
    assert problem.message == (
        "'sku' becomes 500 columns, one for each category: 1,500 rows need 3.0 MB of memory, "
        "and this machine has 3.0 MB"
    )
    assert "`data.columns: {sku: {encode: embedding}}`" in (problem.hint or "")
    monkeypatch.setattr("trainer.data.preparing.room.machine_memory", lambda: 3_012_000)
    load_dataset(load_spec(shop, changes))


def test_many_plain_columns_are_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").write_text("a,b,price\n" + "1,2,3\n" * 100)
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.setattr("trainer.data.preparing.room.machine_memory", lambda: 1000)
    problem = refused(load_spec(tmp_path / "spec.yaml"))
    assert (problem.message, problem.hint) == (
        "there are 3 columns: 100 rows need 1.2 kB of memory, and this machine has 1.0 kB",
        "leave some columns or rows out",
    )


@pytest.mark.parametrize(
    ("changes", "noted"),
    [([], True), (["data.columns={sku: {encode: embedding, dimensions: 8}}"], False)],
)
def test_some_hundred_columns_of_one_feature_are_told(
    changes: list[str], noted: bool, shop: Path
) -> None:
    notes = [note for note in load_dataset(load_spec(shop, changes)).notes if "'sku'" in note]
    assert notes == noted * [
        "'sku' becomes 500 columns, one for each category: "
        "write `data.columns: {sku: {encode: embedding}}`, "
        "or group the rare ones, as `max_categories: 50`"
    ]


@pytest.mark.parametrize(
    ("limit", "mapped", "have"),
    [
        (6 * GB, "1000000 5 5 5 0 5 0", 6 * GB - 4096 * 10**6),
        (GB, "1000000 5", 0),
        (6 * GB, "", 6 * GB),
    ],
)
def test_a_limit_of_the_shell_counts(
    limit: int, mapped: str, have: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "statm").write_text(mapped)
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**32}
    monkeypatch.setattr("os.sysconf", sizes.__getitem__)
    monkeypatch.setattr("resource.getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr("trainer.machine.MAPPED", tmp_path / "statm")
    monkeypatch.setattr("trainer.machine.CGROUP_LIMIT", tmp_path / "none")
    assert machine_memory() == have


# Time --------------------------------------------------------------------------------------------


def seconds(function: Callable[[], object]) -> float:
    """The least of two times."""
    times = []
    for _ in range(2):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def wide(folder: Path, columns: int) -> Path:
    """A spec of 40 rows of so many numbers, ranked."""
    folder.mkdir()
    x = np.random.default_rng(14).gamma(2.0, 3.0, (40, columns)).round(3).tolist()
    names = [f"gene_{i}" for i in range(columns)]
    lines = [",".join([*names, "price"]), *(",".join(map(str, [*row, row[0]])) for row in x)]
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    (folder / "spec.yaml").write_text(
        SPEC.replace("target: price", "target: price\n  scale: quantile")
    )
    return folder / "spec.yaml"


def test_time_grows_with_the_columns_and_not_with_their_square(tmp_path: Path) -> None:
    """Ten times the columns take less than twenty times as long, where a square takes a hundred."""
    few, many = (load_spec(wide(tmp_path / str(n), n)) for n in (100, 1000))

    def prepare(spec: Spec) -> None:
        build_graph(spec, load_dataset(spec).layout)

    assert seconds(lambda: prepare(many)) < 20 * seconds(lambda: prepare(few))


def test_curves_are_as_many_onnx_nodes_for_any_number_of_columns(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from trainer.export.onnx import onnx_model

    def nodes(columns: int) -> int:
        spec = load_spec(wide(tmp_path / str(columns), columns))
        dataset = load_dataset(spec)
        parameters = initial_parameters(build_graph(spec, dataset.layout), spec.seed)
        model = Model.from_parts(spec, parameters, dataset.preprocessing)
        return len(onnx_model(model, {}).graph.node)

    assert nodes(50) == nodes(5)
