"""Arrays of Arrow that are made without pandas: those that pyarrow itself makes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainer.data.columns import arrow
from trainer.data.columns.arrow import arrow_array, arrow_table, arrow_texts
from trainer.graph.ops import Array

KINDS = ("<f2", "<f4", "<f8", "?", "<i1", "<u2", "<i8", "<U3", "<M8[us]")


@given(st.data(), st.sampled_from(KINDS), st.integers(0, 40))
def test_an_array_is_that_of_pyarrow(data: st.DataObject, kind: str, rows: int) -> None:
    cells = st.text(max_size=3) if kind == "<U3" else None
    values: Array = data.draw(arrays(np.dtype(kind), rows, elements=cells))
    found, expected = arrow_array(values), pa.array(values)
    found.validate(full=True)
    assert found.type == expected.type
    if values.dtype.kind == "f":
        np.testing.assert_array_equal(found.to_numpy(), values)
    else:
        assert found.equals(expected)


def test_a_column_of_a_matrix_is_its_numbers() -> None:
    columns = np.arange(6.0).reshape(3, 2)
    table = arrow_table({"a": columns[:, 0], "b": columns[:, 1] > 2})
    assert table.to_pydict() == {"a": [0.0, 2.0, 4.0], "b": [False, True, True]}


@given(st.lists(st.none() | st.text(max_size=5)))
def test_texts_are_those_of_pyarrow(texts: list[str | None]) -> None:
    found = arrow_texts(texts)
    found.validate(full=True)
    assert found.equals(pa.array(texts, pa.string()))


def test_more_bytes_than_offsets_can_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pyarrow splits into chunks."""
    monkeypatch.setattr(arrow, "_MOST", 3)
    assert arrow_texts(["ab", "cd", None]).to_pylist() == ["ab", "cd", None]


def test_pandas_is_not_imported() -> None:
    script = (
        "import sys, numpy as np\n"
        "from trainer.data.columns.arrow import arrow_table\n"
        "arrow_table({'a': np.arange(3), 'b': np.array(['x', 'y', 'z']), 'c': np.ones(3, bool)})\n"
        "print('pandas' in sys.modules)\n"
        "import pyarrow as pa; pa.array([1]); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")
