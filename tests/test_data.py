"""Data as it is meant to be: sources, splits, scaling, encoding, hashes, random streams."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_api import imports_of

from trainer import DataError
from trainer.data import Dataset, Part, Table, load_dataset, load_table, split_rows
from trainer.data.columns import blocks
from trainer.numerics.sums import column_sums
from trainer.randomness import PURPOSES, Purpose, stream
from trainer.spec import Spec, load_spec
from trainer.spec.sources import BUNDLED, SYNTHETIC

thorough = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def make_spec(source: Any, loss: str = "squared", units: int = 1, **data: Any) -> Spec:
    """A spec of one layer; `seed` and `dtype` go where they belong, the rest under `data`."""
    return Spec(
        name="t",
        seed=data.pop("seed", 7),
        model={
            "layers": [{"units": units}],
            "loss": loss,
            "dtype": data.pop("dtype", "float64"),
        },
        sgd={"learning_rate": 0.1, "epochs": 1, "batch_size": "full"},
        data={"source": source, **data},
    )


def inline(x: Sequence[Sequence[float]], y: Sequence[Any]) -> dict[str, Any]:
    return {"inline": {"x": x, "y": y}}


# Bundled data sets -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_data_equal_scikit_learns(name: str) -> None:
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    theirs = getattr(datasets, f"load_{name}")(**options)
    classes = name != "diabetes"
    ours = load_table(make_spec(name, "logistic" if classes else "squared"))
    assert ours.features == tuple(theirs.feature_names)
    assert ours.x.dtype == np.float64
    np.testing.assert_array_equal(ours.x, theirs.data)
    np.testing.assert_array_equal(ours.target if classes else ours.target[:, 0], theirs.target)
    if classes:
        assert ours.classes == tuple(str(label) for label in theirs.target_names)
        numbers = load_table(make_spec(name)).target
        np.testing.assert_array_equal(numbers[:, 0], theirs.target)
    else:
        assert ours.classes is None


def test_bundled_features_are_chosen_by_name() -> None:
    spec = make_spec("iris", target="petal width (cm)", features=["target", "sepal width (cm)"])
    table = load_table(spec)
    assert table.features == ("target", "sepal width (cm)")
    assert (table.x[0].tolist(), table.target[0].tolist()) == ([0, 3.5], [0.2])
    assert (table.x[-1].tolist(), table.target[-1].tolist()) == ([2, 3.0], [1.8])
    assert table.x.flags.c_contiguous


# Synthetic data --------------------------------------------------------------------------------

FIRST_ROWS = {
    "xor": (
        [[-0.8744021286864769, -0.9834137963502837], [-0.877736053167093, 0.8156547380330844],
         [0.9656061556875049, -0.8687766604904367], [1.0382555806916915, 1.01423592747159]],
        [0, 1, 1, 0],
    ),
    "two_moons": (
        [[-0.1963841434389459, 1.1180156900012577], [0.04040971121502883, 0.44863393993795747],
         [-0.8473616540473554, 0.10065653069410294], [1.9617835163762658, 0.044301597182040985]],
        [0, 1, 0, 1],
    ),
    "spirals": (
        [[0.5251484104166095, 0.6197965624351262], [0.008350667065352958, -0.1271941410105952],
         [-0.7578531287476815, 0.21930233291991771], [0.7396678115082622, -0.6222662137752211]],
        [0, 1, 0, 1],
    ),
    "linear": (
        [[1.2559787131352311, 0.16586203649716266, 1.2226394683290698],
         [-1.8434526196691559, -0.3439384431249516, 1.3122333950956335],
         [0.3825558069169159, 0.14235927471590076, 1.1586649408649101],
         [-1.6802829329608973, 0.8067119447558013, 0.17208645337154568]],
        [3.7996174174402704, -0.9536350374594907, 1.846034317790717, -4.7110006361195245],
    ),
}  # fmt: skip


def draw(name: str, rows: int, noise: float = 0.1, seed: int = 7) -> Table:
    loss = "squared" if name == "linear" else "logistic"
    source = {"synthetic": name, "rows": rows, "noise": noise}
    return load_table(make_spec(source, loss, seed=seed))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_the_first_rows_of_synthetic_data(name: str) -> None:
    x, y = FIRST_ROWS[name]
    table = draw(name, rows=4)
    np.testing.assert_array_equal(table.x, x)
    np.testing.assert_array_equal(table.target.ravel(), y)
    assert not np.array_equal(draw(name, rows=4, seed=8).x, table.x)


@pytest.mark.parametrize("name", ["xor", "two_moons", "spirals"])
def test_synthetic_classes_are_balanced(name: str) -> None:
    counts = np.bincount(draw(name, rows=403).target)
    assert len(counts) == 2
    assert abs(counts[0] - counts[1]) <= 1


def test_the_corners_of_xor() -> None:
    table = draw("xor", rows=8, noise=0)
    assert set(map(tuple, table.x.tolist())) == set(product((-1, 1), repeat=2))
    np.testing.assert_array_equal(table.target == 1, table.x[:, 0] != table.x[:, 1])


def test_the_moons_are_half_circles() -> None:
    table = draw("two_moons", rows=500, noise=0)
    upper, lower = table.x[table.target == 0], table.x[table.target == 1]
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(lower - [1, 0.5], axis=1), 1)
    assert (upper[:, 1] >= 0).all()
    assert (lower[:, 1] <= 0.5).all()


def test_the_spirals_turn_one_and_a_half_times() -> None:
    table = draw("spirals", rows=1000, noise=0)
    radius = np.linalg.norm(table.x, axis=1)
    assert radius.max() <= 1
    angle = 3 * np.pi * radius + np.pi * table.target
    np.testing.assert_allclose(table.x[:, 0], radius * np.cos(angle), atol=1e-12)
    np.testing.assert_allclose(table.x[:, 1], radius * np.sin(angle), atol=1e-12)
    assert np.mean(radius**2) == pytest.approx(0.5, abs=0.05)  # as dense everywhere in the disc


def test_the_line_is_the_documented_one() -> None:
    table = draw("linear", rows=200, noise=0)
    np.testing.assert_allclose(table.target[:, 0], table.x @ [2, -3, 0.5] + 1)
    assert np.std(draw("linear", 10_000, noise=3).target - draw("linear", 10_000, noise=0).target) \
        == pytest.approx(3, rel=0.05)  # fmt: skip


# CSV -------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**30), 10**30).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9).map(
        lambda d: f"{d:f}"
    ),
    st.builds("{}{}e{}".format, st.sampled_from(["", "+", "-"]), st.integers(0, 10**18),
              st.integers(-360, 280)),
    st.builds("{}.{}".format, st.integers(0, 99), st.text("0123456789", max_size=40)),
)  # fmt: skip


@thorough
@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_a_cell_is_the_float_that_python_reads(folder: Path, cells: list[str]) -> None:
    Path("t.csv").write_text("a,y\n" + "".join(f"{cell},0\n" for cell in cells))
    x = load_table(make_spec({"csv": "t.csv"}, target="y")).x[:, 0]
    assert x.tobytes() == struct.pack(f"{len(cells)}d", *map(float, cells))


def test_columns_of_a_csv_are_chosen_by_name(folder: Path) -> None:
    Path("t.csv").write_text("y;note;b;a\n1;text;2;3\n4;;5;6\n")
    source = {"csv": "t.csv", "delimiter": ";"}
    table = load_table(make_spec(source, target="y", features=["a", "b"]))
    assert table.features == ("a", "b")
    assert table.x.tolist() == [[3, 2], [6, 5]]
    assert table.target.tolist() == [[1], [4]]
    assert table.x.flags.c_contiguous


def test_a_csv_is_found_beside_the_spec(write_spec: Callable[..., Path]) -> None:
    Path("deep/data").mkdir(parents=True)
    Path("deep/data/t.csv").write_text("a,y\n1,0\n2,1\n")
    changes = {"data": {"source": {"csv": "data/t.csv"}, "target": "y"}}
    spec = load_spec(write_spec(changes, "deep/spec.yaml").relative_to(Path.cwd()))
    assert load_table(spec).origin == "deep/data/t.csv"


# Split -----------------------------------------------------------------------------------------


def labelled(sizes: Sequence[int], seed: int) -> Table:
    """A table of as many classes as sizes, its rows in any order."""
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    classes = tuple(range(len(sizes)))
    return Table(("x",), np.zeros((len(codes), 1)), "y", codes, classes, "")


def real(rows: int) -> Table:
    return Table(("x",), np.zeros((rows, 1)), "y", np.zeros((rows, 1)), None, "")


def split_spec(validation: float, test: float, seed: int = 7) -> Spec:
    split = {"validation": validation, "test": test}
    return make_spec("iris", split=split, seed=seed)


SEEDS = st.integers(0, 2**63 - 1)
FRACTIONS = st.floats(0, 0.6)


@thorough
@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), FRACTIONS, FRACTIONS, SEEDS)
def test_every_split_is_whole_and_stratified(
    sizes: list[int], validation: float, test: float, seed: int
) -> None:
    assume(validation + test < 1)
    table = labelled(sizes, seed % 1000)
    try:
        parts = split_rows(split_spec(validation, test, seed), table)
    except DataError:  # a part, or a class of the training rows, would be empty
        fewest = min(sizes) * (1 - validation - test)
        assert fewest <= 2 or any(0 < f * sum(sizes) <= 0.5 for f in (validation, test))
        return
    rows = np.concatenate(list(parts.values()))
    assert sorted(rows) == list(range(sum(sizes)))
    for name, fraction in (("validation", validation), ("test", test)):
        assert (np.diff(parts[name]) > 0).all()
        assert abs(len(parts[name]) - fraction * sum(sizes)) <= 0.5 + 1e-9
        counts = np.bincount(table.target[parts[name]], minlength=len(sizes))
        assert (abs(counts - fraction * np.array(sizes)) <= 1 + 1e-9).all()
    assert set(table.target[parts["train"]]) == set(range(len(sizes)))


@thorough
@given(st.integers(1, 500), FRACTIONS, FRACTIONS, SEEDS)
def test_without_classes_the_counts_are_rounded(
    rows: int, validation: float, test: float, seed: int
) -> None:
    assume(validation + test < 1)
    counts = [math.floor(fraction * rows + 0.5) for fraction in (validation, test)]
    spec = split_spec(validation, test, seed)
    empty = any(f and not count for f, count in zip((validation, test), counts, strict=True))
    if empty or sum(counts) == rows:
        with pytest.raises(DataError):
            split_rows(spec, real(rows))
        return
    parts = split_rows(spec, real(rows))
    assert [len(parts["validation"]), len(parts["test"])] == counts
    assert sorted(np.concatenate(list(parts.values()))) == list(range(rows))


def test_the_rows_of_a_split_as_documented() -> None:
    """In the order that the seed draws: first the rows for testing, then for validation."""
    order = stream(7, "split").permutation(10).tolist()
    assert order == [1, 9, 2, 8, 5, 0, 4, 3, 7, 6]
    parts = split_rows(split_spec(validation=0.3, test=0.2), real(10))
    assert parts["test"].tolist() == sorted(order[:2])
    assert parts["validation"].tolist() == sorted(order[2:5])
    assert parts["train"].tolist() == sorted(order[5:])


def test_a_split_depends_on_the_seed_alone() -> None:
    def rows(seed: int, **changes: Any) -> dict[str, list[int]]:
        spec = make_spec("wine", seed=seed, split={"validation": 0.2, "test": 0.3}, **changes)
        return {name: part.tolist() for name, part in split_rows(spec, load_table(spec)).items()}

    assert rows(1) == rows(1)
    assert rows(1) == rows(1, standardize=True, features=["hue", "ash"], dtype="float32")
    assert rows(1) != rows(2)


def test_parts_hold_the_rows_that_they_name() -> None:
    spec = make_spec("diabetes", split={"validation": 0.25, "test": 0.25})
    table, dataset = load_table(spec), load_dataset(spec)
    for name, rows in split_rows(spec, table).items():
        part = getattr(dataset, name)
        assert len(part) == len(rows)
        np.testing.assert_array_equal(part.x, table.x[rows])
        np.testing.assert_array_equal(part.y, table.target[rows])
    assert load_dataset(make_spec("diabetes")).validation is None


# Standardisation -------------------------------------------------------------------------------


def test_the_scale_is_that_of_the_training_rows() -> None:
    split = {"split": {"validation": 0.1, "test": 0.1}}
    numbers = iter([2, 4, 4, 4, 5, 5, 7, 9])  # mean 5, deviation 2
    train = set(split_rows(make_spec("iris", **split), real(10))["train"].tolist())
    x = [[next(numbers) if row in train else 1005.0, 3.5 if row in train else 9] for row in
         range(10)]  # fmt: skip
    dataset = load_dataset(make_spec(inline(x, [0] * 10), standardize=True, **split))
    how = dataset.preprocessing.scaling
    assert (how.shift.tolist(), how.scale.tolist()) == ([5, 3.5], [2, 1])
    assert dataset.train.x[:, 0].tolist() == [-1.5, -0.5, -0.5, -0.5, 0, 0, 1, 2]
    assert dataset.train.x[:, 1].tolist() == [0] * 8
    for part in (dataset.validation, dataset.test):
        assert part is not None
        assert part.x.tolist() == [[500, 5.5]]


def test_the_scale_is_the_populations() -> None:
    spec = make_spec("wine", standardize=True, split={"test": 0.3})
    dataset, table = load_dataset(spec), load_table(spec)
    how = dataset.preprocessing.scaling
    for i, column in enumerate(table.x[split_rows(spec, table)["train"]].T.tolist()):
        assert how.shift[i] == pytest.approx(statistics.fmean(column), rel=1e-14)
        assert how.scale[i] == pytest.approx(statistics.pstdev(column), rel=1e-12)
    np.testing.assert_allclose(dataset.train.x.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(dataset.train.x.std(axis=0), 1)


@pytest.mark.parametrize("columns", [1, 2, 3, 30])
def test_no_block_shows_in_a_scale(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The means and deviations are those of all rows at once, to the last bit."""
    monkeypatch.setattr(blocks, "CELLS", 64)
    x = 1e3 + np.random.default_rng(0).standard_normal((2000, columns))
    spec = make_spec(inline(x.tolist(), [0] * len(x)), standardize=True, split={"test": 0.3})
    found = load_dataset(spec).preprocessing.scaling
    chosen = x[split_rows(spec, load_table(spec))["train"]]
    mean = column_sums(chosen) / len(chosen)
    deviation = np.sqrt(column_sums((chosen - mean) ** 2) / len(chosen))
    np.testing.assert_array_equal(found.shift, mean)
    np.testing.assert_array_equal(found.scale, deviation)


