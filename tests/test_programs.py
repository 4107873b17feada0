"""What programs are made of: the files that are copied, how they are copied, and literals."""

from __future__ import annotations

import ast
import importlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.data.columns import values
from trainer.data.columns.cells import boolean, date
from trainer.data.columns.table import Column
from trainer.data.preparing.expand import Rule, date_part, expand
from trainer.export.copying import Program, names_used, read_file
from trainer.export.literals import literal, long_text
from trainer.export.runtime import alone, answers, bodies, cells, columns, facts, functions, scales
from trainer.export.runtime import plain_cells as plain
from trainer.export.runtime import rows as program
from trainer.graph import OPS

nan, inf = np.nan, np.inf
X = np.array([[-800.0, -3.0, -0.0, 0.5, 40.0, 900.0]])


# The example ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[[1, 2], ["3", 4.5]], {"b": [2, 4.5], "a": [1, "3"], "c": "xy"}])
def test_the_example_is_a_program(rows: Any) -> None:
    """y = a + 2 b, from rows as lists or from columns by name."""
    assert {name: list(found) for name, found in program.predict(rows, {}).items()} == {
        "prediction": [5, 12]
    }


def test_the_example_reads_and_writes_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("b,a\n2,1\n\n4,3\n")
    monkeypatch.setattr(sys, "argv", ["program", str(tmp_path / "rows.csv")])
    alone.main()
    assert capsys.readouterr().out == "prediction\n5.0\n11.0\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "missing columns: a, b"),
        ("a,b\n1\n", "row 0: expected 2 cells, found 1"),
        ("a,b,a\n1,2,3\n", "columns that stand twice: a"),
        ("a,b\n1,x\n", "row 0, column 'b': expected a number, found the text 'x'"),
        ("a,b\n1,inf\n", "row 0, column 'b': expected a finite number, found 'inf'"),
    ],
)  # fmt: skip
def test_faults_of_rows(given: str, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared in full)
        program.predict(bodies.read_csv(io.StringIO(given)), {})
    assert str(error.value) == message


# Functions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["exp", "log", "sqrt", "tanh", "sigmoid", "softplus", "normal_cdf", "normal_pdf"]
)
def test_functions_are_those_of_the_ops(name: str, dtype: Any) -> None:
    x = np.abs(X).astype(dtype) if name in ("log", "sqrt") else X.astype(dtype)
    with np.errstate(all="ignore"):
        found, expected = getattr(functions, name)(x), OPS[name].forward(x)
    assert found.dtype == expected.dtype
    tolerance = 4 * np.finfo(dtype).eps if name == "normal_cdf" else 0  # it has its own erfc
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=0)


def test_the_logistic_loss() -> None:
    y = np.array([[0.0, 1, 0, 1, 1, 0]])
    expected = OPS["logistic_loss"].forward(X, y)
    np.testing.assert_array_equal(functions.logistic_loss(X, y), expected)


READ: list[tuple[Any, Any, float]] = [
    (boolean, "Yes", 1), (boolean, False, 0), (boolean, 1.0, 1), (boolean, "no", 0),
    (boolean, "+1", 1), (date, "1970-01-02", 1), (date, "1970-01-01T06:00:00+06:00", 0),
    (date, "1969-12-31T12:00", -0.5),
]  # fmt: skip


@pytest.mark.parametrize(("read", "cell", "number"), READ)
def test_cells(read: Any, cell: Any, number: float) -> None:
    assert read(cell) == number


@pytest.mark.parametrize("cell", ["", " NA ", None, nan, "nan"])
def test_cells_that_stand_for_nothing(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MISSING", ["", "NA", "nan"])
    assert cells.missing(values.plain(cell))
    assert np.isnan(cells.any_numbers("a", ["1", cell])).tolist() == [False, True]


def test_cells_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cells.READERS, "b", ("true or false", boolean))
    with pytest.raises(
        ValueError, match="row 1, column 'b': expected true or false, found the text 'so'"
    ):
        cells.any_numbers("b", ["yes", "so"])
    with pytest.raises(
        ValueError, match="row 0, column 'a': expected a number, found the text 'so'"
    ):
        cells.any_numbers("a", ["so"])
    with pytest.raises(ValueError, match="row 0, column 'b': expected true or false that the mod"):
        cells.check_any(np.array([[1.0, 7.0]]), np.array([[1.0, nan]]))
    monkeypatch.setattr(cells, "READERS", {})
    with pytest.raises(ValueError, match="row 0, column 'b': expected a value, found an empty cel"):
        cells.check_any(np.array([[1.0, nan]]), np.array([[1.0, nan]]))
    with pytest.raises(ValueError, match="row 0, column 'a': expected a number that is finite in"):
        plain.check_plain(np.array([[inf, 1.0]]), np.array([[inf, 1.0]]))


