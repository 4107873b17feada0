"""What a person sees of our runs in MLflow's UI."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest
import yaml
from playwright.sync_api import Locator, Page, expect

from trainer.tracking.names import flatten
from trainer.tracking.view import view_path

from .conftest import Site, find_browser

Picture = Callable[[str], None]


def open_experiment(page: Page, site: Site, name: str) -> None:
    """The runs of an experiment, reached as a person would."""
    page.goto(f"{site.address}/#/experiments")
    page.get_by_role("link", name=name).click()
    page.get_by_role("heading", name="Runs", exact=True).wait_for()


def open_run(page: Page, site: Site, name: str, tab: str = "") -> None:
    """The page of a run."""
    run = site.runs[name]
    experiment = 1 if run.experiment == "breast-cancer" else 2
    page.goto(f"{site.address}/#/experiments/{experiment}/runs/{run.run_id}{tab}")
    page.get_by_role("heading", name=name, exact=True).wait_for()


def rows(table: Locator) -> dict[str, list[str]]:
    """A table: the text of the first cell of each row, and of the others."""
    read = "rows => rows.map(row => Array.from(row.children, cell => cell.innerText.trim()))"
    return {first: rest for first, *rest in table.get_by_role("row").evaluate_all(read)}


def cards(page: Page) -> Locator:
    """The charts."""
    return page.get_by_test_id("experiment-view-compare-runs-card")


def assert_drawn(page: Page, site: Site, metric: str, *runs: str) -> None:
    """The chart of a metric has a line for each run, through all its points."""
    card = cards(page).filter(has=page.get_by_role("heading", name=metric, exact=True))
    plot = card.locator(".js-plotly-plot")
    names = "([plot, count]) => new Set(plot.data?.map(line => line.name)).size == count"
    page.wait_for_function(names, arg=[plot.element_handle(), len(runs)])
    lines = plot.evaluate("plot => plot.data.map(line => [line.name, line.x, line.y])")
    recorded = {name: site.runs[name].history[metric] for name in runs}
    assert {name: (x, y) for name, x, y in lines} == {
        name: (series.steps.tolist(), series.values.tolist()) for name, series in recorded.items()
    }


def test_the_runs_of_an_experiment(page: Page, site: Site, picture: Picture) -> None:
    open_experiment(page, site, "breast-cancer")
    for name in ("narrow", "wide"):
        expect(page.get_by_role("link", name=name).first).to_be_visible()
    expect(page.get_by_role("link", name="line")).to_have_count(0)
    expect(page.get_by_role("gridcell", name="hidden_layer.yaml")).to_have_count(2)
    data = page.get_by_role("button", name="breast_cancer/train")
    expect(data.first).to_be_visible()

    page.get_by_role("button", name="Columns").click()
    for name in ("train_loss", "val_loss", "val_accuracy", "test_accuracy"):
        page.get_by_role("dialog").get_by_text(name, exact=True).click()
    page.keyboard.press("Escape")
    for name in ("train_loss", "val_loss", "val_accuracy", "test_accuracy"):
        expect(page.get_by_role("columnheader", name=name, exact=True).first).to_be_visible()
        for run in ("narrow", "wide"):
            value = repr(site.runs[run].metrics[name])[:9]
            expect(page.get_by_role("gridcell", name=value).first).to_be_visible()
    picture("runs")


def test_the_view_that_train_ui_opens(page: Page, site: Site, picture: Picture) -> None:
    """Scores as columns, the best run first; the charts begin with losses and scores."""
    page.goto(f"{site.address}/{view_path('1')}")
    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    for name in ("val_loss", "val_accuracy", "test_loss", "test_accuracy", "best_epoch"):
        expect(page.get_by_role("columnheader", name=name, exact=True).first).to_be_visible()
    for name in ("narrow", "wide"):
        begins = re.escape(str(site.runs[name].metrics["val_loss"])[:5])
        expect(page.get_by_role("gridcell", name=re.compile(begins)).first).to_be_visible()
    picture("view")
    page.locator("label", has=page.locator("input[value=CHART]")).click()
    sections = page.get_by_test_id("experiment-view-compare-runs-section-header")
    expect(sections.nth(0)).to_contain_text("Loss and score")
    expect(sections.nth(1)).to_contain_text("Gradient")
    for name in ("train_loss", "val_loss"):
        assert_drawn(page, site, name, "narrow", "wide")
    picture("view_charts")


def test_runs_are_searched_by_a_metric(page: Page, site: Site) -> None:
    losses = {name: site.runs[name].metrics["val_loss"] for name in ("narrow", "wide")}
    between = sum(losses.values()) / 2
    open_experiment(page, site, "breast-cancer")
    search = page.get_by_test_id("search-box")
    search.fill(f"metrics.val_loss < {between} and attributes.status = 'FINISHED'")
    search.press("Enter")
    better, worse = sorted(losses, key=lambda name: losses[name])
    expect(page.get_by_role("link", name=worse)).to_have_count(0)
    expect(page.get_by_role("link", name=better).first).to_be_visible()


def test_charts(page: Page, site: Site, picture: Picture) -> None:
    open_experiment(page, site, "breast-cancer")
    page.locator("label", has=page.locator("input[value=CHART]")).click()
    sections = page.get_by_test_id("experiment-view-compare-runs-section-header")
    names = ["grad_norm/dense_1", "grad_norm/dense_2", "perf", "Model metrics", "System metrics"]
    expect(sections).to_contain_text(names)
    for name in ("dense_1/W", "dense_1/b", "dense_2/W", "dense_2/b"):
        assert_drawn(page, site, f"grad_norm/{name}", "narrow", "wide")
    picture("charts_first")

    page.get_by_placeholder("Search metric charts").fill("^(best|test|train|val)_.*loss")
    expect(cards(page).get_by_role("heading", level=4)).to_have_text(
        ["best_val_loss", "test_log_loss", "test_loss", "train_loss", "train_loss_step", "val_loss"]
    )
    for name in ("train_loss", "train_loss_step", "val_loss"):
        assert_drawn(page, site, name, "narrow", "wide")
    picture("charts_of_losses")
    mixed = {"narrow": site.runs["wide"], "wide": site.runs["narrow"]}
    with pytest.raises(AssertionError):
        assert_drawn(page, replace(site, runs=mixed), "val_loss", "narrow", "wide")


def test_comparing_two_runs(page: Page, site: Site, picture: Picture) -> None:
    open_experiment(page, site, "breast-cancer")
    boxes = page.get_by_role("checkbox", name=re.compile("^Press Space"))
    expect(boxes).to_have_count(2)
    for box in boxes.all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="Comparing 2 Runs from 1 Experiment").wait_for()
    picture("compare")

    switch = page.get_by_role("switch", name="Parameters - Show diff only")
    parameters = page.get_by_role("table").filter(has_text="sgd/learning_rate")
    every = flatten(site.specs["narrow"].resolved())
    expect(parameters.get_by_role("row")).to_have_count(len(every))
    switch.click()
    expect(parameters.get_by_role("row")).to_have_count(3)
    assert rows(parameters) == {
        "name": ["wide", "narrow"], "model/layers/0/units": ["32", "16"],
        "sgd/learning_rate": ["0.02", "0.1"],
    }  # fmt: skip
    switch.scroll_into_view_if_needed()
    picture("compare_parameters")


def test_a_run(page: Page, site: Site, picture: Picture) -> None:
    open_run(page, site, "wide")
    spec, run = site.specs["wide"], site.runs["wide"]
    expect(page.get_by_role("status").filter(has_text="Finished")).to_be_visible()
    expect(page.get_by_role("strong").filter(has_text="wide")).to_be_visible()
    expect(page.get_by_text(": a network of 30 → 32 → 1 with logistic loss")).to_be_visible()
    accuracy = f"test accuracy {run.metrics['test_accuracy']:.5g}"
    expect(page.get_by_text(accuracy)).to_be_visible()
    for tag, value in (
        ("trainer.run", str(run.id)),
        ("trainer.spec_sha256", spec.sha256), ("trainer.data_sha256", run.data_sha256),
        ("trainer.parameters_sha256", run.parameters_sha256),
    ):  # fmt: skip
        expect(page.get_by_role("status", name=tag)).to_contain_text(value)
    metrics = rows(page.get_by_role("table").filter(has_text="val_loss"))
    assert {name: float(metrics[name][0]) for name in run.metrics} == run.metrics
    parameters = rows(page.get_by_role("table").filter(has_text="sgd/learning_rate"))
    assert parameters.pop("Parameter") == ["Value"]
    assert parameters == {name: [value] for name, value in flatten(spec.resolved()).items()}
    picture("run")


def test_a_regression(page: Page, site: Site, picture: Picture) -> None:
    open_run(page, site, "line", "/model-metrics")
    page.get_by_placeholder("Search metric charts").fill("^(test|train|val)_r2$|^train_loss$")
    expect(cards(page).get_by_role("heading", level=4)).to_have_text(
        ["test_r2", "train_loss", "train_r2", "val_r2"]
    )
    for name in ("train_loss", "train_r2", "val_r2"):
        assert_drawn(page, site, name, "line")
    picture("regression")


def test_artifacts(page: Page, site: Site, picture: Picture) -> None:
    open_run(page, site, "narrow", "/artifacts/config/resolved.yaml")
    shown = page.get_by_role("code")
    expect(shown).to_contain_text("learning_rate: 0.1")
    assert yaml.safe_load(shown.inner_text()) == site.specs["narrow"].resolved()
    picture("artifact_config")
    page.get_by_text("environment.json").click()
    expect(shown).to_contain_text('"numpy": "')
    page.get_by_text("model_summary.txt").click()
    expect(shown).to_contain_text("513 parameters")


PICTURES: Final = {
    "narrow": {"learning_curves", "gradient_norms", "weights", "confusion", "roc_calibration"},
    "line": {"learning_curves", "gradient_norms", "weights", "predictions"},
}


@pytest.mark.parametrize("run", PICTURES)
def test_pictures(page: Page, site: Site, picture: Picture, run: str) -> None:
    open_run(page, site, run, "/artifacts/plots")
    files = page.get_by_test_id("artifact-tree-node").filter(has_text=".png")
    expect(files).to_have_count(len(PICTURES[run]))
    assert {name.strip() for name in files.all_inner_texts()} == {f"{n}.png" for n in PICTURES[run]}
    for name in PICTURES[run]:
        files.filter(has_text=f"{name}.png").click()
        image = page.get_by_role("img", name=f"plots/{name}.png")
        expect(image).to_be_visible()
        page.wait_for_function("image => image.naturalWidth > 500", arg=image.element_handle())
        picture(f"plot_{run}_{name}")


def test_the_page_that_explains_a_run(page: Page, site: Site, picture: Picture) -> None:
    """It is stepped through within MLflow's UI."""
    open_run(page, site, "line", "/artifacts/explain/graph.html")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_have_text("line")
    forward = frame.get_by_role("button", name="Next").first
    for step in (1, 2):
        forward.click()
        expect(frame.get_by_text(re.compile(rf"^{step} / \d+$")).first).to_be_visible()
    picture("explain_in_mlflow")


