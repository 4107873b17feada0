"""`train list` and `train compare`: which run a word stands for, what differs, how it is drawn."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Train
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from trainer import load_spec
from trainer import train as begin
from trainer.cli.chart import draw
from trainer.cli.showing import duration
from trainer.cli.tables import Column, sheets, table
from trainer.errors import TrackingError, UsageError
from trainer.report.axis import Scale, drawable
from trainer.report.comparing import Comparison, curve, curve_names, title
from trainer.report.comparison_page import page
from trainer.report.recorded import RecordedRun
from trainer.report.svg import VERTICES, Line, line_chart, thinned
from trainer.runs.facts import named
from trainer.tracking.runs import Runs, find_run
from trainer.tracking.store import resolve_store

RUNS = Path("runs")
PRIMARY = "mlflow.experiment.primaryMetric"
FALLING = [0.7, 0.4, 0.3]
WIDE = "<i>wide & long"
EVIL = '<b>&"it\'s" [red]\x1b[31m'


@dataclass
class Store:
    """Runs put into a store by hand, a minute apart; `ids` by their name."""

    uri: str
    ids: dict[str, str] = field(default_factory=dict)
    minute: int = 0

    def __post_init__(self) -> None:
        self.client = MlflowClient(self.uri)

    def experiment(self, name: str, **tags: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found else self.client.create_experiment(name, tags=tags)

    def add(
        self, name: str, metrics: Mapping[str, Sequence[float]] | None = None, *,
        experiment: str = "one", status: str = "FINISHED", seconds: float = 1.5,
        params: Mapping[str, object] | None = None, tags: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        self.minute += 1
        start = int(datetime(2024, 3, 1, 12, self.minute, tzinfo=UTC).timestamp() * 1000)
        number = self.experiment(experiment)
        run = self.client.create_run(number, start_time=start, run_name=name).info.run_id
        self.client.log_batch(
            run,
            [Metric(key, v, start, i) for key, values in (metrics or {}).items()
             for i, v in enumerate(values)],
            [Param(key, str(value)) for key, value in (params or {}).items()],
            [RunTag(key, value) for key, value in (tags or {}).items()],
        )  # fmt: skip
        if status != "RUNNING":
            self.client.set_terminated(run, status, start + int(1000 * seconds))
        self.ids[name] = run
        return run


@pytest.fixture
def runs(store: str) -> Store:
    return Store(store)


def find(reference: str, experiment: str | None = None) -> str:
    return find_run(resolve_store(None, RUNS), reference, experiment).name


# Which run --------------------------------------------------------------------------------------


def test_references(runs: Store) -> None:
    for name in ("a", "b", "a_c", "abc", "50%", "it's", "it_s", 'a"b', EVIL):
        runs.add(name)
    runs.add("other", experiment="two")
    for name, run_id in runs.ids.items():
        assert find(name) == find(run_id) == find(run_id[:12]) == name
    assert find("last") == "other"
    assert find("last", "one") == EVIL
    runs.add(runs.ids["a"][:8])
    assert find(runs.ids["a"][:8]) == runs.ids["a"][:8], "a name goes before the beginning of an id"


MISSING = [
    ("nobody", None, "there is no run 'nobody' in sqlite:///"),
    ("other", "one", "there is no run 'other' in experiment 'one'"),
    ("gone", None, "there is no run 'gone' in sqlite:///"),
    ("a_c", None, "there is no run 'a_c' in sqlite:///"),
    ("%", None, "there is no run '%' in sqlite:///"),
    ("", None, "there is no run '' in sqlite:///"),
    ("abc' OR '1", None, "there is no run 'abc' OR '1' in sqlite:///"),
    ("last", "empty", "there are no runs in experiment 'empty' yet"),
    ("best", "empty", "the experiment 'empty' has no finished run with val_loss"),
    ("last", "onee", "there is no experiment 'onee' in sqlite:///"),
]


@pytest.mark.parametrize(("reference", "experiment", "said"), MISSING)
def test_runs_that_are_not_there(
    runs: Store, reference: str, experiment: str | None, said: str
) -> None:
    runs.add("abc")
    runs.add("other", experiment="two")
    runs.experiment("empty")
    runs.client.delete_run(runs.add("gone"))
    with pytest.raises(UsageError, match=f"^{re.escape(said)}"):
        find(reference, experiment)


def test_the_beginning_of_an_id_needs_four_characters(runs: Store) -> None:
    begins = runs.add("a")[:4]
    assert find(begins) == "a"
    with pytest.raises(UsageError, match="give at least four characters of an id"):
        find(begins[:3])


def test_a_name_is_that_of_the_newest_run(runs: Store) -> None:
    """The newest that trained a model, where one did: a search has the spec's name too."""
    searched = [runs.add("same", tags={"trainer.kind": "lr-find"}) for _ in range(2)]
    assert find("same", None) == "same"
    assert find_run(resolve_store(None, RUNS), "same").run_id == searched[-1]
    ids = [runs.add("same", status=status) for status in ("FINISHED", "KILLED")]
    runs.add("same", tags={"trainer.kind": "lr-find"})
    assert find_run(resolve_store(None, RUNS), "same").run_id == ids[-1]


