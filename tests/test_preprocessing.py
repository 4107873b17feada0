"""From raw columns to x and back: fills, categories, dates, scales, weights."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import preprocessing as sk
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from typed import MODELS, fit, typed_model, typed_spec, typed_table

from trainer.data import Column, Preprocessing, Rule, Scaling, Table, written
from trainer.data.misfits import located
from trainer.data.preparing.expand import date_part, expand
from trainer.data.preparing.fit_columns import fit_columns
from trainer.data.preparing.fit_scales import fit_scales
from trainer.data.preparing.scaling import QUANTILES
from trainer.data.preparing.weighting import class_weights, row_weights
from trainer.data.preparing.xy import encode_rows
from trainer.errors import DataError, SpecError
from trainer.graph.ops import Array
from trainer.spec import Spec

nan = np.nan


def make_spec(loss: str = "squared", model: dict[str, Any] | None = None, **data: Any) -> Spec:
    source = {"inline": {"x": [[0]], "y": [0.0]}}
    layers = {"layers": [{"units": 1}], "loss": loss, "dtype": "float64"}
    return Spec.model_validate(TINY | {"data": {"source": source} | data,
                                       "model": layers | (model or {})})  # fmt: skip


def table_of(*columns: tuple[Column, list[float]], **more: Any) -> Table:
    x = np.array([values for _, values in columns], dtype=np.float64).T.copy()
    target = {"target": np.arange(1.0, len(x) + 1)[:, None], "classes": None} | more
    return Table(tuple(column for column, _ in columns), x, ("y",), origin="here", **target)


def one(values: list[float], column: Column = Column("a"), **data: Any) -> Preprocessing:  # noqa: B008 (it is frozen)
    return fit(make_spec(**data), table_of((column, values)))


# Fills ------------------------------------------------------------------------------------------

CITY = Column("a", "categorical", ("A", "B", "C"))
SIZE = Column("a", "ordinal", ("s", "m", "l"))
FLAG = Column("a", "boolean")
DAY = Column("a", "date")


@pytest.mark.parametrize(
    ("column", "values", "missing", "fill"),
    [
        (Column("a"), [1, nan, 2, 6], "mean", 3),
        (Column("a"), [1, nan, 2, 6], "median", 2),
        (Column("a"), [5, nan, 2, 5, 2, 9], "most_frequent", 2),  # of several the smallest
        (Column("a"), [1, nan], {"constant": -7.5}, -7.5),
        (Column("a"), [nan, nan], {"constant": 4}, 4),
        (CITY, [2, nan, 2, 0], "most_frequent", 1),  # B is in no row, so C is the second
        (CITY, [2, nan, 0], "mean", 0),
        (CITY, [2, nan, 0], {"constant": "A"}, 0),
        (CITY, [2, nan, 0], {"constant": "none"}, 2),  # a category of its own
        (CITY, [2, 1, 0], {"constant": "none"}, -1),  # of which no row was
        (SIZE, [0, 2, nan, 2], "median", 2),
        (SIZE, [0, 2, nan, 2], {"constant": "m"}, 1),
        (FLAG, [1, nan, 0, 1], "mean", 1),
        (FLAG, [1, nan, 0, 1], {"constant": "no"}, 0),
        (DAY, [0, nan, 10], "mean", 5),
        (DAY, [0, nan, 10], {"constant": "1970-01-02 12:00"}, 1.5),
    ],
)
def test_fills(column: Column, values: list[float], missing: Any, fill: float) -> None:
    how = one(values, column, missing=missing)
    assert how.rules[0].fill == fill
    raw = how.adopt(table_of((column, values)), np.arange(len(values)))
    filled = np.where(np.isnan(raw), fill, raw)
    np.testing.assert_array_equal(how.encode(raw), how.encode(filled))


@pytest.mark.parametrize(
    ("column", "values", "data", "error", "message"),
    [
        (Column("a"), [nan, nan], {"missing": "mean"}, DataError, "all training rows miss 'a'"),
        (Column("a"), [1, nan], {"missing": {"constant": "x"}}, SpecError,
         "data.missing.*'a' is numeric: expected a number, found the text 'x'"),
        (SIZE, [1, nan], {"missing": {"constant": "xl"}}, SpecError, "label of the column's order"),
        (FLAG, [1, nan], {"missing": {"constant": "maybe"}}, SpecError, "expected true or false"),
        (DAY, [1, nan], {"missing": {"constant": "soon"}}, SpecError, "expected a date"),
        (Column("a"), [1, 2], {"columns": {"a": {"indicator": True}}}, SpecError,
         "an indicator tells where a value was missing, and here that is an error"),
        (Column("a"), [1, 2], {"columns": {"a": {"encode": "embedding"}}}, SpecError,
         "'a' is numeric, and has no 'encode'"),
        (CITY, [1, 2], {"columns": {"a": {"scale": "minmax"}}}, SpecError, "are not scaled"),
        (Column("a"), [1, nan], {"scale": "standard"}, DataError, "'a' has an empty cell in row 1"),
        (Column("a"), [1, -1], {"scale": "log1p"}, DataError, r"'a' holds -1 \(row 1, counted"),
        (Column("a"), [-1e308, 1e308], {"scale": "minmax"}, DataError, "the range of .*'a' is out"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted(
    column: Column, values: list[float], data: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        one(values, column, **data)


# Categories -------------------------------------------------------------------------------------


def test_one_hot() -> None:
    """B is in no training row: it is zeros, and told in a note."""
    table = table_of((CITY, [2, 0, 1, 2, nan]))
    notes: list[str] = []
    spec = make_spec(missing={"constant": "none"}, columns={"a": {"indicator": True}})
    how, missing = fit_columns(spec, table, np.array([0, 1, 4]), notes)
    assert notes == ["1 category of 'a' is in no training row: B"]
    assert missing == (1,)
    assert how.encoded_names == ("a=A", "a=C", "a=none", "a missing")
    raw = how.adopt(table, slice(None))
    np.testing.assert_array_equal(raw[:, 0], [1, 0, -1, 1, nan])
    assert how.encode(raw).tolist() == [
        [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1],
    ]  # fmt: skip


def test_one_hot_is_scikit_learns() -> None:
    table = typed_table()
    how = fit(make_spec(missing="most_frequent"), table)
    at = [i for i, name in enumerate(how.encoded_names) if name.startswith("city=")]
    raw = how.adopt(table, slice(None))
    column = SimpleImputer(strategy="most_frequent").fit_transform(raw[:, 2:3])
    expected = sk.OneHotEncoder(sparse_output=False).fit_transform(column)
    np.testing.assert_array_equal(how.encode(raw)[:, at], expected)


@pytest.mark.parametrize(
    ("column", "rule", "value", "expected"),
    [
        (CITY, Rule(), nan, [nan] * 3),
        (CITY, Rule(), -1, [0, 0, 0]),
        (CITY, Rule(strict=True), -1, [nan] * 3),
        (CITY, Rule(fill=-1, strict=True), nan, [0, 0, 0]),
        (CITY, Rule(fill=1, indicator=True), nan, [0, 1, 0, 1]),
        (CITY, Rule(dimensions=2), 2, [2]),
        (CITY, Rule(dimensions=2), -1, [-1]),
        (CITY, Rule(dimensions=2), nan, [nan]),
        (CITY, Rule(dimensions=2, strict=True), 3, [nan]),
        (SIZE, Rule(), 2, [2]),
        (SIZE, Rule(), -1, [nan]),
        (SIZE, Rule(dimensions=1), -1, [-1]),
        (DAY, Rule(parts=("days",), indicator=True, fill=3), nan, [3, 1]),
        (DAY, Rule(parts=("year", "hour")), nan, [nan, nan]),
        (DAY, Rule(parts=("year",)), 1e9, [nan]),
    ],
)
def test_one_value(column: Column, rule: Rule, value: float, expected: list[float]) -> None:
    np.testing.assert_array_equal(expand(np.array([value]), column, rule), [expected])


@given(st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)))
def test_parts_of_dates(moment: datetime.datetime) -> None:
    moment = moment.replace(second=0, microsecond=0)
    days = np.array([(moment - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)])
    expected = {
        "year": moment.year, "month": moment.month, "day": moment.day, "weekday": moment.weekday(),
        "yearday": moment.timetuple().tm_yday, "hour": moment.hour, "minute": moment.minute,
    }  # fmt: skip
    assert {part: date_part(days, part)[0] for part in expected} == expected


# Scales -----------------------------------------------------------------------------------------

SKEWED = np.exp(np.random.default_rng(1).normal(size=(3000, 4)))
TIED = np.floor(SKEWED * 3)
SCALERS: dict[str, Any] = {
    "standard": sk.StandardScaler(),
    "minmax": sk.MinMaxScaler(),
    "robust": sk.RobustScaler(),
    "quantile": sk.QuantileTransformer(n_quantiles=QUANTILES, subsample=None),
    "log1p": sk.FunctionTransformer(np.log1p),
}


@pytest.mark.parametrize("x", [SKEWED, TIED, SKEWED[:20]], ids=["plain", "tied", "few"])
@pytest.mark.parametrize("scale", SCALERS)
def test_scales_are_scikit_learns(scale: str, x: Array) -> None:
    columns = [(Column(f"c{i}"), values.tolist()) for i, values in enumerate(x.T)]
    half = len(x) // 2
    how = fit(make_spec(scale=scale), table_of(*columns), np.arange(half))
    scaler = clone(SCALERS[scale])
    if scale == "quantile":
        scaler.set_params(n_quantiles=min(QUANTILES, half))
    scaler.fit(x[:half])
    np.testing.assert_allclose(how.encode(x), scaler.transform(x), rtol=1e-12, atol=1e-12)


def test_a_curve_and_a_range_by_hand() -> None:
    """log(1 + x) of 0, e - 1, e² - 1 is 0, 1, 2."""
    e = float(np.e)
    how = one([0, e - 1, e**2 - 1], scale=["log1p", "minmax"])
    np.testing.assert_allclose(how.encode(np.array([[0], [e - 1], [e**3 - 1]])),
                               [[0], [0.5], [1.5]], atol=1e-15)  # fmt: skip
    how = one([0, 10, 20, 40], scale="quantile")
    raw = np.array([[-5.0], [0], [5], [30], [99]])
    np.testing.assert_allclose(how.encode(raw)[:, 0], [0, 0, 1 / 6, 5 / 6, 1])


def test_what_is_scaled() -> None:
    """Never categories, indicators and truth values, unless a column says so itself."""
    table = table_of(
        (Column("n"), [1, 2, 3, nan]), (replace(CITY, name="c"), [0, 1, 2, 0]),
        (replace(FLAG, name="b"), [0, 1, 1, 1]), (replace(FLAG, name="own"), [0, 1, 1, 1]),
        (replace(SIZE, name="o"), [0, 1, 2, 2]), (replace(SIZE, name="e"), [0, 1, 2, 2]),
        (replace(DAY, name="d"), [0, 1, 2, 400]),
    )  # fmt: skip
    how = fit(make_spec(scale="standard", missing="mean", columns={
        "n": {"indicator": True}, "own": {"scale": "standard"}, "e": {"encode": "embedding"},
        "d": {"parts": ["year", "days"]},
    }), table)  # fmt: skip
    assert how.scaling.shift is not None
    scaled = np.array(how.encoded_names)[how.scaling.shift != 0]
    assert scaled.tolist() == ["n", "own", "o", "d year", "d days"]
    field = next(field for field in how.layout.fields if field.feature == "e")
    assert (field.categories, field.dimensions, field.stop - field.start) == (3, 2, 1)


def test_columns_without_width() -> None:
    table = table_of((Column("same"), [3, 3, 3, 3, 3]), (Column("mostly"), [0, 0, 0, 0, 9]))
    notes: list[str] = []
    spec = make_spec(scale="robust")
    rows = np.arange(5)
    how = fit_scales(spec.data, table, rows, fit_columns(spec, table, rows, [])[0], notes)
    assert how.encode(table.x).tolist() == [[0, 0]] * 4 + [[0, 9]]
    assert notes == [
        "1 feature is constant in the training rows and becomes 0: same",
        "1 feature has quartiles that are the same, so only the median is taken off: mostly",
    ]


@pytest.mark.parametrize("scale", [*SCALERS, ["log1p", "standard"], ["quantile", "robust"]])
@given(st.lists(st.integers(0, 10**9).map(lambda n: n / 1000), min_size=2, max_size=30))
@settings(max_examples=25, deadline=None)
def test_targets_come_back(scale: Any, values: list[float]) -> None:
    target = np.array(values)[:, None]
    spec = make_spec(target_scale=scale)
    how = fit(spec, table_of((Column("a"), [0.0] * len(values)), target=target))
    back = how.decode_target(how.encode_target(target))
    np.testing.assert_allclose(back, target, rtol=1e-12, atol=1e-12 * max(1, target.max()))


# The whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_as_json_is_exact(name: str) -> None:
    model, raw = typed_model(**MODELS[name])
    how = model.preprocessing
    again = Preprocessing.from_json(json.loads(json.dumps(how.as_json())))
    assert again.as_json() == how.as_json()
    assert again.encode(raw).tobytes() == how.encode(raw).tobytes()
    assert (again.layout, again.encoded_names) == (how.layout, how.encoded_names)
    assert len(how.encoded_names) == how.layout.width == how.encode(raw).shape[1]
    places = [how.features[how.place_of(i)] for i in range(how.layout.width)]
    assert all(map(str.startswith, how.encoded_names, places))


def test_other_rows_have_no_part_in_it() -> None:
    """Whatever stands in the rows that do not train."""
    table, spec = typed_table(), typed_spec(target_scale=["quantile"])
    train = np.arange(0, 200, 2)
    expected = fit(spec, table, train).as_json()
    x, target = table.x.copy(), table.target.copy()
    x[1::2], target[1::2] = x[1::2][::-1] + 1, 1e9
    assert fit(spec, replace(table, x=x, target=target), train).as_json() == expected
    weighted = replace(table, weights=np.arange(200.0))
    assert fit(spec, weighted, train).as_json() == expected | {"weighted": True}
    x = table.x.copy()
    x[train[3], 0] += 1
    assert fit(spec, replace(table, x=x), train).as_json() != expected


def test_plain_numbers_are_not_touched() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    how = fit(
        make_spec(), table_of(*((Column(name), list(x[:, i])) for i, name in enumerate("abc")))
    )
    assert how.encode(x) is x
    shift, scale = np.array([1.0, 2, 3]), np.array([4.0, 5, 6])
    scaled = replace(how, scaling=Scaling({}, shift, scale)).encode(x)
    assert scaled.tobytes() == ((x - shift) / scale).tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((7, nan), "column 'rooms', row 4, counted from 0: expected a value, found an empty cell"),
        ((5, 9), "column 'size', .*expected a category that its order has, found another one"),
        ((1, -2), "column 'income', .*log1p takes numbers above -1, found -2"),
        ((6, 1e9), "column 'sold', .*expected a date, found one that is out of range"),
        ((8, 1e300), r"'floor' holds a number too large for float32 \(row 4, counted from 0\)"),
    ],
)
def test_rows_that_cannot_be_encoded_are_told(change: tuple[int, float], message: str) -> None:
    table, spec = typed_table(10), typed_spec()
    how = fit(spec, table)
    place, value = change
    table.x[4, place] = value
    with pytest.raises(DataError, match=message), located(spec):
        encode_rows(spec.data, table, np.arange(10), how)
    assert how.fault(np.zeros((1, 10)), np.zeros((1, how.layout.width))) is None


def test_unknown_categories_may_be_an_error() -> None:
    table = table_of((CITY, [2, 0, 1, 2]))
    how = fit(make_spec(columns={"a": {"unknown": "error"}}), table, np.array([0, 1]))
    raw = how.adopt(table, np.arange(4))
    fault = how.fault(raw, how.encode(raw))
    assert fault is not None
    assert (fault.row, fault.column, fault.hint) == (2, "a", "they are A, C")


def test_raw_values_as_people_write_them() -> None:
    columns = (Column("n"), CITY, FLAG, DAY)
    raw = np.array([[1.5, 2, 0, 19723.25], [nan, nan, nan, nan], [2, -1, 1, -1]])
    found = written(raw, [replace(c, name=n) for c, n in zip(columns, "ncbd", strict=True)])
    np.testing.assert_array_equal(found["n"], [1.5, nan, 2])
    assert found["c"] == ["C", None, "other"]
    assert found["b"] == [False, None, True]
    assert found["d"] == ["2024-01-01T06:00:00", None, "1969-12-31"]


# Weights ----------------------------------------------------------------------------------------


def weighed(
    asked: Any, weights: list[float] | None, rows: list[int], train: list[int]
) -> list[float] | None:
    """The weights of rows of the classes no, no, no, yes."""
    spec = make_spec("logistic", {"class_weights": asked})
    given_ = None if weights is None else np.array(weights)
    table = table_of((Column("a"), [0, 1, 2, 3]), target=np.array([0, 0, 0, 1]),
                     classes=("no", "yes"), weights=given_)  # fmt: skip
    with located(spec):
        by_class = class_weights(asked, table, table.count_classes(np.array(train)))
        found = row_weights(table, np.array(rows), by_class, "training")
    return None if found is None else found[:, 0].tolist()


@pytest.mark.parametrize(
    ("asked", "weights", "rows", "expected"),
    [
        (None, None, [0, 3], None),
        (None, [1, 2, 3, 6], [0, 1, 2, 3], [1 / 3, 2 / 3, 1, 2]),
        ("balanced", None, [0, 1, 2, 3], [2 / 3, 2 / 3, 2 / 3, 2]),
        ("balanced", None, [0, 3], [0.5, 1.5]),  # mean 1 in each part, weights by training rows
        ({"yes": 5}, None, [0, 3], [1 / 3, 5 / 3]),
        ({"yes": 3, "no": 0}, [1, 1, 1, 9], [0, 3], [0, 2]),
    ],
)
def test_weights(asked: Any, weights: Any, rows: list[int], expected: Any) -> None:
    found = weighed(asked, weights, rows, [0, 1, 2, 3])
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-15))


@pytest.mark.parametrize(
    ("asked", "weights", "error", "message"),
    [
        ({"yess": 2}, None, SpecError, "'y' has no class 'yess'(?s:.*)did you mean 'yes'"),
        (None, [1, -2, 1, 1], DataError, "row 1.*expected a weight of at least 0, found -2"),
        (None, [1, nan, 1, 1], DataError, "row 1.*found nothing"),
        (None, [0, 0, 0, 0], DataError, "the weights of the training rows are all 0"),
    ],
)
def test_weights_that_are_none(asked: Any, weights: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        weighed(asked, weights, [0, 1, 2, 3], [0, 1, 2, 3])
