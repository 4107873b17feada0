"""Rows that stay on disk: the same table, the same bits, a window of it in memory."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import TINY, set_state
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as pacsv
from pyarrow import feather, parquet
from test_data_faults import ALL, Row, load, tell

import trainer
from trainer import DataError, Profile, Run
from trainer.data import Dataset, Part, load_dataset, load_table
from trainer.data import on_disk as passes
from trainer.data import spool as streamed
from trainer.data.preparing.splitting import deal_by_counter
from trainer.data.reading import csv, formats, pieces
from trainer.data.spool import RowFormat, Scratch, Spool, StreamedPart
from trainer.explain.cases import cases_of_part, cases_of_spec
from trainer.graph.ops import Array
from trainer.network.build import build_graph
from trainer.network.memory import estimate_memory
from trainer.randomness import stream
from trainer.report.health import examine
from trainer.report.outcome import measure
from trainer.report.weights import batch_rows, weights
from trainer.spec import Spec
from trainer.training import StepsDone, make_job, run_job
from trainer.training.history import History

SPLIT = {"validation": 0.2, "test": 0.1}
ROWS = 1500


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are kept in runs/ of an empty folder."""
    monkeypatch.delenv("TMPDIR", raising=False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of some rows, windows of some blocks, and calls for some rows."""
    monkeypatch.setattr(streamed, "BLOCK", 500)
    monkeypatch.setattr(streamed, "WINDOW", 5)
    monkeypatch.setattr("trainer.training.loop.GATHERED", 3000)


def table(rows: int = ROWS) -> pa.Table:
    """Columns of most kinds with gaps, and two targets."""
    random = np.random.default_rng(2)
    city = random.choice(["Bonn", "Köln", "Paris", "Wien"], rows).tolist()
    return pa.table(
        {
            "a": random.normal(3, 2, rows).round(3),
            "b": [None if gap else v for gap, v in zip(random.random(rows) < 0.1,
                                                      random.exponential(2, rows).round(3).tolist(),
                                                      strict=True)],
            "city": [None if gap else v for gap, v in zip(random.random(rows) < 0.1, city,
                                                         strict=True)],
            "own": random.random(rows) < 0.3,
            "w": random.integers(1, 5, rows).astype(float),
            "y": [("no", "perhaps", "yes")[i] for i in random.integers(0, 3, rows).tolist()],
            "z": random.normal(size=rows).round(3),
        }
    )  # fmt: skip


def write(kind: str, data: pa.Table, name: str = "t") -> str:
    """Writes a table to a file of this kind; its name."""
    path = f"{name}.{kind}"
    if kind == "parquet":
        parquet.write_table(data, path, row_group_size=400)
    elif kind == "arrow":
        feather.write_feather(data, path, chunksize=300)
    else:
        pacsv.write_csv(data, f"{name}.csv")
    if kind == "csv.gz":
        Path(path).write_bytes(gzip.compress(Path(f"{name}.csv").read_bytes()))
    return path


CLASSES: dict[str, Any] = {
    "model": {"layers": [{"units": 4, "activation": "tanh"}, {"type": "dropout", "rate": 0.2},
                         {"units": 3}], "loss": "logistic", "class_weights": "balanced"},
    "data": {"target": "y", "weights": "w", "features": ["a", "b", "city", "own"]},
}  # fmt: skip
NUMBERS: dict[str, Any] = {
    "model": {"layers": [{"units": 4, "activation": "tanh"}, {"units": 2}], "loss": "squared",
              "dtype": "float64"},
    "data": {"target": ["z", "w"], "features": ["a", "b", "city", "own"],
             "target_scale": "standard"},
}  # fmt: skip


def make_spec(
    kind: str = "parquet", what: dict[str, Any] = CLASSES, streamed: bool = True, **data: Any
) -> Spec:
    common = {
        "source": {kind.partition(".")[0]: f"t.{kind}"}, "stream": streamed, "missing": "median",
        "scale": "standard", "columns": {"b": {"scale": "quantile", "indicator": True}},
    }  # fmt: skip
    sgd = {"learning_rate": 0.05, "momentum": 0.9, "batch_size": 16, "epochs": 2}
    values = TINY | what | {"data": common | what["data"] | data, "sgd": sgd}
    return Spec.model_validate(values)


def bits(run: Run) -> tuple[str, str, dict[str, float]]:
    """What must not differ between two runs."""
    return run.parameters_sha256, run.data_sha256, dict(run.metrics)


def arrays_of(dataset: Dataset) -> dict[str, Array]:
    """All rows of all parts."""
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {
        f"{name}/{key}": array
        for name, part in parts.items()
        if part is not None
        for key, array in part.span(0, len(part)).items()
    }


# The part on disk --------------------------------------------------------------------------------


def part_of(rows: int, width: int = 3, weighted: bool = False) -> tuple[Part, StreamedPart]:
    """The same rows in memory and on disk; x begins with the number of the row."""
    x = np.arange(rows * width, dtype=np.float32).reshape(rows, width) // width
    y = -np.arange(rows, dtype=np.float32)[:, None]
    part = Part(x, y, y * 2 if weighted else None)
    spool = Spool(Scratch(Path(), 0), RowFormat(width, 1, weighted, "float32"))
    for start in range(0, rows, 7):
        spool.append(Part(**part.span(start, start + 7)))
    return part, spool.done()


def pieces_of(part: Part | StreamedPart, seed: int, size: int, skip: int = 0) -> list[Any]:
    """All pieces of an epoch's order, copied."""
    return [
        (start, {name: array.copy() for name, array in piece.items()})
        for start, piece in part.shuffled(stream(seed, "order", 1), size, skip)
    ]


@given(
    rows=st.integers(1, 300), block=st.sampled_from([1, 16, 100, 1000]),
    window=st.integers(1, 6), size=st.integers(1, 120), seed=st.integers(0, 5),
    weighted=st.booleans(), data=st.data(),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_an_epoch_takes_each_row_once_in_pieces_of_the_size(
    rows: int, block: int, window: int, size: int, seed: int, weighted: bool, data: st.DataObject
) -> None:
    """And a skip leaves pieces out, changing none; `order` says which rows they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "BLOCK", block)
        patch.setattr(streamed, "WINDOW", window)
        part, ours = part_of(rows, weighted=weighted)
        whole = pieces_of(ours, seed, size)
        assert [start for start, _ in whole] == list(range(0, rows, size))
        assert [len(piece["x"]) for _, piece in whole[:-1]] == [size] * (len(whole) - 1)
        order = ours.order(stream(seed, "order", 1), 0, rows)
        assert sorted(order.tolist()) == list(range(rows))
        for start, piece in whole:
            expected = part.take(order[start : start + size])
            assert {name: array.tolist() for name, array in piece.items()} == {
                name: array.tolist() for name, array in expected.items()
            }
            assert all(array.flags.c_contiguous for array in piece.values())
        skip = data.draw(st.integers(0, rows))
        rest = pieces_of(ours, seed, size, skip)
        assert repr(rest) == repr(whole[skip // size :])
        first = data.draw(st.integers(0, rows))
        some = ours.order(stream(seed, "order", 1), first, size)
        assert some.tolist() == order[first : first + size].tolist()


@pytest.mark.parametrize("rows", [1, 15, 16, 64])
def test_rows_of_one_window_have_the_order_of_rows_in_memory(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "BLOCK", 16 * 16)  # 16 rows of 16 bytes
    monkeypatch.setattr(streamed, "WINDOW", 4)
    part, ours = part_of(rows)
    assert ours.form.block == 16
    assert repr(pieces_of(ours, 3, 10)) == repr(pieces_of(part, 3, 10))


def test_the_order_is_the_documented_one(small: None) -> None:
    """Blocks are dealt to windows in a drawn order; each window's rows are in a drawn order."""
    _, ours = part_of(1000)
    block, window = 32, 5  # the least power of two that makes 500 bytes of rows of 16
    assert ours.form.block == block
    rng = stream(9, "order", 4)
    blocks, expected = rng.permutation(32), []
    for start in range(0, 32, window):
        chosen = sorted(blocks[start : start + window].tolist())
        rows = [row for b in chosen for row in range(b * block, min((b + 1) * block, 1000))]
        expected += [rows[i] for i in rng.permutation(len(rows))]
    assert ours.order(stream(9, "order", 4), 0, 1000).tolist() == expected


def test_rows_are_read_by_their_numbers() -> None:
    part, ours = part_of(100, weighted=True)
    assert (len(ours), ours.nbytes) == (100, part.nbytes)
    for found, expected in (
        (ours.span(10, 20), part.span(10, 20)), (ours.span(95, 200), part.span(95, 200)),
        (ours.take(np.array([99, 0, 7])), part.take(np.array([99, 0, 7]))),
    ):  # fmt: skip
        assert repr(found) == repr(expected)


def test_only_a_window_is_held(small: None) -> None:
    _, ours = part_of(5000)
    assert ours.held == 5 * 32 * 16 < ours.nbytes
    assert not {"x", "y", "arrays"} & set(dir(ours))


# The same as in memory ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "csv.gz"])
@pytest.mark.parametrize("what", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_a_run_without_a_split_has_the_bits_of_one_in_memory(
    kind: str, what: dict[str, Any]
) -> None:
    write(kind, table())
    ours, theirs = (
        trainer.train(make_spec(kind, what, streamed), profile=Profile(runs=None))
        for streamed in (True, False)
    )
    assert bits(ours) == bits(theirs)


def test_rows_of_own_files_are_those_in_memory() -> None:
    """Validation and test rows in their files, of the streamed run and of one in memory."""
    rows = table()
    for name, start, stop in (("t", 0, 900), ("v", 900, 1200), ("e", 1200, 1500)):
        write("parquet", rows.slice(start, stop - start), name)
    files = {"validation": "v.parquet", "test": "e.parquet"}
    ours, theirs = (
        trainer.train(make_spec(streamed=streamed, **files), profile=Profile(runs=None))
        for streamed in (True, False)
    )
    assert bits(ours) == bits(theirs)
    assert "test_loss" in ours.metrics


def test_the_fit_and_what_is_told_of_it_are_those_in_memory() -> None:
    write("csv", table())
    ours, theirs = (load_dataset(make_spec("csv", streamed=streamed)) for streamed in (True, False))
    assert ours.preprocessing.as_json() == theirs.preprocessing.as_json()
    for name in ("sha256", "origin", "notes", "missing", "layout", "classes"):
        assert getattr(ours, name) == getattr(theirs, name)
    np.testing.assert_array_equal(ours.sample, theirs.sample)
    assert sum(ours.missing) > 100


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "csv.gz"])
def test_nothing_depends_on_how_rows_are_read(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are dealt, sampled and written by their numbers."""
    monkeypatch.setattr(passes, "SAMPLE_ROWS", 200)
    monkeypatch.setattr(pieces, "PIECE", 64)
    write(kind, table())
    found = []
    for size, blocks in ((2**16, (2**20,)), (7, (900,)), (101, (5000,))):
        monkeypatch.setattr(formats, "ROWS", size)
        monkeypatch.setattr(csv, "BLOCKS", blocks)
        dataset = load_dataset(make_spec(kind, split=SPLIT))
        rows = {name: array.tobytes() for name, array in arrays_of(dataset).items()}
        found.append((dataset.preprocessing.as_json(), dataset.sha256, dataset.notes, rows))
    assert found[0] == found[1] == found[2]


def test_weights_have_mean_1_in_each_part() -> None:
    write("parquet", table())
    found = arrays_of(load_dataset(make_spec(split=SPLIT)))
    for part in ("train", "validation", "test"):
        assert found[f"{part}/weight"].mean() == pytest.approx(1, rel=1e-6)


# Split and sample --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_fractions_come_out_about_right(seed: int) -> None:
    """Within 5 deviations of the binomial; each row by its own number, wherever a call begins."""
    rows, spec = 20_000, make_spec(split=SPLIT).model_copy(update={"seed": seed})
    dealt, _ = deal_by_counter(spec.data.split, spec.seed, 0, np.zeros(rows, np.int8))
    for part, share in enumerate((0.7, 0.2, 0.1)):
        room = 5 * np.sqrt(share * (1 - share) * rows)
        assert abs((dealt == part).sum() - share * rows) < room
    some, _ = deal_by_counter(spec.data.split, spec.seed, 777, np.zeros(1000, np.int8))
    assert (some == dealt[777:1777]).all()
    given = np.arange(1000, dtype=np.int8) % 3
    some, _ = deal_by_counter(spec.data.split, spec.seed, 777, given)
    assert (some == np.where(given == 0, dealt[777:1777], given)).all()


def test_a_large_table_is_fitted_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,500 rows those whose number is below 2³²/8; categories and counts are of all rows."""
    data = table()
    city = data["city"].to_pylist()
    city[0] = "Zürich"  # is in one row that the sample has not
    write("parquet", data.set_column(2, "city", pa.array(city)))
    monkeypatch.setattr(passes, "SAMPLE_ROWS", 200)
    spec = make_spec()
    dataset = load_dataset(spec)
    _, drawn = deal_by_counter(spec.data.split, spec.seed, 0, np.zeros(ROWS, np.int8))
    assert drawn[0] >= 2**29
    bounds = [2**32 >> k for k in range(10)]
    rows = next(
        rows for rows in (np.flatnonzero(drawn < bound) for bound in bounds) if len(rows) <= 200
    )
    a = data["a"].to_numpy()[rows]
    how = dataset.preprocessing
    assert (how.scaling.shift[0], how.scaling.scale[0]) == pytest.approx((a.mean(), a.std()))
    assert how.columns[2].categories == ("Bonn", "Köln", "Paris", "Wien", "Zürich")
    gaps = [data["a"].null_count, data["b"].null_count, city.count(None), 0]
    assert list(dataset.missing) == gaps
    note = f"scales and what fills gaps are those of {len(rows)} of 1,500 training rows"
    assert any(text.startswith(note) for text in dataset.notes)


# Going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [3, 20, 70])
def test_a_run_goes_on_to_the_bit(stop: int, small: None) -> None:
    """Stopped in the middle of an epoch, of which there are several windows."""
    write("csv", table())
    spec = make_spec("csv", split=SPLIT)

    def start() -> Any:
        dataset = load_dataset(spec)
        return make_job(spec, dataset, build_graph(spec, dataset.layout))

    whole, first, second = start(), start(), start()
    assert isinstance(whole.dataset.train, StreamedPart)
    assert len(whole.dataset.train) > 3 * streamed.WINDOW * whole.dataset.train.form.block
    ends = [list(run_job(whole))[-1]]
    events: list[Any] = []
    for event in run_job(first):
        events.append(event)
        if isinstance(event, StepsDone) and first.progress.step >= stop:
            break
    assert first.progress.done
    second.restore(first.snapshot(), events)
    ends.append(list(run_job(second))[-1])
    assert ends[0] == ends[1]
    for name, value in whole.state.items():
        np.testing.assert_array_equal(value, second.state[name])


# What a run does with its parts ------------------------------------------------------------------


def test_everything_that_looks_at_rows_finds_them(small: None) -> None:
    """Pictures, findings and explanations: those of the same rows in memory."""
    write("parquet", table(600))
    spec = make_spec(split={"validation": 0.2})
    dataset = load_dataset(spec)
    memory = replace(
        dataset,
        train=Part(**dataset.train.span(0, 600)),
        validation=Part(**dataset.validation.span(0, 600)),
    )
    told: list[Any] = []
    state: dict[str, Array] = {}
    for data in (dataset, memory):
        job, history = make_job(spec, data, build_graph(spec, data.layout)), History()
        for event in run_job(job):
            history.on(event)
        state = state or job.state  # that of the other order of rows is another
        set_state(job, state)
        outcome = measure(job)
        assert outcome is not None
        cases = cases_of_part(spec, job.parameters, data.preprocessing, data.validation, 3)
        told.append((outcome.where, outcome.y.tolist(), [c.explain().as_json() for c in cases]))
        examine(job, history)
        weights(job)
    assert told[0] == told[1]
    epoch, first = stream(spec.seed, "order", 1), batch_rows(job, 1, 0)
    assert first.tolist() == memory.train.order(epoch, 0, 16).tolist()


def test_memory_is_estimated_without_the_files(small: None) -> None:
    write("parquet", table())
    found = []
    for streams in (True, False):
        spec = make_spec(streamed=streams)
        dataset = load_dataset(spec)
        found.append(estimate_memory(spec, dataset, build_graph(spec, dataset.layout)).data)
    assert 2 * found[0] < found[1]


def test_single_rows_are_explained() -> None:
    write("csv", table())
    ours, theirs = (
        cases_of_spec(make_spec("csv", streamed=streamed), rows=range(3, 5))
        for streamed in (True, False)
    )
    assert [case.explain().as_json() for case in ours] == [
        case.explain().as_json() for case in theirs
    ]
    first, whole = load_table(make_spec("csv"), 10), load_table(make_spec("csv", streamed=False))
    np.testing.assert_array_equal(first.x, whole.x[:10])


# The disk ----------------------------------------------------------------------------------------


def test_nothing_is_left_on_the_disk() -> None:
    """Not even while the rows are there."""
    write("parquet", table())
    dataset = load_dataset(make_spec(split=SPLIT))
    assert os.listdir("runs") == []
    assert len(dataset.train.span(0, 10)["x"]) == 10


def test_tmpdir_names_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "elsewhere")
    write("parquet", table())
    load_dataset(make_spec())
    assert Path("elsewhere").is_dir()
    assert not Path("runs").exists()


NEED = (
    "None: data.stream: the rows need 0.1 MB in 'runs', whose disk {} "
    "(TMPDIR may name a folder on another disk)"
)


def test_a_disk_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    write("parquet", table())
    # x of 8 columns, y of 3 and a weight in float32, and the hash's target and weight
    row, asked = (8 + 3 + 1) * 4 + 2 * 8, []

    def usage(path: Path) -> Any:
        asked.append(path)
        return SimpleNamespace(free=ROWS * row - 1)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(DataError) as error:
        load_dataset(make_spec())
    assert tell(error.value) == NEED.format("has 0.1 MB free")
    assert asked == [Path("runs")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_becomes_full(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("wb", buffering=0))
    write("parquet", table())
    with pytest.raises(DataError) as error:
        load_dataset(make_spec())
    assert tell(error.value) == NEED.format("refuses: No space left on device")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_that_changes_between_the_passes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(kind, table())
    fit = passes._fit

    def change_and_fit(*arguments: Any) -> Any:
        write(kind, table(ROWS + 1))
        return fit(*arguments)

    monkeypatch.setattr(passes, "_fit", change_and_fit)
    with pytest.raises(DataError) as error:
        load_dataset(make_spec(kind))
    told = f"t.{kind}: this file changed while it was read (train when it is whole)"
    assert tell(error.value) == told


# Faults ------------------------------------------------------------------------------------------

# Told of the first rows with a fault alone, not of the whole file.
FIRST = {"all faults of a file", "two columns with missing cells", "blank label",
         "a class without training rows", "many short rows", "rows of many lengths"}  # fmt: skip
FAULTS = [row for row in ALL if row.csv is not None and row.name not in FIRST]


@pytest.mark.parametrize("row", FAULTS, ids=[row.name for row in FAULTS])
def test_faults_are_told_as_of_files_in_memory(row: Row, write_spec: Callable[..., Path]) -> None:
    with pytest.raises(row.error) as caught:
        load(replace(row, data=row.data | {"stream": True}), write_spec)
    assert tell(caught.value) == row.told


@pytest.mark.parametrize("size", [10, 1000])
def test_a_fault_far_down_is_told_with_its_place(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a text file by its line, of others by the row; rows before it are not looked at."""
    monkeypatch.setattr(pieces, "PIECE", size)
    monkeypatch.setattr(formats, "ROWS", size)
    monkeypatch.setattr(csv, "BLOCKS", (50 * size,))
    data = table()
    z = data["z"].to_pylist()
    z[1234] = None
    data = data.set_column(6, "z", pa.array(z))
    for kind, place in (
        ("csv", "t.csv:1236: column 'z': "),
        ("parquet", "t.parquet: column 'z': "),
    ):
        write(kind, data)
        with pytest.raises(DataError) as error:
            load_dataset(make_spec(kind, NUMBERS))
        row = "" if kind == "csv" else "row 1234: "
        assert tell(error.value) == (
            f"{place}{row}expected a number, found an empty cell "
            "(fill it in, or leave the row out: `data.drop_rows: {missing: target}`)"
        )


def test_bytes_far_down_that_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file that is too large to be read into memory."""
    monkeypatch.setattr(csv, "SMALL", 0)
    monkeypatch.setattr(csv, "BLOCKS", (2**10,))
    text = write("csv", table())
    lines = Path(text).read_bytes().splitlines(keepends=True)
    lines[1000] = lines[1000].replace(b'"', b"\xe9", 1)
    Path(text).write_bytes(b"".join(lines))
    with pytest.raises(DataError) as error:
        load_dataset(make_spec("csv"))
    assert tell(error.value) == (
        "t.csv:1001: the byte 0xe9 is not UTF-8 (write `encoding: cp1252` in the source, or what "
        "else it was saved in)"
    )


def test_rows_that_cannot_be_encoded_are_told_by_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "PIECE", 100)
    data = table()
    z = data["a"].to_pylist()
    z[777] = 1e39
    write("parquet", data.set_column(0, "a", pa.array(z)))
    with pytest.raises(DataError) as error:
        load_dataset(make_spec(columns={}, scale="none"))
    assert "'a' holds a number too large for float32 (row 777, counted from 0)" in str(error.value)