def test_a_beginning_of_several_ids(runs: Store) -> None:
    ids = [f"abcd{i}" + 27 * "0" for i in range(7)]
    for i, each in enumerate(ids[:-1]):
        runs.add(f"n{i}", {"val_loss": [i]}, tags={"trainer.run": each})
    runs.add("n6", {"train_loss": [9.0]}, status="KILLED", tags={"trainer.run": ids[-1]})
    with pytest.raises(UsageError) as caught:
        find("abcd")
    lines = str(caught.value).splitlines()
    assert lines[0] == "'abcd' may be any of several runs: choose one by its id [TR-R001]"
    assert lines[1].endswith("  KILLED    train_loss 9")
    assert [line.split()[0] for line in lines[1:6]] == [each[:8] for each in ids[:1:-1]]
    assert lines[5].endswith("  val_loss 2")
    assert lines[6] == "  … and 2 before them"


def test_the_best_run(runs: Store, recwarn: pytest.WarningsRecorder) -> None:
    runs.add("good", {"val_loss": [0.1, 0.3]})
    runs.add("better", {"val_loss": [0.9, 0.2]})
    runs.add("killed", {"val_loss": [0.1]}, status="KILLED")
    runs.add("infinite", {"val_loss": [math.nan]})
    runs.add("without", {"train_loss": [0.0]})
    assert find("best") == find("best", "one") == "better"
    found = Runs(resolve_store(None, RUNS)).best("one", 5)
    assert [run.name for run in found] == ["better", "good"]
    assert not recwarn


def test_the_best_run_by_the_metric_of_its_experiment(runs: Store) -> None:
    runs.experiment("tagged", **{f"{PRIMARY}.name": "f1", f"{PRIMARY}.greaterIsBetter": "True"})
    runs.add("low", {"f1": [0.2], "val_loss": [0.0]}, experiment="tagged")
    runs.add("high", {"f1": [0.8], "val_loss": [9.0]}, experiment="tagged")
    assert find("best", "tagged") == "high"


def test_the_best_run_without_validation_is_by_train_loss_and_that_is_said(runs: Store) -> None:
    runs.add("low", {"train_loss": [0.1]})
    runs.add("high", {"train_loss": [0.2]})
    with pytest.warns(RuntimeWarning, match="^no finished run of 'one' has val_loss: the best is"):
        assert find("best") == "low"


def test_what_a_recorded_run_is(runs: Store) -> None:
    diverged = {"trainer.diverged": "here"}
    run_id = runs.add("a", {"m": [1, 2]}, params={"p": 1}, status="FAILED", tags=diverged)
    runs.add("again", tags=diverged)
    runs.add("running", status="RUNNING")
    run = find_run(resolve_store(None, RUNS), "a")
    assert (run.run_id, run.experiment, run.status, run.seconds) == (run_id, "one", "DIVERGED", 1.5)
    assert run.started == datetime(2024, 3, 1, 12, 1, tzinfo=UTC)
    assert (run.params, run.metrics) == ({"p": "1"}, {"m": 2.0})
    assert find_run(resolve_store(None, RUNS), "again").status == "FINISHED", (
        "it went on and ended well"
    )
    assert find_run(resolve_store(None, RUNS), "running").seconds is None
    assert Runs(resolve_store(None, RUNS)).points(run_id, "m") == [(0, 1.0), (1, 2.0)]


def test_a_run_goes_by_the_id_of_its_folder(runs: Store) -> None:
    """And by MLflow's; what is shown is the folder's."""
    run_id = runs.add("a", tags={"trainer.run": "0123456789abcdef0123456789abcdef"})
    run = find_run(resolve_store(None, RUNS), "01234567")
    assert (run.id, run.run_id) == ("0123456789abcdef0123456789abcdef", run_id)
    assert find(run_id[:8]) == find(run.id) == "a"