def test_a_model(page: Page, site: Site, picture: Picture) -> None:
    open_experiment(page, site, "breast-cancer")
    page.get_by_role("link", name="Models", exact=True).click()
    for name in ("narrow", "wide"):
        expect(page.get_by_role("link", name=name, exact=True).first).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Ready")).to_have_count(2)
    picture("models")

    page.get_by_role("link", name="wide", exact=True).first.click()
    page.get_by_role("heading", name="wide", level=2).wait_for()
    run, spec = site.runs["wide"], site.specs["wide"]
    expect(page.get_by_role("link", name="wide").first).to_be_visible()
    metrics = rows(page.get_by_role("table").filter(has_text="val_loss"))
    shown = {name: float(row[-1]) for name, row in metrics.items() if name in run.metrics}
    assert shown == run.metrics
    for name, part in (("train_loss", "train"), ("val_loss", "validation"), ("test_loss", "test")):
        assert f"breast_cancer/{part}" in metrics[name][0]
    parameters = rows(page.get_by_role("table").filter(has_text="sgd/learning_rate"))
    assert parameters["sgd/learning_rate"] == [str(spec.sgd.learning_rate)]
    picture("model")


def test_a_sweep(page: Page, site: Site, picture: Picture) -> None:
    """Its trials are below it, with what they chose; its page tells the best; two are compared."""
    page.goto(f"{site.address}/{view_path('3')}")
    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    sweep = page.get_by_role("link", name="tiny-sweep", exact=True).first
    trials = page.get_by_role("link", name=re.compile("^trial [0-9]"))
    expect(sweep).to_be_visible()
    expect(trials).to_have_count(0)
    page.get_by_role("gridcell").filter(has=sweep).get_by_role("button").click()
    expect(trials).to_have_count(3)
    for name in ("val_loss", "sgd/learning_rate", "sgd/schedule/type"):
        expect(page.get_by_role("columnheader", name=name, exact=True).first).to_be_visible()
    for chosen in ("0.001", "0.002"):
        expect(page.get_by_role("gridcell", name=chosen, exact=True)).to_have_count(1)
    picture("sweep")

    boxes = page.get_by_role("checkbox", name=re.compile("^Press Space"))
    for box in boxes.all()[1:3]:
        box.check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="Comparing 2 Runs from 1 Experiment").wait_for()
    picture("sweep_compared")

    page.go_back()
    page.get_by_role("link", name="tiny-sweep", exact=True).first.click()
    page.get_by_role("heading", name="tiny-sweep", exact=True).wait_for()
    page.get_by_text("Show more").first.click()
    expect(page.get_by_role("heading", name="The best trials")).to_be_visible()
    best = site.sweep.winner
    assert best is not None
    line = f"Best: trial 1, val_loss {best.value:.5g}"
    expect(page.get_by_text(line)).to_be_visible()
    expect(page.get_by_role("cell", name="cosine, warmup 1").first).to_be_visible()
    picture("sweep_run")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("plots", exact=True).click()
    for name in ("history", "parallel", "slices"):
        page.get_by_test_id("artifact-tree-node").filter(has_text=f"{name}.png").click()
        image = page.get_by_role("img", name=f"plots/{name}.png")
        expect(image).to_be_visible()
        page.wait_for_function("image => image.naturalWidth > 500", arg=image.element_handle())
        picture(f"plot_sweep_{name}")


def test_a_missing_browser_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("TRAINER_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs a browser: chromium, "):
        find_browser()
    monkeypatch.setenv("TRAINER_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="needs a browser: chromium, "):
        find_browser()
