"""`train check --data`: what is in a table as people, programs and browsers are told."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Train, WriteSpec
from test_comparing import Outline

from trainer import load_spec
from trainer.cli.surveying import bars, show_survey
from trainer.cli.tables import Output
from trainer.report.survey_page import number, share
from trainer.survey import survey

ROWS = 100
EVIL = '<img src=x onerror="alert(1)">'
CELL = "</td><script>alert('&amp;')</script>"
BACK = "\x1b[31m`a` \u202eb"


def write(folder: Path, table: dict[str, list[Any]], /, **more: Any) -> str:
    """A table of these columns and a spec for it, which predicts the class in the last one."""
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    target = list(table)[-1]
    spec: dict[str, Any] = {
        "name": "t", "seed": 1,
        "data": {"source": {"csv": "t.csv"}, "target": target, "split": {"test": 0.25}, **more},
        "model": {"layers": [{"units": 1}], "loss": "logistic"},
        "sgd": {"learning_rate": 0.1, "batch_size": 5, "epochs": 1},
    }  # fmt: skip
    (folder / "t.yaml").write_text(yaml.safe_dump(spec))
    return "t.yaml"


def columns() -> dict[str, list[Any]]:
    """A column that tells the target, one that numbers the rows, and others."""
    draw = random.Random(4)
    y = [draw.choice(["no", "yes"]) for _ in range(ROWS)]
    return {
        "id": list(range(1, ROWS + 1)),
        "size": [draw.choice([1, 2, 2, 3]) for _ in range(ROWS)],
        "city": [draw.choice(["Rome", "Oslo", "Bern", "Bonn"]) for _ in range(ROWS)],
        "gap": ["" if i % 2 else draw.random() for i in range(ROWS)],
        "closed": [{"no": "open", "yes": "shut"}[each] for each in y],
        "y": y,
    }


TOLD = """\
t: 100 rows of t.csv, 5 features, target 'y'
75 train, 25 test rows

column  type                 missing  distinct  holds
y       categorical, target                  2  yes (54%), no (46%)
id      numeric                            100  1 to 100, median 50.5
size    numeric                              3  1 to 3, median 2
city    categorical                          4  Bern (28%), Rome (28%), Bonn (23%), …
gap     numeric                  50%        50  0.0131833 to 0.996449, median 0.601419
closed  categorical                          2  shut (54%), open (46%)

