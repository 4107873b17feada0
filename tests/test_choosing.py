"""Which columns are features: those that are named, or all but some, also those of the split."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.data import Dataset, load_dataset
from trainer.errors import SpecError
from trainer.spec import Spec, load_spec

SPEC = """\
name: choosing
data:
  source: {csv: data.csv}
  target: y
model:
  layers: [{units: 1}]
  loss: squared
sgd: {learning_rate: 0.001, batch_size: 4, epochs: 1}
"""


def load(folder: Path, *changes: str) -> Dataset:
    rows = [f"{i},n{i},{i % 3},{'pqr'[i % 3]},2024-0{1 + i % 9}-05,{i % 4},{i}" for i in range(30)]
    (folder / "data.csv").write_text("\n".join(["id,name,a,g,t,w,y", *rows]) + "\n")
    (folder / "spec.yaml").write_text(SPEC)
    return load_dataset(load_spec(folder / "spec.yaml", [*changes]))


BY_TIME, BY_GROUP = "data.split={time: t, validation: 0.2}", "data.split={group: g, test: 0.3}"


@pytest.mark.parametrize(
    ("features", "others", "expected"),
    [
        ("{except: name}", [], "id a g t w"),
        ("{except: [id, name]}", [], "a g t w"),
        ("{except: [id, name, y]}", ["data.weights=w"], "a g t"),
        ("{except: [id, name]}", [BY_TIME], "a g w"),
        ("{except: [id, name], also: t}", [BY_TIME], "a g t w"),
        ("{except: [id, name], also: [g]}", [BY_GROUP], "a g t w"),
        ("{also: a, except: name}", [], "id a g t w"),
        ("[t, a]", [BY_TIME], "t a"),
        ("[g]", [BY_GROUP], "g"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_features(
    features: str, others: list[str], expected: str, suffix: str, tmp_path: Path
) -> None:
    load(tmp_path, "data.features={except: name}")
    if suffix == "parquet":
        import pyarrow.csv as pacsv
        import pyarrow.parquet as pq

        pq.write_table(pacsv.read_csv(tmp_path / "data.csv"), tmp_path / "data.parquet")
        others = [*others, "data.source={parquet: data.parquet}"]
    dataset = load(tmp_path, f"data.features={features}", *others)
    assert dataset.features == tuple(expected.split())


def test_a_time_is_a_feature_with_its_parts(tmp_path: Path) -> None:
    parts = "data.columns={t: {parts: [month, days]}}"
    for features in ("[a, t]", "{except: [id, name, g, w], also: t}"):
        dataset = load(tmp_path, f"data.features={features}", BY_TIME, parts)
        assert dataset.preprocessing.encoded_names == ("a", "t month", "t days")
        assert dataset.validation is not None
        months = dataset.validation.span(0, len(dataset.validation))["x"][:, 1]
        assert months.min() >= 7  # the latest rows
        assert dataset.train.span(0, 1)["x"][0].tolist() == [0, 1, 19727]


def test_a_group_is_a_category(tmp_path: Path) -> None:
    dataset = load(tmp_path, "data.features={except: [id, name, t], also: g}", BY_GROUP)
    how = dataset.preprocessing
    assert how.columns[1].kind == "categorical"
    assert set(how.columns[1].categories) < {"p", "q", "r"}  # one group is for testing
    embedded = "data.columns={g: {encode: embedding, dimensions: 2}}"
    dataset = load(tmp_path, "data.features=[g, a]", BY_GROUP, embedded)
    assert dataset.layout.fields[0].dimensions == 2


def test_other_columns_of_further_files_may_differ_where_they_are_left_out(tmp_path: Path) -> None:
    load(tmp_path, "data.features={except: name}")
    (tmp_path / "more.csv").write_text("id,remark,a,g,t,w,y\n1,x,2,p,2024-01-01,1,3\n")
    changes = ["data.source.csv=[data.csv, more.csv]", "data.features={except: [name, id]}"]
    with pytest.raises(Exception, match="the column 'remark' is not in"):
        load(tmp_path, *changes)
    (tmp_path / "more.csv").write_text("id,a,g,t,w,y\n1,2,p,2024-01-01,1,3\n")
    assert len(load(tmp_path, *changes).train) == 31


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ("{except: [idd]}",
         "data.features.except[0]: the data has no column 'idd' (did you mean 'id'?)"),
        ("{except: idd}",
         "data.features.except: the data has no column 'idd' (did you mean 'id'?)"),
        ("{also: [dat]}",
         "data.features.also[0]: the data has no column 'dat' (the columns are id, name, "
         "a, g, t, w, y)"),
        ("{expect: [id]}", "data.features.expect: unknown key (did you mean 'except'?)"),
        ("{also: [y]}", "data.features.also[0]: 'y' is the target and cannot also be a feature"),
        ("{also: [a], except: [a]}", "data.features.also[0]: 'a' is left out and taken too"),
        ("{except: []}",
         "data.features.except: expected a text or a list of texts, found an empty list"),
        ("{}", "data.features: expected a list, found an empty mapping"),
        ("{except: [id, name, a, g, t, w]}",
         "data.features: no column is left to predict from (leave fewer out)"),
        ("[1]",
         "data.features[0]: expected a text, found the number 1 (put it in quotes if it "
         "is meant as a text)"),
    ],
)  # fmt: skip
def test_mistakes(features: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        load(tmp_path, f"data.features={features}")
    [problem] = raised.value.problems
    hint = f" ({problem.hint})" if problem.hint else ""
    assert f"{problem.path}: {problem.message}{hint}" == told


def test_the_resolved_spec_is_read_back(tmp_path: Path) -> None:
    load(tmp_path, "data.features={except: name}")
    changes = ["data.features={except: [id, name], also: t}", "data.drop_rows={missing: target}"]
    spec = load_spec(tmp_path / "spec.yaml", [*changes, BY_TIME])
    assert Spec.from_resolved(spec.resolved()).sha256 == spec.sha256


def test_columns_that_are_no_features_say_how_to_make_them_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        load(
            tmp_path, "data.features={except: name}", BY_TIME, "data.columns={t: {parts: [month]}}"
        )
    [problem] = raised.value.problems
    assert problem.message == "'t' is no feature"
    assert problem.hint == "write `data.features: {also: [t]}` to make it one"