def test_more_runs_than_the_store_gives_at_once(
    runs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.tracking.runs._PAGE", 2)
    for i in range(5):
        runs.add(f"r{i}")
    search = Runs(resolve_store(None, RUNS)).search
    assert [run.name for run in search()] == ["r4", "r3", "r2", "r1", "r0"]
    assert [run.name for run in search(limit=3)] == ["r4", "r3", "r2"]


def test_a_store_that_refuses(folder: Path) -> None:
    Path("broken.db").write_text("no database at all, but long enough to look like one " * 9)
    with pytest.raises(TrackingError, match="cannot be written: file is not a database"):
        find_run(resolve_store("sqlite:///broken.db", RUNS), "last")


# train list -------------------------------------------------------------------------------------


def fill(runs: Store) -> Store:
    """Puts in runs of two experiments, one of each kind of end."""
    metrics = {"train_loss": FALLING, "val_loss": FALLING}
    runs.add("first", metrics | {"best_val_loss": [0.3], "test_loss": [0.5],
             "test_accuracy": [0.75]}, seconds=3725, params={"sgd/epochs": 2})  # fmt: skip
    runs.add("second", {"val_loss": [0.7, 0.25], "grad_norm": [3.0]}, seconds=65)
    runs.add("ran away", {"val_loss": [1e30]}, status="FAILED", tags={"trainer.diverged": "x"})
    runs.add("no validation", {"train_loss": [0.125]}, experiment="two", status="KILLED")
    runs.add(EVIL, experiment="two", status="RUNNING")
    return runs


@pytest.fixture(scope="module")
def _five(_fresh_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    database = tmp_path_factory.mktemp("five") / "runs" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(_fresh_store, database)
    return fill(Store(f"sqlite:///{database}"))


@pytest.fixture
def five(_five: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """These runs in runs/mlflow.db of the current folder, made once: nobody may change them."""
    monkeypatch.chdir(Path(_five.uri.removeprefix("sqlite:///")).parent.parent)
    return _five


def names_of(out: str) -> list[str]:
    """The second column of a plain table."""
    names = ("first", "second", "ran away", "no validation", "<b>")
    return [next(name for name in names if f"  {name}" in line) for line in out.splitlines()[1:]]


def test_list(train: Train, five: Store) -> None:
    code, out, err = train("list")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert re.split(" {2,}", lines[0]) == [
        "id", "name", "status", "started", "duration", "experiment", "val_loss", "best_val_loss",
        "test_loss", "train_loss", "test_accuracy",
    ]  # fmt: skip
    started = [datetime(2024, 3, 1, 12, i, tzinfo=UTC).astimezone() for i in range(6)]
    assert [re.split(" {2,}", line) for line in lines[1:]] == [
        [five.ids[EVIL], "<b>&\"it's\" [red]?[31m", "RUNNING", f"{started[5]:%Y-%m-%d %H:%M}", "—",
         "two", *["—"] * 5],
        [five.ids["no validation"], "no validation", "KILLED", f"{started[4]:%Y-%m-%d %H:%M}",
         "1.5 s", "two", "—", "—", "—", "0.125", "—"],
        [five.ids["ran away"], "ran away", "DIVERGED", f"{started[3]:%Y-%m-%d %H:%M}", "1.5 s",
         "one", "1e+30", "—", "—", "—", "—"],
        [five.ids["second"], "second", "FINISHED", f"{started[2]:%Y-%m-%d %H:%M}", "1 min 5 s",
         "one", "0.25", "—", "—", "—", "—"],
        [five.ids["first"], "first", "FINISHED", f"{started[1]:%Y-%m-%d %H:%M}", "1 h 2 min",
         "one", "0.3", "0.3", "0.5", "0.3", "0.75"],
    ]  # fmt: skip
    assert len({len(line) for line in lines[1:]}) == 1, "aligned"


SORTS = [
    ("-started", ["<b>", "no validation", "ran away", "second", "first"]),
    ("started", ["first", "second", "ran away", "no validation", "<b>"]),
    ("name", ["<b>", "first", "no validation", "ran away", "second"]),
    ("val_loss", ["second", "first", "ran away", "<b>", "no validation"]),
    ("-val_loss", ["ran away", "first", "second", "<b>", "no validation"]),
    ("metrics.val_loss DESC", ["ran away", "first", "second", "<b>", "no validation"]),
    ("-duration", ["first", "second", "no validation", "ran away", "<b>"]),
    ("experiment", ["ran away", "second", "first", "<b>", "no validation"]),
]


@pytest.mark.parametrize(("sort", "names"), SORTS)
def test_list_sorted(train: Train, five: Store, sort: str, names: list[str]) -> None:
    code, out, _ = train("list", "--sort", sort)
    assert code == 0
    if sort == "experiment":  # of one experiment they stand in any order
        assert sorted(names_of(out)[:3]) == sorted(names[:3])
    else:
        assert names_of(out) == names
    code, out, _ = train("list", "--sort", sort, "--limit", 1, "--json")
    assert len(json.loads(out)["runs"]) == 1


def test_list_shows_the_metric_that_it_is_sorted_by(train: Train, five: Store) -> None:
    _, out, _ = train("list", "--sort", "grad_norm", "--limit", 1)
    titles, row, more = out.splitlines()
    assert titles.endswith("grad_norm")
    assert row.endswith(" 3")
    assert more == "There are more runs: show them with --limit 2"


FILTERS = [
    ("metrics.val_loss < 0.28", ["second"]),
    ("params.`sgd/epochs` = '2' and attributes.status = 'FINISHED'", ["first"]),
    ("tags.`trainer.diverged` LIKE '%x%'", ["ran away"]),
]


@pytest.mark.parametrize(("where", "names"), FILTERS)
def test_list_filtered(train: Train, five: Store, where: str, names: list[str]) -> None:
    code, out, _ = train("list", "--filter", where)
    assert (code, names_of(out)) == (0, names)


def test_list_of_an_experiment(train: Train, five: Store) -> None:
    _, out, _ = train("list", "--experiment", "two")
    assert names_of(out) == ["<b>", "no validation"]
    assert "experiment" not in out.splitlines()[0]


NO_ROOM = [
    (60, "train_loss, best_val_loss, test_loss, duration, experiment, started"),
    (80, "train_loss, best_val_loss, test_loss, duration, experiment"),
    (100, "train_loss, best_val_loss, test_loss"),
    (200, None),
]


@pytest.mark.parametrize(("width", "left_out"), NO_ROOM)
def test_list_on_a_terminal(
    train: Train, five: Store, monkeypatch: pytest.MonkeyPatch, width: int, left_out: str | None
) -> None:
    """Ids are short, statuses have colours, and no line is wider than the terminal."""
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width)}.items():
        monkeypatch.setenv(name, value)
    _, out, _ = train("list")
    assert "\x1b[31mDIVERGED\x1b[0m" in out
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert lines[1].split()[0] == five.ids[EVIL][:8]
    assert lines[1].split()[1].startswith("<b>&")
    assert max(map(len, lines[:6])) <= width
    assert lines[6:] == ([f"(no room for {left_out})"] if left_out else [])


def test_list_json(train: Train, five: Store) -> None:
    code, out, err = train("list", "--json", "--experiment", "one")
    assert (code, err, out.count("\n")) == (0, "", 1)
    first = json.loads(out)["runs"][-1]
    assert datetime.fromisoformat(first.pop("started")) == datetime(2024, 3, 1, 12, 1, tzinfo=UTC)
    assert first == {
        "id": five.ids["first"], "run_id": five.ids["first"], "name": "first",
        "experiment": "one", "status": "FINISHED", "seconds": 3725.0, "params": {"sgd/epochs": "2"},
        "metrics": {"best_val_loss": 0.3, "test_accuracy": 0.75, "test_loss": 0.5,
                    "train_loss": 0.3, "val_loss": 0.3},
    }  # fmt: skip


def test_list_without_runs(train: Train, runs: Store) -> None:
    runs.experiment("empty")
    said = " yet. Train something first: train CONFIG\n"
    for more, where in (
        ((), "runs/mlflow.db"),
        (("--experiment", "empty"), "the experiment 'empty'"),
    ):
        assert train("list", *more)[:2] == (0, f"There are no runs in {where}{said}")
    assert train("list", "--json")[:2] == (0, '{"runs": []}\n')
    assert train("list", "--filter", "metrics.a > 1")[1] == "No run fits the filter metrics.a > 1\n"


def test_without_a_store(train: Train, folder: Path) -> None:
    for arguments in (["list"], ["compare", "a", "b"]):
        code, out, err = train(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith(
            f"train: there is no tracking store at {folder}/runs/mlflow.db [TR-T005]\n"
        )
    assert list(folder.iterdir()) == [], "looking makes nothing"


WRONG_LISTS = [
    (["--filter", "val_loss <"], "MLflow says: Invalid clause(s) in filter string: 'val_loss', "
     "'<'; a filter is such as metrics.val_loss < 0.1 and"),
    (["--filter", "metrics.a > 1 or metrics.b > 1"], "MLflow says: Invalid clause(s)"),
    (["--sort", "rubbish DESC"], "MLflow says: Invalid attribute key 'rubbish'"),
    (["--sort", "val_lose"], "--sort val_lose: no run has this metric "
                             "[TR-U008]\n  hint: did you mean val_"),
    (["--sort", "zzz"], "--sort zzz: no run has this metric "
                        "[TR-U008]\n  hint: there are best_val_loss, "),
    (["--experiment", "on"], "there is no experiment 'on' in sqlite:///"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), WRONG_LISTS)
def test_wrong_lists(train: Train, five: Store, arguments: list[str], said: str) -> None:
    code, out, err = train("list", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"train: {said}")
    if "MLflow" in said:
        assert err.count("\n") == 2, "one line, and the usual one below"


# train compare ----------------------------------------------------------------------------------


def test_compare(train: Train, store: str, write_spec: Callable[..., Path]) -> None:
    """Two real runs differ in what was changed, and in nothing else."""
    path = write_spec({"data.split": {"validation": 0.25}, "sgd.batch_size": 1})
    slow = begin(named(load_spec(path), "slow"))
    more = {"sgd.learning_rate": 0.9, "model.layers.0.activation": "relu", "sgd.epochs": 9}
    fast = begin(named(load_spec(path, more), "fast"))
    code, out, _ = train("compare", "slow", "fast", "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == ["runs", "differences", "metrics", "curves"]
    assert [(run["id"], run["run_id"]) for run in found["runs"]] == [
        (slow.id, slow.run_id), (fast.id, fast.run_id)
    ]  # fmt: skip
    assert found["differences"] == {
        "model/layers/0/activation": ["tanh", "relu"],
        "model/layers/0/init": ["glorot_uniform", "he_uniform"],
        "sgd/epochs": ["3", "9"], "sgd/learning_rate": ["0.5", "0.9"],
    }  # fmt: skip
    assert found["metrics"]["best_val_loss"] == [
        slow.metrics["best_val_loss"], fast.metrics["best_val_loss"]
    ]  # fmt: skip
    assert set(found["curves"]) == {
        "val_loss", "train_loss", "val_accuracy", "train_accuracy", "grad_norm"
    }  # fmt: skip
    for name, curves in found["curves"].items():
        for run, drawn in zip((slow, fast), curves, strict=True):
            assert drawn == {"epochs": run.history[name].steps.tolist(),
                             "values": run.history[name].values.tolist()}  # fmt: skip


def test_compare_shows(train: Train, runs: Store) -> None:
    runs.add(
        "one",
        {"val_loss": FALLING, "test_accuracy": [0.9], "learning_rate": [0.1]},
        params={"sgd/learning_rate": 0.1, "seed": 1},
        tags={"trainer.engine": "compiled"},
    )
    runs.add("two", {"val_loss": [0.7, 0.2], "test_accuracy": [0.8]}, status="KILLED",
             params={"sgd/learning_rate": 0.2, "seed": 1, "model/layers/10/units": 4},
             tags={"trainer.engine": "reference"})  # fmt: skip
    code, out, err = train("compare", "one", "two")
    assert (code, err) == (0, "")
    blocks = out.split("\n\n")
    assert [line.split()[:4] for line in blocks[0].splitlines()[1:]] == [
        ["A", runs.ids["one"], "one", "FINISHED"], ["B", runs.ids["two"], "two", "KILLED"],
    ]  # fmt: skip
    assert blocks[1].splitlines() == [
        "differs                A         B",
        "model/layers/10/units  —         4",
        "sgd/learning_rate      0.1       0.2",
        "engine                 compiled  reference",
    ]
    assert blocks[2].splitlines() == [
        "metric (* best)    A     B",
        "val_loss         0.3   0.2*",
        "test_accuracy    0.9*  0.8",
    ]
    assert blocks[3].splitlines()[0] == "val_loss by epoch"
    assert blocks[4].splitlines() == ["A  one: 0.3 at epoch 2", "B  two: 0.2 at epoch 1"]


def test_compare_the_best(train: Train, runs: Store) -> None:
    five = fill(runs)

    def compared(*arguments: object) -> list[str]:
        code, out, err = train("compare", "--json", *arguments)
        assert code == 0, err
        return [run["name"] for run in json.loads(out)["runs"]]

    five.add("third", {"val_loss": [0.5]})
    assert compared("--experiment", "one", "--best", 2) == ["second", "first"]
    assert compared("--best", 20) == ["second", "first", "third"], "of the last run's experiment"
    assert compared("no validation", "best", "--best", 2) == ["no validation", "second", "first"]
    assert compared("last", "best", "first", "last") == ["third", "second", "first"]


def test_compare_runs_without_a_curve(train: Train, runs: Store) -> None:
    five = fill(runs)

    def chart(*arguments: object) -> list[str]:
        code, out, _ = train("compare", *arguments)
        assert code == 0
        return out.split("\n\n", 3)[3].splitlines()

    five.add("empty")
    assert chart("first", "no validation", "empty")[-3:] == [
        "A  first: 0.3 at epoch 2", "B  no validation: no val_loss", "C  empty: no val_loss",
    ]  # fmt: skip
    assert chart("ran away", "second", "--metric", "grad_norm") == [
        "grad_norm has one value a run, and no curve."
    ]
    code, out, _ = train("compare", "empty", five.ids[EVIL])
    assert code == 0
    assert out.splitlines()[4:] == [
        "The specs, the data and the engine are the same.", "", "The runs have no metrics.", "",
        "No run has a point of train_loss.",
    ]  # fmt: skip


WRONG_COMPARISONS = [
    (["first"], "two runs or more can be compared: there is only "),
    (["first", "first"], "two runs or more can be compared: there is only "),
    ([], "two runs or more can be compared: name them, or give --best N"),
    (["--experiment", "one"], "say how many runs of the experiment: --best N"),
    (["first", "nobody"], "there is no run 'nobody' in sqlite:///"),
    (["first", "no validation", "--experiment", "one"], "there is no run 'no validation' in exp"),
    (["first", "second", "--metric", "los"], "los: no run has this metric [TR-U008]\n  hint: "),
    (["first", "second", "--html", "no/such/page.html"], "there is no folder 'no/such' for the "
     "file 'page.html'"),
    (["--best", 21], "more than 20 runs cannot be told apart: name fewer of them, or take the "),
    ([*"abcdefghijklmnopqrstu"], "more than 20 runs cannot be told apart"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), WRONG_COMPARISONS)
def test_wrong_comparisons(train: Train, five: Store, arguments: list[str], said: str) -> None:
    code, out, err = train("compare", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"train: {said}")


# What differs -----------------------------------------------------------------------------------


def recorded(metrics: Mapping[str, float] | None = None, **params: str) -> RecordedRun:
    """A run that no store holds."""
    started = datetime(2024, 3, 1, tzinfo=UTC)
    return RecordedRun("ab" * 16, EVIL, "e", "FINISHED", started, 1.0, params, metrics or {}, {})


def test_layers_stand_in_their_order() -> None:
    paths = ["a/10/u", "a/2/u", "a/2", "b"]
    comparison = Comparison([recorded(**dict.fromkeys(paths, "1")), recorded()])
    assert list(comparison.differences) == ["a/2", "a/2/u", "a/10/u", "b"]


BEST = [
    ("val_loss", [0.3, 0.2, 0.2, None], {1, 2}),
    ("val_loss", [0.3, math.nan, 0.2], {2}),
    ("val_loss", [0.2, 0.2], set()),
    ("val_loss", [0.2, None], set()),
    ("test_accuracy", [0.8, 0.9], {1}),
    ("val_r2", [-3.0, None, -4.0], {0}),
    ("test_f1_macro", [0.1, 0.2], {1}),
    ("test_rmse", [0.1, 0.2], {0}),
    ("grad_norm", [0.1, 0.2], set()),
    ("best_epoch", [1.0, 2.0], set()),
]


@pytest.mark.parametrize(("name", "values", "best"), BEST)
def test_the_best_value_of_a_metric(name: str, values: list[float | None], best: set[int]) -> None:
    runs = [recorded({} if value is None else {name: value}) for value in values]
    assert Comparison(runs).best(name) == best


def test_different_losses_are_not_compared() -> None:
    runs = [recorded({"val_loss": i, "val_r2": i}, **{"model/loss": kind})
            for i, kind in enumerate(["logistic", "squared"])]  # fmt: skip
    comparison = Comparison(runs)
    assert (comparison.best("val_loss"), comparison.best("val_r2")) == (set(), {1})
    assert comparison.notes == ["the runs have different losses, whose values cannot be compared"]


def test_headline_metrics_in_their_order() -> None:
    names = ["grad_norm/dense_1/W", "perf/examples_per_second", "train_loss_step", "grad_norm",
             "train_accuracy", "test_accuracy", "val_accuracy", "train_loss", "test_loss",
             "best_epoch", "best_val_loss", "val_loss"]  # fmt: skip
    comparison = Comparison([recorded(dict.fromkeys(names, 1.0))])
    assert list(comparison.metrics) == names[:2:-1]
    assert curve_names(comparison.runs) == [
        "val_loss", "train_loss", "val_accuracy", "train_accuracy", "grad_norm",
    ]  # fmt: skip


def test_a_curve_of_recorded_points() -> None:
    points = [(0, 3.0), (2, 9.0), (1, math.nan), (2, 1.0)]
    assert curve(points) == [(0, 3.0), (2, 1.0)], "of a step that came twice, the last counts"


TITLES = {
    "val_loss": "Validation loss", "train_loss": "Training loss", "test_loss": "Test loss",
    "val_accuracy": "Validation accuracy", "train_r2": "Training R²", "val_f1": "Validation F1",
    "grad_norm": "Norm of the gradient", "train_loss_step": "train_loss_step", "other": "other",
    "best_val_loss": "best_val_loss", "val_other": "val_other",
}  # fmt: skip


@pytest.mark.parametrize("name", TITLES)
def test_titles(name: str) -> None:
    assert title(name) == TITLES[name]


# On a terminal ----------------------------------------------------------------------------------


def test_the_chart() -> None:
    curves = [[(e, 1 / (1 + e)) for e in range(41)], [(e, 1 - e / 20) for e in range(11)], []]
    assert [line.plain for line in draw(curves, "ABC", "epoch", True, 50)] == [
        "   1 ┤⢏⠒⠤⣀",
        "     │⢸   ⠉⠒B⣀",
        "     │⠈⡆      ⠉⠢⡀B",
        " 0.5 ┤ ⢱",
        "     │  ⢇",
        "     │  ⠈⡆",
        " 0.2 ┤   ⠈⢆",
        "     │     ⠱⡀",
        "     │      ⠈A⡀",
        " 0.1 ┤        ⠈⠒⠤⡀",
        "     │           ⠈⠒⠤⣀",
        "0.05 ┤               ⠉⠒⠤⣀",
        "     │                   ⠉⠑⠢⠤⢄⡀",
        "     │                        ⠈⠉⠑⠒⠢⢄⣀⡀",
        "     │                               ⠈⠉⠉⠑⠒⠢⠤⢄⣀A",
        "     └┬───────────────────┬──────────────────┬",
        "      0                  20                 40  epoch",
    ]


@pytest.mark.parametrize("count", [1, 4, 20])
@pytest.mark.parametrize("width", [20, 70])
def test_every_curve_has_its_letter_at_its_end(count: int, width: int) -> None:
    letters = "ABCDEFGHIJKLMNOPQRST"[:count]
    lines = draw([[(0, 1.0), (1, 2.0)]] * count, letters, "epoch", False, width)
    assert set(letters) <= set("".join(line.plain for line in lines[:15]))
    assert max(len(line.plain) for line in lines[:16]) <= width


WIDTHS = [
    # width, titles that are shown, titles for which there is no room, the first line
    (None, ["id", "name", "loss", "more"], [], "1   a long name   0.5     —"),
    (27, ["id", "name", "loss", "more"], [], "1   a long name   0.5     —"),
    (25, ["id", "name", "loss", "more"], [], "1   a long n…   0.5     —"),
    (21, ["id", "name", "loss", "more"], [], "1   a lo…   0.5     —"),
    (20, ["id", "name", "loss"], ["more"], "1   a long na…   0.5"),
    (14, ["id", "name"], ["more", "loss"], "1   a long na…"),
    (3, ["id", "name"], ["more", "loss"], "1   a lo…"),
]


@pytest.mark.parametrize(("width", "titles", "dropped", "first"), WIDTHS)
def test_a_table_has_the_width_of_the_terminal(
    width: int | None, titles: list[str], dropped: list[str], first: str
) -> None:
    columns = [
        Column("id", ["1", "漢"]), Column("name", ["a long name", "b"], least=5),
        Column("loss", ["0.5", "12"], right=True, rank=1),
        Column("more", ["—", "—"], right=True, rank=2),
    ]  # fmt: skip
    lines, gone = table(columns, width)
    assert (lines[0].plain.split(), gone) == (titles, dropped)
    assert lines[1].plain == first
    assert lines[2].plain.startswith("漢  b"), "wide characters take two places"


def test_many_columns_become_several_tables() -> None:
    columns = [Column(letter, ["12345"]) for letter in "ABCDE"]
    found = [[c.title for c in sheet] for sheet in sheets(Column("x", ["y"]), columns, 16)]
    assert found == [["x", "A", "B"], ["x", "C", "D"], ["x", "E"]]
    assert len(list(sheets(Column("x", ["y"]), columns, None))) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (3599.4, "59 min 59 s"),
     (3600, "1 h 0 min"), (90000, "25 h 0 min")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


TICKS = [
    ([0.5, 1.0], True, ["0.5", "0.6", "0.7", "0.8", "0.9", "1"]),
    ([0.01, 0.6], True, ["0.01", "0.1"]),
    ([0.01, 0.6], False, ["0.2", "0.4", "0.6"]),
    ([1e-7, 3.0], True, ["10⁻⁷", "10⁻⁵", "0.001", "0.1"]),
    ([0.0, 30.0], True, ["0", "10", "20", "30"]),
    ([-4.0, 1.0], True, ["-4", "-3", "-2", "-1", "0", "1"]),
    ([5.0, 5.0], True, ["4.6", "4.8", "5", "5.2", "5.4"]),
    ([0.0], True, ["-1", "-0.5", "0", "0.5", "1"]),
    ([1e6, 1e6 + 1], True, ["1000000", "1000000.2", "1000000.4", "1000000.6", "1000000.8",
                            "1000001"]),
    ([1e-15, 3e-15], True, ["1e-15", "1.5e-15", "2e-15", "2.5e-15", "3e-15"]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "logarithmic", "ticks"), TICKS)
def test_ticks(values: list[float], logarithmic: bool, ticks: list[str]) -> None:
    scale = Scale.around(values, logarithmic)
    found = scale.ticks(5)
    assert list(found.values()) == ticks
    assert all(-1e-6 <= scale.place(value) <= 1 + 1e-6 for value in found)
    assert all(0 <= scale.place(value) <= 1 for value in values)


def test_what_a_chart_can_show() -> None:
    values = [math.nan, math.inf, -1e200, 1e-320, 1e99]
    assert drawable(enumerate(values)) == [(3, 1e-320), (4, 1e99)]
    assert draw([drawable(enumerate(values))], "A", "epoch", True, 70)


# The page ---------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """The elements of a page; every one must be closed, in order."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str, style: str = "") -> int:
        return sum(t == tag and style in (a.get("class") or "") for t, a in self.elements)


def test_the_page(train: Train, runs: Store) -> None:
    five = fill(runs)
    five.add(WIDE, {"val_loss": [1 / (1 + e) for e in range(320)], "val_accuracy": [0.5, 0.6]},
             params={"x": EVIL})  # fmt: skip
    code, out, _ = train("compare", "first", WIDE, five.ids[EVIL], "--html", "page.html")
    assert code == 0
    assert out.splitlines()[-1] == "page: page.html"
    text = Path("page.html").read_text()
    outline = Outline(text)
    assert outline.open == []
    assert (outline.count("table"), outline.count("svg")) == (3, 3), "loss, loss and accuracy"
    assert outline.count("path", "line") == 4
    assert outline.count("circle", "touch") == outline.count("title") - 1 == 3 + 60 + 3 + 2
    said = "".join(outline.text)
    assert '<b>&"it\'s" [red]?[31m' in said
    assert "B <i>wide & long\nValidation loss 0.003125 at epoch 319" in said
    assert "★ 0.003125" in said
    assert "Without it: A, C" in said
    assert "prefers-color-scheme: dark" in text
    assert not {"script", "link", "img", "b&"} & {tag for tag, _ in outline.elements}
    assert not re.search(r"https?:|url\(|@import|src=", text), "it needs no network"


def test_the_outline_notices_what_is_not_escaped() -> None:
    good = page(Comparison([recorded(), recorded(**{"<b>": "<i>"})]))
    assert Outline(good).open == []
    with pytest.raises(AssertionError):
        Outline(good.replace("&lt;", "<"))


def test_long_lines_are_thinned() -> None:
    points = [(e, float(e)) for e in range(5000)]
    assert len(thinned(points, VERTICES)) == VERTICES
    assert (thinned(points, 7)[0], thinned(points, 7)[-1]) == (points[0], points[-1])
    chart = line_chart("loss", [Line(points, "A", "a", "r0")], "epoch", logarithmic=False)
    assert max(line.count("L") for line in chart.splitlines()) == VERTICES - 1
    assert line_chart("loss", [Line([(0, 1.0)], "A", "a", "r0")], "epoch", False) == ""


def test_twenty_letters_stay_apart_and_on_the_chart() -> None:
    lines = [Line([(0, 1.0), (1, 2.0)], letter, letter, "r0") for letter in "ABCDEFGHIJKLMNOPQRST"]
    chart = line_chart("loss", lines, "epoch", logarithmic=False)
    places = sorted(float(y) for y in re.findall(r'"letter" x="[\d.]+" y="([\d.]+)"', chart))
    assert len(places) == 20
    assert min(b - a for a, b in pairwise(places)) > 9
    assert 0 < places[0] < places[-1] < 270