grave: 'closed' tells 'y' by itself (100% of it); leave it out, unless it is known before the \
target is
note: 'id' numbers the rows, from 1 to 100; leave it out
note: 'gap' has no value in 50 of 100 rows; say with `indicator: true` that the gap itself may \
tell something
"""


def test_people_are_told(train: Train, folder: Path) -> None:
    config = write(folder, columns(), missing="median")
    assert train("check", config, "--data") == (0, TOLD, "")
    assert train("check", config, "--html", "t.html") == (0, f"{TOLD}\npage: t.html\n", "")
    assert sorted(path.name for path in folder.iterdir()) == ["t.csv", "t.html", "t.yaml"]


def test_advice_that_is_taken_is_not_given(train: Train, folder: Path) -> None:
    config = write(
        folder, columns(), missing="median", columns={"gap": {"indicator": True}},
        features={"except": ["id", "closed"]},
    )  # fmt: skip
    _, out, _ = train("check", config, "--data")
    assert out.splitlines()[-1] == "note: 'gap' has no value in 50 of 100 rows"
    config = write(folder, {name: columns()[name] for name in ("size", "city", "y")})
    _, out, _ = train("check", config, "--data")
    assert out.splitlines()[-1] == "Nothing odd was found."


def test_programs_are_told(train: Train, folder: Path) -> None:
    code, out, err = train("check", write(folder, columns(), missing="median"), "--data", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    assert [found[key] for key in ("valid", "name")] == [True, "t"]
    data = found["data"]
    assert (data["origin"], data["rows"], data["whole"]) == ("t.csv", ROWS, True)
    assert data["parts"] == {"train": 75, "validation": 0, "test": 25}
    assert data["findings"][0] == {
        "kind": "leak", "columns": ["closed"], "grave": True, "share": 1.0,
        "message": "tells 'y' by itself (100% of it)",
        "advice": "leave it out, unless it is known before the target is",
    }  # fmt: skip
    size = data["features"][1]
    assert (size["kind"], size["low"], size["high"]) == ("numeric", 1, 3)
    assert size["edges"] == [1, 2, 3, 4]
    assert sum(size["histogram"]) == ROWS
    assert [part["part"] for part in data["targets"][0]["parts"]] == ["train", "test"]
    assert "low" not in data["targets"][0]


def test_a_wrong_spec_is_told_as_ever(train: Train, folder: Path) -> None:
    config = write(folder, columns())
    code, out, err = train("check", config, "--data")
    assert (code, out) == (3, "")
    assert "column 'gap': expected a number, found 50 empty cells" in err
    code, out, _ = train("check", config, "--data", "--json")
    assert (code, json.loads(out)["valid"]) == (3, False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["configs/lecture/1_one_path.yaml"], "declares a graph without data"),
        (["configs/sweeps/iris.yaml"], "declares a sweep, which is many runs"),
        (["configs/xor.yaml", "--html", "t.pdf"], "a file's name that ends in .html or .htm"),
        (["configs/xor.yaml", "--html", "no/t.html"], "there is no folder 'no'"),
    ],
)
def test_what_has_no_table(
    train: Train, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    code, out, err = train("check", *arguments, "--data")
    assert (code, out) == (2, "")
    assert says in err


def test_a_table_on_disk(train: Train, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(folder, columns(), missing="median", stream=True)
    assert "stays on disk" not in train("check", config, "--data")[1]
    monkeypatch.setattr("trainer.survey.survey.__defaults__", (40,))
    code, out, _ = train("check", config, "--data", "--html", "t.html")
    assert code == 0
    assert out.splitlines()[:3] == [
        "t: 40 rows of t.csv, 5 features, target 'y'",
        "The table stays on disk; these are its first rows.",
        "",
    ]
    text = (folder / "t.html").read_text()
    assert "Of a table that stays on disk: its first 40 rows." in text


def test_wide_tables(train: Train, folder: Path) -> None:
    draw = random.Random(0)
    wide: dict[str, list[Any]] = {
        f"c{i:03}": [draw.random() for _ in range(ROWS)] for i in range(120)
    }
    wide |= {f"c{i:03}": [5] * ROWS for i in range(100, 110)}
    config = write(folder, wide | {"y": columns()["y"]})
    code, out, _ = train("check", config, "--data", "--html", "t.html")
    assert code == 0
    shown = re.findall(r"^(c\d+|y) ", out, re.MULTILINE)
    assert shown == ["y", *sorted(wide)[:20], *sorted(wide)[100:108]]
    assert "… and 92 more columns; --html FILE and --json tell of all" in out
    assert out.count("is 5 in all rows; leave it out") == 8
    assert "and 2 more like 'constant': c108, c109" in out
    outline = Outline((folder / "t.html").read_text())
    assert outline.count("section", "card") == 121
    assert outline.count("li") == 10


# On a terminal -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "drawn"),
    [
        ((), ""),
        ((3,), "█"),
        ((0, 1, 800, 400), " ▁█▄"),
        ((8, 7, 6, 5, 4, 3, 2, 1), "█▇▆▅▄▃▂▁"),
    ],
)
def test_bars(counts: tuple[int, ...], drawn: str) -> None:
    assert bars(counts) == drawn


def test_a_terminal_has_histograms(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = survey(load_spec(write(folder, columns(), missing="median")))
    shown = {}
    for width in (None, 60, 100):
        output = Output()
        output.width = width
        show_survey(output, found, "t")
        shown[width] = capsys.readouterr().out
    line = {width: next(x for x in text.splitlines() if x.startswith("size"))
            for width, text in shown.items()}  # fmt: skip
    drawn = bars(found.features[1].histogram)
    assert line[100].endswith(drawn)
    assert drawn not in line[None] + line[60]
    for width in (60, 100):
        assert max(map(len, shown[width].splitlines()[3:10])) <= width


# The page ----------------------------------------------------------------------------------------


def test_the_page(train: Train, folder: Path) -> None:
    config = write(folder, columns(), missing="median")
    assert train("check", config, "--html", "t.html")[0] == 0
    text = (folder / "t.html").read_text()
    outline = Outline(text)
    assert outline.open == []
    assert outline.count("section", "card") == 6
    assert (outline.count("section", "odd"), outline.count("section", "grave")) == (2, 1)
    assert (outline.count("li"), outline.count("li", "grave")) == (3, 1)
    said = "".join(outline.text)
    assert "100rows75rows for training25rows for test5features10%empty cells" in re.sub(
        "\\n", "", said
    )
    assert "numeric, 50 different, 50% empty" in said
    assert "tells 'y' by itself (100% of it)" in said
    links = {a["href"] for tag, a in outline.elements if tag == "a"}
    places = {f"#{a['id']}" for tag, a in outline.elements if tag == "section"}
    assert links <= places
    assert len(links) == 3
    assert "prefers-color-scheme: dark" in text
    assert "Content-Security-Policy" in text
    assert not re.search(r"https?:|url\(|@import|src=| style=|<script", text), "it needs no network"
    assert "<code>indicator: true</code>" in text


def test_names_and_cells_are_texts(train: Train, folder: Path) -> None:
    draw = random.Random(1)
    y = [draw.choice([CELL, "no"]) for _ in range(ROWS)]
    hostile = {
        EVIL: [draw.random() for _ in range(ROWS)],
        CELL: [draw.choice([CELL, EVIL, "'", BACK]) for _ in range(ROWS)],
        BACK: [CELL] * ROWS,
        "x" * 3000: [f"k{text[:3]}" for text in y],
        "<y>": y,
    }
    code, out, err = train("check", write(folder, hostile), "--html", "t.html")
    assert (code, err) == (0, "")
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", out)
    assert max(map(len, out.splitlines())) < 300
    text = (folder / "t.html").read_text()
    outline = Outline(text)
    assert outline.open == []
    assert not {"script", "img", "y"} & {tag for tag, _ in outline.elements}
    allowed = {"class", "id", "href", "lang", "charset", "name", "content", "http-equiv", "viewbox",
               "preserveaspectratio", "role", "aria-label", "aria-hidden", "x", "y", "width",
               "height"}  # fmt: skip
    assert {key for _, attributes in outline.elements for key in attributes} <= allowed
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert EVIL in "".join(outline.text)
    labels = [a["aria-label"] for tag, a in outline.elements if tag == "svg" and "role" in a]
    assert labels == [f"Histogram of {EVIL}, all rows"]


def test_parts_stand_side_by_side_where_they_differ(train: Train, folder: Path) -> None:
    later = {
        "day": list(range(ROWS)),
        "drift": [i + 0.5 for i in range(ROWS)],
        "kind": ["old" if i < 75 else "new" for i in range(ROWS)],
        "size": columns()["size"],
        "y": columns()["y"],
    }
    config = write(folder, later, split={"time": "day", "test": 0.25})
    assert train("check", config, "--html", "t.html")[0] == 0
    text = (folder / "t.html").read_text()
    found = re.findall("<section.*?</section>", text, re.DOTALL)
    cards = dict(zip(("y", "drift", "kind", "size"), found, strict=True))
    assert re.findall(r"of drift, (\w+) rows", cards["drift"]) == ["training", "test"]
    assert re.findall(r"<th>(\w*)</th>(?:<td>([\w%]+)</td><td>([\w%]+)</td>)", cards["kind"]) == [
        ("", "training", "test"), ("old", "100%", "0%"), ("new", "0%", "100%"),
    ]  # fmt: skip
    assert ">training</td>" in cards["y"]
    assert "training" not in cards["size"]


def test_dates_on_the_page(train: Train, folder: Path) -> None:
    dated = {
        "day": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(ROWS)],
        "y": columns()["y"],
    }
    assert train("check", write(folder, dated), "--html", "t.html")[0] == 0
    card = re.findall("<section.*?</section>", (folder / "t.html").read_text(), re.DOTALL)[-1]
    assert re.search(r"<title>2024-01-\d\d to 2024-01-\d\d: \d rows, [\d.]+%</title>", card)
    assert re.search(r"<th>standard deviation</th><td>\d+\.\d+ days</td>", card)


@pytest.mark.parametrize(
    ("count", "of", "shown"),
    [(0, 9, "0%"), (0, 0, "0%"), (9, 9, "100%"), (1, 10**6, "< 0.1%"), (9999, 10**4, "> 99.9%"),
     (1, 3, "33%"), (1, 30, "3.3%"), (95, 100, "95.0%"), (9, 10, "90%"), (1, 10, "10%")],
)  # fmt: skip
def test_shares(count: int, of: int, shown: str) -> None:
    assert share(count, of) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (0.0, "0"), (1234.5678, "1,234.6"), (1e300, "1e+300"), (-1e-9 / 3, "-3.3333e-10")],
)  # fmt: skip
def test_numbers(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("other", ["--resolved", "--kernel", "--plot-schedule"])
@pytest.mark.parametrize("one", [("--data",), ("--html", "t.html")])
def test_one_thing_is_shown(
    train: Train, write_spec: WriteSpec, other: str, one: tuple[str, ...]
) -> None:
    code, out, err = train("check", write_spec(), other, *one)
    assert (code, out) == (2, "")
    assert "--data shows the table and nothing else" in err