def test_without_standardisation_numbers_stay() -> None:
    dataset = load_dataset(make_spec(inline([[1, 2], [3, 5]], [0, 1])))
    assert not dataset.preprocessing.scaling.changes
    assert dataset.train.x.tolist() == [[1, 2], [3, 5]]


# Encoding --------------------------------------------------------------------------------------


def encode(y: Sequence[Any], units: int, loss: str = "logistic", **data: Any) -> Dataset:
    x = [[float(i)] for i in range(len(y))]
    return load_dataset(make_spec(inline(x, y), loss, units, **data))


def test_two_classes_and_one_output_are_0_and_1() -> None:
    dataset = encode(["no", "yes", "no"], units=1)
    assert (dataset.classes, dataset.outputs) == (("no", "yes"), 1)
    assert dataset.train.y.tolist() == [[0], [1], [0]]


def test_k_outputs_are_one_hot() -> None:
    assert encode([5, -5, 5], units=2).train.y.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert encode(["b", "c", "a"], units=3).train.y.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([10, 9, -1, 9], (-1, 9, 10)),
        ([2.0, 10, 1], (1, 2, 10)),
        (["10", "9", "a", "B", "é"], ("10", "9", "B", "a", "é")),
        ([True, False], (False, True)),
    ],
)
def test_the_order_of_classes(y: list[Any], classes: tuple[Any, ...]) -> None:
    dataset = encode(y, units=len(classes))
    assert dataset.classes == classes
    assert [type(label) for label in dataset.classes] == [type(label) for label in classes]
    assert [classes[i] for i in dataset.train.y.argmax(axis=1)] == y