@pytest.mark.parametrize(
    "part", ["days", "year", "month", "day", "weekday", "yearday", "hour", "minute"]
)
def test_parts_of_dates_are_those_of_the_data(part: Any) -> None:
    days = np.array([0.0, -1.25, 19723.5, 1e9, nan, -700_000, 59.99999])
    np.testing.assert_array_equal(columns.part(days, part), date_part(days, part))


def test_categories_are_those_of_the_data() -> None:
    values = np.array([0.0, 2, -1, 5, nan])
    categorical = Column("c", "categorical", ("x", "y", "z"))
    np.testing.assert_array_equal(columns.one_hot(values, 3), expand(values, categorical, Rule()))
    ordinal = Column("c", "ordinal", ("x", "y", "z"))
    found = columns.known(values, 3, np.isnan(values))[:, None]
    np.testing.assert_array_equal(found, expand(values, ordinal, Rule()))


def test_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([[0.0, 10.0], [1.0, 30.0]])
    p = {"x/mean": np.array([0.5, 20.0]), "x/scale": np.array([0.5, 10.0])}
    assert scales.standardized(x, p).tolist() == [[-1, -1], [1, 1]]
    assert scales.unscaled(x, p) is x
    monkeypatch.setattr(scales, "LOGS", [0])
    monkeypatch.setattr(scales, "RANKED", [1])
    ranks = {"x/quantiles/1": np.array([0.0, 20.0, 40.0])}
    assert scales.bend(x, ranks).tolist() == [[0, 0.25], [np.log1p(1.0), 0.75]]
    monkeypatch.setattr(scales, "TARGET_LOGS", [0])
    monkeypatch.setattr(scales, "TARGET_RANKED", [1])
    numbers = {"y/quantiles/1": np.array([0.0, 20.0, 40.0])}
    assert scales.decode(np.array([[0.0, 0.25]]), numbers).tolist() == [[0, 10]]
    numbers |= {"y/scale": np.array([1.0, 0.5]), "y/mean": np.array([0.0, 0.5])}
    assert scales.decode(np.array([[0.0, 0.0]]), numbers).tolist() == [[0, 20]]


@pytest.mark.parametrize(
    ("answer", "names", "out", "expected"),
    [
        (answers.of_numbers, ["u", "v"], [[1.0, 2.0]], {"u": [1], "v": [2]}),
        (answers.of_scaled_numbers, ["u"], [[3.0]], {"u": [3]}),
        (answers.of_labels, ["u", "v", "pu", "pv"], [[0.0, 90.0]],
         {"u": [0], "v": [1], "pu": [0.5], "pv": [1]}),
        (answers.of_one_logit, ["is", "no", "yes"], [[0.0], [900.0]],
         {"is": ["no", "yes"], "no": [0.5, 0], "yes": [0.5, 1]}),
        (answers.of_logits, ["is", "no", "yes"], [[0.0, 0.0], [0.0, 900.0]],
         {"is": ["no", "yes"], "no": [0.5, 0], "yes": [0.5, 1]}),
    ],
)  # fmt: skip
def test_answers(
    answer: Any, names: list[str], out: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "COLUMNS", names)
    monkeypatch.setattr(answers, "CLASSES", ["no", "yes"])
    found = answer(np.array(out), {})
    assert {name: values.tolist() for name, values in found.items()} == expected


# Copying ----------------------------------------------------------------------------------------

