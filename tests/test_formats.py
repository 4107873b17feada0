"""Files of every kind: one table, the same bits; and what is said of files that are damaged."""

from __future__ import annotations

import gzip
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_data import make_spec
from test_data_faults import tell

from trainer import DataError, SpecError
from trainer.data import Table, load_table
from trainer.data.columns.encoding import encode_batch
from trainer.data.reading import csv, formats
from trainer.spec.sources import CsvSource, ParquetSource

quick = settings(
    deadline=None, derandomize=True, max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip

KINDS = {
    "csv": "t.csv", "tsv": "t.tsv", "gz": "t.csv.gz", "zst": "t.tsv.zst", "parquet": "t.parquet",
    "arrow": "t.feather", "stream": "t.arrows", "npz": "t.npz",
}  # fmt: skip
"""A file of each kind, by a name for it."""


def source_of(kind: str, path: str | Sequence[str] | None = None) -> dict[str, Any]:
    """The source of a file of the kind."""
    key = {"tsv": "csv", "gz": "csv", "zst": "csv", "stream": "arrow"}.get(kind, kind)
    return {key: path or KINDS[kind]}


def write(kind: str, table: pa.Table, path: Path | None = None) -> None:
    """Writes the table to a file of the kind."""
    path = path or Path(KINDS[kind])
    if kind in ("csv", "tsv", "gz", "zst"):
        delimiter = "\t" if ".tsv" in path.suffixes else ","
        options = pacsv.WriteOptions(delimiter=delimiter)
        with pa.output_stream(path, {"gz": "gzip", "zst": "zstd"}.get(kind)) as out:
            pacsv.write_csv(table, out, options)
    elif kind == "parquet":
        pq.write_table(table, path, row_group_size=3)
    elif kind == "arrow":
        feather.write_feather(table, str(path), chunksize=3)
    elif kind == "stream":
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table, 3)
    else:
        np.savez(path, **{name: _array(table[name]) for name in table.column_names})


def _array(column: Any) -> Any:
    """As NumPy has it: missing numbers are NaN, missing texts are empty."""
    values = column.to_pylist()
    if pa.types.is_string(column.type):
        return np.array([value or "" for value in values], dtype=np.str_)
    if pa.types.is_floating(column.type):
        return np.array([math.nan if value is None else value for value in values])
    return np.array(values, dtype="datetime64[us]" if pa.types.is_timestamp(column.type) else None)


def read(kind: str, path: Any = None, loss: str = "squared", **data: Any) -> Table:
    """The table in the file of this kind."""
    return load_table(make_spec(source_of(kind, path), loss, **({"target": "y"} | data)))