def test_numbers_stay_numbers_with_the_squared_loss() -> None:
    assert encode([1, 2.5], 1, "squared").train.y.tolist() == [[1], [2.5]]
    assert encode([[1, 2], [3, 4.5]], 2, "squared").train.y.tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "units"), [("logistic", 3), ("squared", 1)])
def test_parts_are_ready_for_an_engine(dtype: str, loss: str, units: int) -> None:
    spec = make_spec("iris", loss, units, dtype=dtype, standardize=True, split={"test": 0.5})
    dataset = load_dataset(spec)
    for part in (dataset.train, dataset.test):
        assert part is not None
        for array in (part.x, part.y):
            assert array.dtype == dtype
            assert array.flags.c_contiguous


# Blocks ----------------------------------------------------------------------------------------


def parts_of(dataset: Dataset) -> list[Part]:
    parts = (dataset.train, dataset.validation, dataset.test)
    return [part for part in parts if part is not None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("split", [{}, {"validation": 0.2, "test": 0.1}])
@pytest.mark.parametrize(
    ("source", "loss", "units"),
    [
        *(({"synthetic": name, "rows": 1003}, "squared", 1) for name in SYNTHETIC),
        ({"synthetic": "two_moons", "rows": 1003}, "logistic", 1),
        ("digits", "logistic", 10),
        ("diabetes", "squared", 1),
    ],
)
def test_where_blocks_end_changes_no_bit(
    source: Any, loss: str, units: int, split: dict[str, float], dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def bits(cells: int) -> list[bytes]:
        monkeypatch.setattr(blocks, "CELLS", cells)
        parts = parts_of(load_dataset(spec))
        return [array.tobytes() for part in parts for array in (part.x, part.y)]

    spec = make_spec(source, loss, units, split=split, dtype=dtype, standardize=True)
    assert bits(64) == bits(2**30)


@pytest.mark.parametrize(
    ("dtype", "measured", "data"),
    [
        ("float32", 1.03, {}),
        ("float32", 1.14, {"split": {"validation": 0.1, "test": 0.1}, "standardize": True}),
        ("float64", 0.73, {"standardize": True}),  # the parts take the table's own memory
    ],
)
def test_loading_needs_the_table_and_the_parts(
    dtype: str, measured: float, data: dict[str, Any]
) -> None:
    rows = 1_000_000
    spec = make_spec({"synthetic": "two_moons", "rows": rows}, "logistic", dtype=dtype, **data)
    tracemalloc.start()
    try:
        dataset = load_dataset(spec)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    table = rows * (2 + 1) * 8
    parts = sum(part.nbytes for part in parts_of(dataset))
    numbers = rows * 8  # of the rows of each part
    assert peak < 1.06 * measured * (table + parts + numbers)


# The hash of the data --------------------------------------------------------------------------


def recipe(
    features: list[str],
    target: str,
    x: list[list[float]],
    y: list[Any],
    classes: list[Any] | None = None,
) -> str:
    """Header as JSON with sorted keys; x, row by row, and the target as little-endian numbers."""
    header = {"classes": classes, "features": features, "rows": len(x), "target": target}
    cells = [cell for row in x for cell in row]
    data = json.dumps(header).encode() + struct.pack(f"<{len(cells)}d", *cells)
    if classes is None:
        data += struct.pack(f"<{len(y)}d", *y)
    else:
        data += struct.pack(f"<{len(y)}q", *[classes.index(label) for label in y])
    return hashlib.sha256(data).hexdigest()


X = [[0.1, -2.0], [3.0, 4e-300], [5.0, 0.0]]


def hash_of(x: list[list[float]], y: list[Any], loss: str = "squared") -> str:
    return load_table(make_spec(inline(x, y), loss)).sha256


def test_the_hash_follows_the_documented_recipe() -> None:
    golden = "03be8a2af61fff7d39d2b3641bd2f7a244300f46768679dd92587bf947bee1cd"
    assert hash_of(X, [1.5, 2, 3]) == recipe(["x1", "x2"], "y", X, [1.5, 2, 3]) == golden
    for y in ([3, 1, 3], ["é", "a", "b"], [True, False, True]):
        classes = sorted(set(y))
        assert hash_of(X, y, "logistic") == recipe(["x1", "x2"], "y", X, y, classes)


def test_a_csv_has_the_hash_of_the_same_inline_data(folder: Path) -> None:
    rows = [f"{a!r},{b!r}" for a, b in X]
    for y, loss in (([1.5, 2, 3], "squared"), ([3, 1, 3], "logistic"), ("aba", "logistic")):
        lines = [f"{row},{label}\r\n" for row, label in zip(rows, y, strict=True)]
        Path("t.csv").write_text("x1,x2,y\r\n" + "".join(lines), newline="")
        table = load_table(make_spec({"csv": "t.csv"}, loss, target="y"))
        assert table.sha256 == hash_of(X, list(y), loss)


def test_the_hash_changes_with_anything_that_matters(folder: Path) -> None:
    def hash_csv(header: str, *rows: str, **data: Any) -> str:
        Path("t.csv").write_text("\n".join((header, *rows)))
        return load_table(make_spec({"csv": "t.csv"}, **({"target": "y"} | data))).sha256

    same = hash_csv("a,b,y", "1,2,3", "4,5,6")
    assert same == hash_csv("y,n,b,a", "3,,2,1.0", "6,t,5,4", features=["a", "b"])
    others = [
        *(hash_csv("a,b,y", *rows) for rows in (
            ("1.0000000000000002,2,3", "4,5,6"), ("1,2,3", "4,5.5,6"), ("1,2,3", "4,5,7"),
            ("4,5,6", "1,2,3"), ("1,2,3",), ("1,2,3", "4,5,6", "4,5,6"), ("2,1,3", "5,4,6"),
        )),
        hash_csv("a,c,y", "1,2,3", "4,5,6"),
        hash_csv("b,a,y", "1,2,3", "4,5,6"),
        hash_csv("a,b,z", "1,2,3", "4,5,6", target="z"),
        hash_csv("a,b,y", "1,2,3", "4,5,6", features=["b", "a"]),
        hash_csv("a,b,y", "1,2,3", "4,5,6", loss="logistic"),
    ]  # fmt: skip
    assert len({same, *others}) == len(others) + 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_hash_is_that_of_the_data_as_read(dtype: str) -> None:
    spec = make_spec("diabetes", dtype=dtype, standardize=True)
    assert load_dataset(spec).sha256 == load_table(spec).sha256


def test_other_class_names_are_other_data() -> None:
    assert hash_of(X, ["a", "b", "a"], "logistic") != hash_of(X, ["a", "c", "a"], "logistic")


# Random streams --------------------------------------------------------------------------------

FIRST_BITS = {
    ("split", 0): [16278639771243212573, 6807555713146629974, 9538252321840362231],
    ("initialise", 0): [6761626009778191725, 7376704809834784026, 15642809119808182782],
    ("order", 0): [8893702929424106994, 13357943582879616415, 927023405073346982],
    ("synthetic", 0): [10178753427918985433, 385477333659443678, 16849458828078215758],
    ("order", 3): [14782732156583515734],
}


@pytest.mark.parametrize(("purpose", "index"), FIRST_BITS)
def test_the_first_bits_of_streams(purpose: Purpose, index: int) -> None:
    expected = FIRST_BITS[purpose, index]
    drawn = stream(7, purpose, index).bit_generator.random_raw(len(expected))
    assert drawn.tolist() == expected == philox(7, PURPOSES[purpose], index)[: len(expected)]


def test_the_first_draws_of_streams() -> None:
    """What is drawn from the bits: a NumPy that draws in another way is noticed."""
    assert stream(7, "order").permutation(10).tolist() == [8, 4, 5, 3, 6, 0, 9, 7, 1, 2]
    assert stream(7, "synthetic").random(2).tolist() == [0.551791328987202, 0.0208967681298744]
    assert stream(7, "synthetic").standard_normal(2).tolist() == [
        0.952017167076829, -0.3955736569163015]  # fmt: skip
    assert stream(7, "initialise").uniform(-1, 1, 2).tolist() == [
        -0.26690303906639934, -0.20021606193928587]  # fmt: skip


def test_every_stream_is_another() -> None:
    assert set(PURPOSES) == set(get_args(Purpose))
    assert len(set(PURPOSES.values())) == len(PURPOSES)
    drawn = {
        tuple(stream(seed, purpose, index).bit_generator.random_raw(2).tolist())
        for seed in (0, 1, 2**63 - 1)
        for purpose in PURPOSES
        for index in (0, 1, 10**6)
    }
    assert len(drawn) == 3 * len(PURPOSES) * 3


def philox(seed: int, purpose: int, index: int) -> list[int]:
    """The first block of Philox4x64-10, as the paper has it; NumPy's counter begins at 1."""
    mask = 2**64 - 1
    counter, key = [1, 0, 0, index], [seed, purpose]
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [
            (second >> 64) ^ counter[1] ^ key[0], second & mask,
            (first >> 64) ^ counter[3] ^ key[1], first & mask,
        ]  # fmt: skip
        key = [(key[0] + 0x9E3779B97F4A7C15) & mask, (key[1] + 0xBB67AE8584CAA73B) & mask]
    return counter


# Imports ---------------------------------------------------------------------------------------


def test_reading_data_imports_no_large_library(folder: Path) -> None:
    Path("t.csv").write_text("a,y\n1,b\n2,c\n")
    script = (
        "import sys; from trainer.data import load_dataset; from trainer.spec import Spec\n"
        "assert 'pyarrow' not in sys.modules\n"
        "for source, units in (('iris', 3), ({'csv': 't.csv'}, 2)):\n"
        "    target = 'y' if units == 2 else 'target'\n"
        "    load_dataset(Spec(name='t', data={'source': source, 'target': target},\n"
        "                      model={'layers': [{'units': units}], 'loss': 'logistic'},\n"
        "                      sgd={'learning_rate': 1, 'epochs': 1, 'batch_size': 2}))\n"
        "print(*sorted({'mlflow', 'pandas', 'sklearn', 'scipy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")


# Rooms -------------------------------------------------------------------------------------------


def test_rooms_of_data_import_one_way() -> None:
    """`reading` and `preparing` know `columns`, not each other; what stands above knows them."""
    may = {"columns": {"columns"}, "reading": {"columns", "reading"},
           "preparing": {"columns", "preparing"}}  # fmt: skip
    package = ROOT / "trainer/data"
    for room, known in may.items():
        for path in (package / room).glob("*.py"):
            for name in imports_of(path):
                if name.startswith("trainer.data."):
                    assert name.split(".")[2] in known | {"misfits"}, f"{path}: {name}"