FILES = sorted((Path(facts.__file__).parent).glob("[a-z]*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_can_be_copied_whole(path: Path) -> None:
    """Its definitions have no types, and it needs NumPy and Python's own modules alone."""
    name = f"trainer.export.runtime.{path.stem}"
    importlib.import_module(name)
    file = read_file(name)
    for text in file.definitions.values():
        assert "type: ignore" not in text
        assert "noqa" not in text
        assert [
            n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.arg) and n.annotation
        ] == []
    for module, _ in file.imports.values():
        top = module.partition(".")[0]
        assert top in {"numpy", "trainer"} or top in sys.stdlib_module_names


SOURCE = '''
"""A file."""
from __future__ import annotations
import math
from collections.abc import Sequence
from datetime import datetime, timezone
import numpy as np
from trainer.graph.ops import LEAKY_SLOPE as SLOPE_ERROR

LIMIT: int = 3  # a comment stays
first, second = 1, 2


def helper(x: Sequence[float], *, power: int = 2, of: str | None = None) -> float:
    """One that helps."""
    local: float = math.fsum(x)  # type: ignore[misc]  # why
    return local**power


def main(x: float) -> object:
    def inner(y: float) -> float:
        return helper([y]) + LIMIT + first

    helper_ = np.float64(inner(x))
    return helper_, datetime(1970, 1, 1, tzinfo=timezone.utc)


class Kept:
    """A class keeps its types."""

    def method(self, x: int) -> int:
        return x


print(Kept, "größe")
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of `SOURCE`, in a file of its own."""
    (tmp_path / "to_copy.py").write_text(SOURCE.replace("_ERROR", ""), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    read_file.cache_clear()
    return "to_copy"


def test_a_name_comes_with_what_it_needs(file: str) -> None:
    made = Program().text('"""A program."""', ["main"], file)
    assert (
        made
        == '''\
"""A program."""

import math
from datetime import datetime, timezone

import numpy as np


def helper(x, *, power=2, of=None):
    """One that helps."""
    local = math.fsum(x)
    return local**power


LIMIT = 3  # a comment stays
first, second = 1, 2


def main(x):
    def inner(y):
        return helper([y]) + LIMIT + first

    helper_ = np.float64(inner(x))
    return helper_, datetime(1970, 1, 1, tzinfo=timezone.utc)


class Kept:
    """A class keeps its types."""

    def method(self, x: int) -> int:
        return x


print(Kept, "größe")
'''
    )


def test_a_program_has_definitions_of_its_own(file: str) -> None:
    own = Program()
    own.set("LIMIT", 'say "hi"')
    own.give("helper", "def helper(x):\n    return LIMIT", file)
    made = own.text('"""Own."""', ["helper"], file)
    assert made.index("LIMIT = 'say \"hi\"'\n") < made.index("def helper(x):")
    assert "fsum" not in made


def test_a_program_must_say_what_its_model_is() -> None:
    with pytest.raises(ValueError, match=r"a program needs '\w+' of its own"):
        Program().text('"""None."""', ["predict"], program.__name__)


def test_two_functions_of_a_name_are_an_error(file: str) -> None:
    both = Program()
    both.give("both", "def both():\n    return helper", file)
    both.text('"""One."""', ["both"], file)
    with pytest.raises(ValueError, match="two definitions of 'helper' meet"):
        both._add("helper", "def helper(): pass", (file,))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(a, b=c):\n    return a + d", ["c", "d"]),
        ("def f():\n    x = 1\n    return [y + x for y in z]", ["z"]),
        ("f = g(h)", ["g", "h"]),
        ("def f():\n    def inner():\n        return x\n    x = outside\n    return inner",
         ["outside"]),
    ],
)  # fmt: skip
def test_names_from_outside(text: str, names: list[str]) -> None:
    assert names_used(text) == names


def test_copied_files_are_not_imported() -> None:
    """Who writes the code of a model in MLflow needs no MLflow."""
    code = (
        "import sys; from trainer.export.copying import read_file; "
        "print(read_file('trainer.tracking.served').ending.split()[0], 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mlflow.models.set_model(Network())", "False"]


# Literals ---------------------------------------------------------------------------------------

VALUES: list[Any] = [
    "", "'''", 'a "b"\\', "line\nbreak\u2028\x00", "größe ✓", "{x} $y %s", 0, -1, 10**30, True,
    None, 1e300, -0.0, 5e-324, (1,), (), [], ["a"] * 40, {"k": ["v", 2.5]},
    {f"k{i}": [i] for i in range(30)},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:12])
def test_a_literal_is_the_value(value: Any) -> None:
    found = ast.literal_eval(literal(value))
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    "value",
    [nan, inf, [-inf], np.float64(1), np.int64(1), np.array([1]), {1, 2}, object(),
     [("a", {"b": nan})], np.str_("a"), type("Text", (str,), {})("a")],
    ids=lambda value: repr(value)[:12],
)  # fmt: skip
def test_other_values_have_no_literal(value: Any) -> None:
    with pytest.raises(TypeError, match="has no literal"):
        literal(value)


LINES = [
    ["plain"], ['ends "so"'], ['"""', '"', '""""'], ["back\\slash\\"],
    ["line\nbreak", "\u2028 \x00 ✓"], ["", "a", ""], ["{x} $y %s"], ['\\"'],
]  # fmt: skip


@pytest.mark.parametrize("lines", LINES, ids=repr)
def test_a_long_text_is_its_lines(lines: list[str]) -> None:
    found = long_text(lines)
    assert ast.literal_eval(found) == "\n".join([*lines, *[""] * (len(lines) > 1)])
    assert len(found.split("\n")) == len(lines) + (len(lines) > 1)