# The same table in every kind of file ------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "Größe 3", 'say "x", y', "tab\there", "007", "yes", "-"])
TIMES = st.datetimes().map(lambda time: time.replace(microsecond=time.microsecond // 8 * 8))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COLUMNS: Mapping[str, tuple[Any, Any]] = {
    "number": (st.none() | FLOATS, pa.float64()),
    "integer": (st.integers(-(2**53), 2**53), pa.int64()),
    "flag": (st.booleans(), pa.bool_()),
    "town": (st.none() | WORDS, pa.string()),
    "size": (st.sampled_from(["S", "M", "L"]), pa.string()),
    "grade": (st.integers(1, 12), pa.int64()),
    "day": (TIMES, pa.timestamp("us")),
    "y": (FLOATS, pa.float64()),
}
DECLARED = {
    "town": {"type": "categorical", "missing": "most_frequent"},
    "number": {"missing": "mean"},
    "grade": {"type": "categorical"},
    "size": {"order": ["S", "M", "L"]},
}


@quick
@given(st.lists(st.tuples(*(values for values, _ in COLUMNS.values())), min_size=1, max_size=12))
def test_every_kind_of_file_reads_to_the_same_table(folder: Path, rows: list[Any]) -> None:
    cells = zip(*rows, strict=True)
    columns = dict(zip(COLUMNS, cells, strict=True))
    arrays = [pa.array(columns[name], kind) for name, (_, kind) in COLUMNS.items()]
    table = pa.table(arrays, names=list(COLUMNS))
    read_as = {}
    for kind in KINDS:
        write(kind, table)
        read_as[kind] = read(kind, columns=DECLARED)
    first = read_as["parquet"]
    assert [column.kind for column in first.columns] == [
        "numeric", "numeric", "boolean", "categorical", "ordinal", "categorical", "date"
    ]  # fmt: skip
    for kind, other in read_as.items():
        assert other.columns == first.columns, kind
        assert other.x.tobytes() == first.x.tobytes(), kind
        assert other.sha256 == first.sha256, kind
    _check_by_hand(first, columns)


def _check_by_hand(table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Some of the cells, as this test understands them."""
    for row in range(len(table.x)):
        number, _, flag, town, size, grade, day = table.x[row]
        wrote = {name: values[row] for name, values in columns.items()}
        assert math.isnan(number) if wrote["number"] is None else number == wrote["number"]
        assert flag == wrote["flag"]
        assert "SML"[int(size)] == wrote["size"]
        assert table.columns[5].categories[int(grade)] == str(wrote["grade"])
        assert math.isnan(town) or table.columns[3].categories[int(town)] == wrote["town"]
        seconds = (wrote["day"] - wrote["day"].min.replace(year=1970)).total_seconds()
        assert day == pytest.approx(seconds / 86400, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_in_every_kind_of_file(kind: str, folder: Path) -> None:
    for labels, classes in (
        (["b", "a", "b"], ("a", "b")), ([10, 9, 10], (9, 10)), ([2.0, 1.0, 1.0], (1, 2)),
        ([True, False, True], ("false", "true")),
    ):  # fmt: skip
        write(kind, pa.table({"a": [1.0, 2.0, 3.0], "y": labels}))
        table = read(kind, loss="logistic")
        assert table.classes == classes
        assert table.target.dtype == np.int64
        assert [str(classes[code]).lower() for code in table.target] == [
            str(int(label) if isinstance(label, float) else label).lower() for label in labels
        ]


TYPES = [
    (pa.array([1, 2, 4], pa.uint64()), "numeric", [1, 2, 4]),
    (pa.array([2**53 + 1, -1, 0], pa.int64()), "numeric", [2.0**53, -1, 0]),
    (pa.array([0.5, None, 2], pa.float16()), "numeric", [0.5, math.nan, 2]),
    (pa.array([1, None, 25], pa.int32()).cast(pa.decimal128(12, 1)), "numeric", [1, math.nan, 25]),
    (pa.array(["b", None, "a"]).dictionary_encode(), "categorical", [1, math.nan, 0]),
    (pa.array([3, 1, 3]).dictionary_encode(), "numeric", [3, 1, 3]),
    (pa.array(["b", "c", "a"], pa.large_string()), "categorical", [1, 2, 0]),
    (pa.array(["b", "c", "a"], pa.string_view()), "categorical", [1, 2, 0]),
    (pa.array(["1", " 2", None], pa.string()), "numeric", [1, 2, math.nan]),
    (pa.array([None, None, None]), "numeric", [math.nan] * 3),
    (pa.array([None, True, False]), "boolean", [math.nan, 1, 0]),
    (pa.array([0, None, -1], pa.date32()), "date", [0, math.nan, -1]),
    (pa.array([0, None, -86_400_000], pa.date64()), "date", [0, math.nan, -1]),
    (pa.array([1, None, -(12 * 3600 * 10**9)], pa.timestamp("ns")), "date",
     [1 / 86400e9, math.nan, -0.5]),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "kind", "values"), TYPES)
def test_types_of_arrow(cells: Any, kind: str, values: list[float], folder: Path) -> None:
    table = pa.table({"a": cells, "y": [1.0, 2.0, 3.0]})
    with pa.ipc.new_file("t.arrow", table.schema) as out:
        for batch in (*table.slice(1).to_batches(), *table.to_batches()):
            out.write_batch(batch)
    read_as = read("arrow", "t.arrow", missing="most_frequent")
    assert read_as.columns[0].kind == kind
    np.testing.assert_array_equal(read_as.x[:, 0], [*values[1:], *values])


def test_every_nan_has_the_same_bits(folder: Path) -> None:
    odd = np.array([0xFFF8000000000001], np.uint64).view(np.float64)[0]
    hashes = set()
    for missing in (odd, -math.nan, math.nan, None):
        write("parquet", pa.table({"a": pa.array([1.0, missing]), "y": [1.0, 2.0]}))
        hashes.add(read("parquet", missing="mean").sha256)
    Path("t.csv").write_text("a,y\n1,1\nNaN,2\n")
    assert {read("csv", missing="mean").sha256} == hashes


def test_arrays_x_and_y(folder: Path) -> None:
    x, y = np.arange(6.0).reshape(3, 2), np.array([[1, 0], [0, 1], [1, 1]])
    np.savez("t.npz", x=x, y=y)
    np.save("x.npy", x.astype(">f4"))
    np.save("y.npy", y)
    for source in ({"npz": "t.npz"}, {"npy": "x.npy", "y": "y.npy"}):
        table = load_table(make_spec(source, units=2, target="y"))
        assert (table.features, table.targets) == (("x1", "x2"), ("y1", "y2"))
        assert (table.x.tolist(), table.target.tolist()) == (x.tolist(), y.tolist())
    np.save("y.npy", np.array(["b", "a", "b"]))
    table = load_table(make_spec({"npy": "x.npy", "y": "y.npy"}, "logistic"))
    assert (table.classes, table.target.tolist()) == (("a", "b"), [1, 0, 1])


# Several files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_read_one_after_the_other(kind: str, folder: Path) -> None:
    suffix = "".join(Path(KINDS[kind]).suffixes)
    for day, towns in enumerate((["p"], ["q", "p"], ["r"], ["s", "p"]), 1):
        numbers = [float(day)] * len(towns)
        table = pa.table({"a": numbers, "town": towns, "y": numbers})
        write(kind, table, Path(f"day-{day}{suffix}"))
    both = [f"day-2{suffix}", f"day-1{suffix}"]
    table = read(kind, both, validation=f"day-[3]{suffix}", test=f"day-4{suffix}")
    assert table.x[:, 0].tolist() == [2, 2, 1, 3, 4, 4]
    assert table.columns[1].categories == ("p", "q", "r", "s")
    assert table.x[:, 1].tolist() == [1, 0, 0, 2, 3, 0]
    assert table.part is not None
    assert table.part.tolist() == [0, 0, 0, 1, 2, 2]
    assert table.origin == f"day-2{suffix} … day-4{suffix} (4 files)"
    assert read(kind, f"day-*{suffix}").x[:, 0].tolist() == [1, 2, 2, 3, 4, 4]
    assert read(kind, f"day-*{suffix}", features=["a"]).part is None


def test_a_column_of_numbers_in_one_file_and_texts_in_the_next(folder: Path) -> None:
    Path("a.csv").write_text("a,y\n" + "1,1\n01,2\n")
    Path("b.csv").write_text("a,y\n" + "x,1\ny,2\nz,3\n")
    table = read("csv", ["a.csv", "b.csv"])
    assert table.columns[0].categories == ("01", "1", "x", "y", "z")
    assert table.x[:, 0].tolist() == [1, 0, 2, 3, 4]


PATTERNS = [
    ("day-*.csv", "data.source.csv: no file is called 'day-*.csv' "
     "(the pattern is relative to the spec file, and * stands for any part of a name)"),
    (["t.csv", "t.csvv"], "data.source.csv[1]: there is no file 't.csvv' (did you mean 't.csv'?)"),
    (["t.csv", "?.csv"], "data.source.csv[1]: 't.csv' is named twice (its rows would count twice)"),
    (["t.csv", "other.csv"], "other.csv: the column 'a' is missing, which t.csv has\n"
     "other.csv: the column 'b' is not in t.csv (choose columns with `data.features`)"),
    (["t.csv", "bad.csv"], "bad.csv:2: column 'y': expected a number, found the text 'x' "
     "(use `loss: logistic` if the column names classes)"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "told"), PATTERNS)
def test_files_that_do_not_fit(path: Any, told: str, write_spec: Callable[..., Path]) -> None:
    from trainer.spec import load_spec

    Path("t.csv").write_text("a,y\n1,2\n")
    Path("other.csv").write_text("b,y\n1,2\n")
    Path("bad.csv").write_text("y,a\nx,2\n")
    data = {"source": {"csv": path}, "target": "y"}
    spec = load_spec(write_spec({"data": data, "model.loss": "squared"}).name)
    with pytest.raises(DataError) as caught:
        load_table(spec)
    assert tell(caught.value) == told


# Damaged files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("csv", "tsv")])
@pytest.mark.parametrize("damage", ["cut", "empty", "other bytes", "first bytes"])
def test_a_damaged_file_is_told_by_its_name(kind: str, damage: str, folder: Path) -> None:
    path = Path(KINDS[kind])
    write(kind, pa.table({"a": np.random.default_rng(1).random(1000), "y": np.arange(1000.0)}))
    whole = path.read_bytes()
    assert len(read(kind).x) == 1000
    path.write_bytes({
        "cut": whole[: len(whole) * 2 // 3], "empty": b"", "other bytes": b"not a table\n" * 100,
        "first bytes": whole[:5],
    }[damage])  # fmt: skip
    with pytest.raises(DataError) as caught:
        read(kind)
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert (
        "the file is empty" in problem.message
        or "cannot be read" in problem.message
        or ("Python objects" in problem.message)
        or "not compressed so" in problem.message
        or "this is text" in problem.message
    )
    assert "\n" not in problem.message


def test_flipped_bytes_are_an_error_or_other_numbers(folder: Path) -> None:
    """Whatever byte is wrong: an error of this package, or numbers, but no crash."""
    rng, refused = np.random.default_rng(3), 0
    for kind in KINDS:
        write(kind, pa.table({"a": ["p", "q", "p"] * 5, "y": np.arange(15.0)}))
        path = Path(KINDS[kind])
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 60):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            try:
                read(kind)
            except (DataError, SpecError):
                refused += 1
    assert refused > 100


def test_arrays_that_are_none(folder: Path) -> None:
    def told(**arrays: Any) -> str:
        np.savez("t.npz", **arrays)
        with pytest.raises((DataError, SpecError)) as caught:
            read("npz")
        return tell(caught.value)

    objects = "t.npz: this file holds Python objects, or is no file of NumPy arrays"
    assert told(a=np.array([1, "x", None], dtype=object), y=[1.0, 2, 3]).startswith(objects)
    assert told(a=np.zeros((3, 2)), y=np.zeros(3)) == (
        "t.npz: array 'a': expected 3 values, one a row, found 3 × 2 "
        "(an array is a column; or name two `x` and `y`)"
    )
    assert "expected 3 values, one a row, found 2" in told(a=np.zeros(2), y=np.zeros(3))
    assert "expected numbers or texts, found the type complex128" in told(
        a=np.zeros(3, complex), y=np.zeros(3)
    )
    assert "no rows" in told(a=np.array([], "U3"), y=np.zeros(0))
    assert told(a=np.array(["x", "é", "b\ud800"]), y=np.zeros(3)) == (
        "t.npz: array 'a': row 2: the text 'b\\ud800' holds half of a character "
        "(save the texts as they are in UTF-8)"
    )
    with zipfile.ZipFile("t.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(DataError, match=r"t\.npz"):
        read("npz")


def test_a_column_of_lists(folder: Path) -> None:
    write("parquet", pa.table({"a": [[1.0], [2.0]], "y": [1.0, 2.0]}))
    with pytest.raises(DataError, match="expected numbers or texts, found the type list"):
        read("parquet")


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ([1.0, math.inf, 3.0], "row 1: expected a finite number, found inf"),
        ([1.0, None, math.nan], "row 1: expected a number, found 2 empty cells"),
        (["1", "2", "x"], "row 2: expected a number, found the text 'x'"),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_cells_of_tables_that_have_no_lines(
    kind: str, cells: list[Any], told: str, folder: Path
) -> None:
    write(kind, pa.table({"a": cells, "y": [1.0, 2.0, 3.0]}))
    with pytest.raises(DataError, match=told) as caught:
        read(kind)
    assert caught.value.problems[0].file == KINDS[kind]


# Batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "gz", "parquet"])
def test_batches_are_small_and_encode_to_the_table(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv, "BLOCKS", (400, 4000))
    monkeypatch.setattr(formats, "ROWS", 50)
    rng = np.random.default_rng(0)
    numbers = [None if i == 700 else float(i) for i in range(1000)]
    towns = [f"town {i}" for i in rng.integers(0, 9, 1000)]
    write(kind, pa.table({"a": numbers, "town": towns, "y": rng.random(1000)}))
    table = read(kind, missing="mean")
    source = ParquetSource(parquet="t") if kind == "parquet" else CsvSource(csv="t.csv")
    batches = list(formats.open_source(source, Path(KINDS[kind])).batches(table.columns))
    assert max(batch.num_rows for batch in batches) <= 100
    x = np.concatenate([encode_batch(batch, table.columns) for batch in batches])
    assert x.tobytes() == table.x.tobytes()


def test_a_number_not_written_plainly_far_down(folder: Path) -> None:
    """Where pyarrow refuses a number, what follows is read as texts; no row is lost or doubled."""
    lines = [f"{i},{i}" for i in range(100_000)]
    lines[99_000] = " NA ,5"
    Path("t.csv").write_text("a,town\n" + "\n".join(lines) + "\n")
    columns = load_table(make_spec({"csv": "t.csv"}, target="town", missing="mean")).columns
    batches = formats.open_source(CsvSource(csv="t.csv"), Path("t.csv")).batches(columns)
    x = np.concatenate([encode_batch(batch, columns, ("NA",)) for batch in batches])[:, 0]
    assert np.flatnonzero(np.isnan(x)).tolist() == [99_000]
    assert np.nansum(x) == sum(range(100_000)) - 99_000


def test_gzip_of_two_members(folder: Path) -> None:
    Path("t.csv.gz").write_bytes(gzip.compress(b"a,y\n1,2\n") + gzip.compress(b"3,4\n"))
    assert read("gz").x.tolist() == [[1], [3]]


def test_reading_files_imports_no_pandas(folder: Path) -> None:
    """Which some of pyarrow's conversions do, for a good part of a second."""
    columns = {"a": [1.0, None, 3.0], "town": ["p", None, "q"], "flag": [True, None, False]}
    table = pa.table({**columns, "day": pa.array([1, None, 3], pa.date32()), "y": [1, 2, 3]})
    for kind in ("csv", "parquet", "arrow"):
        write(kind, table)
    script = (
        "import sys\nsys.path.insert(0, sys.argv[1])\n"
        "from trainer.data import load_table\nfrom trainer.spec import Spec\n"
        "for source in ({'csv': 't.csv'}, {'parquet': 't.parquet'}, {'arrow': 't.feather'}):\n"
        "    data = {'source': source, 'target': 'y', 'missing': 'most_frequent'}\n"
        "    table = load_table(Spec(name='t', data=data,\n"
        "        model={'layers': [{'units': 1}], 'loss': 'squared'},\n"
        "        sgd={'learning_rate': 1, 'epochs': 1, 'batch_size': 1}))\n"
        "    kinds = [column.kind for column in table.columns]\n"
        "    assert kinds == ['numeric', 'categorical', 'boolean', 'date']\n"
        "print(*sorted({'mlflow', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")
