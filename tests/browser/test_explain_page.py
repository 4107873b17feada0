"""The page of an explanation, as a person goes through it: by keys, buttons, on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from test_explain_page import NETWORK, TWO_PATHS, explained

from trainer.explain.explanation import Explanation
from trainer.explain.page import write_page

from .conftest import SCREENSHOTS

Open = Callable[..., Page]

HISTORY = {
    "epochs": [1, 2, 3, 4],
    "grad_norm": {"W1": [2.0, 1.0, 0.5, 0.25], "W2": [3.0, 0.3, 0.03, 0.0]},
}
EVERYTHING: dict[str, Any] = {
    "inputs": {"x": [0.5, 1.5, 0.25], "s": 0.75},
    "parameters": {"W": {"values": [[0.5, -0.2, 0.1], [-0.3, 0.8, 0.4]]}, "k": {"values": 2.0}},
    "equations": {
        "u": "W @ x",
        "v": "tanh(u) + relu(u) - gelu(u) * softplus(u) / exp(-u)",
        "p": "sum(softmax(v) * log_softmax(u))",
        "q": "norm(x) + mean(x) + dot(x, x) + minimum(s, 2)",
        "r": "s ** 3 + s ** -2 + s ** 0.5 + s ** 1.5 + s ** k + leaky_relu(s) - (s - k)",
        "L": "(p - log(q)) * sqrt(k) / (1 + sigmoid(r) ** 2)",
    },
    "output": "L",
}


@pytest.fixture
def show(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page of explanations. Nothing on it may fail, nor ask anything of a network."""
    said: list[str] = []
    asked: list[str] = []
    windows = []

    def opened(explanations: list[Explanation], *, width: int = 1400, colour: Any = "light",
               history: Any = None, **options: Any) -> Page:  # fmt: skip
        file = tmp_path / "page.html"
        write_page(explanations, file, history=history)
        window = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=colour, **options
        )
        windows.append(window)
        page = window.new_page()
        page.on("pageerror", lambda error: said.append(error.message))
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield opened
    for window in windows:
        window.close()
    assert said == []
    assert {url.partition(":")[0] for url in asked} == {"file"}


def picture(page: Page, name: str) -> None:
    """Keeps what is to be seen as .screenshots/NAME.png, for a person to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, animations="disabled")


def said(page: Page) -> str:
    """What a screen reader is told of the step."""
    return page.locator("#said").inner_text().strip()


def numbers(text: str) -> list[float]:
    """The numbers in a text of the page."""
    found = re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text.replace("−", "-"))
    return [float(number) for number in found]


def test_two_paths_step_by_step(show: Open) -> None:
    page = show([explained(TWO_PATHS, "two paths")])
    assert page.locator("h1").inner_text() == "two paths"
    assert "6" in page.locator("#about").inner_text()
    expected = [
        "The values of the leaves are given.",
        "Forward: c = a + b = 3.",
        "Forward: d = b + 1 = 2.",
        "Forward: e = c · d = 6.",
        "Backward: ∂e/∂e = 1.",
        "Backward: ∂e/∂d, through e: 1 · 3 = 3.",
        "Backward: ∂e/∂c, through e: 1 · 2 = 2.",
        "Backward: ∂e/∂b, through c: 2 · 1 = 2.",
        "Backward: ∂e/∂b, through d: 3 · 1 = 3, sum 5.",
        "Backward: ∂e/∂a, through c: 2 · 1 = 2.",
        "All gradients of e are known.",
    ]
    for i, words in enumerate(expected):
        assert said(page) == words
        assert page.locator("#count").inner_text() == f"{i} / {len(expected) - 1}"
        if i == 1:
            assert "3" in page.locator(".of-value").inner_text()
            assert page.locator(".edge.forward.active").count() == 2
        if i == 7:
            assert page.locator(".of-gradient .scalar").inner_text() == "2"  # so far
            assert page.locator(".later").count() > 0
        if i == 8:
            panel = re.sub(r"\s+", " ", page.locator(".terms").inner_text())
            assert "2 · 1 = 2" in panel
            assert "3 · 1 = 3" in panel
            assert "sum 5" in panel
            formula = re.sub(r"[\s\u2062]+", "", page.locator(".formula math").text_content() or "")
            assert "=d+c=2·1+3·1=2+3=5" in formula
            assert page.locator(".edge.backward.active").count() == 1
            picture(page, "explain_two_paths")
        page.keyboard.press("ArrowRight")
    rows = page.locator(".leaves tbody tr").all_inner_texts()
    assert [numbers(row) for row in rows] == [[2, 2], [1, 5]]


def test_the_terms_of_three_paths_are_added_one_by_one(show: Open) -> None:
    equations = {"p": "2 * x", "q": "3 * x", "r": "x * x", "L": "p + q + r"}
    page = show([explained({"inputs": {"x": 5.0}, "equations": equations, "output": "L"})])
    found = []
    for _ in range(int(page.locator("#count").inner_text().split("/")[1])):
        page.keyboard.press("ArrowRight")
        if said(page).startswith("Backward: ∂L/∂x,"):
            found.append(page.locator(".of-gradient .scalar").inner_text())
    assert found == ["2", "5", "10", "15"]  # x · x are two paths


def test_keys_buttons_slider_and_boxes(show: Open) -> None:
    page = show([explained(TWO_PATHS)])
    at = page.locator("#count")
    for key, count in [("End", 10), ("ArrowRight", 10), ("ArrowLeft", 9), ("Home", 0),
                       ("ArrowLeft", 0), ("ArrowRight", 1)]:  # fmt: skip
        page.keyboard.press(key)
        assert at.inner_text() == f"{count} / 10"
    for name, count in [("Next", 2), ("Back", 1), ("Last step", 10), ("First step", 0)]:
        page.get_by_role("button", name=name, exact=True).click()
        assert at.inner_text() == f"{count} / 10"
    assert page.get_by_role("button", name="Back").is_disabled()
    page.get_by_role("slider", name="Step").fill("3")
    assert said(page).startswith("Forward: e")
    page.get_by_role("button", name="c, value 3").focus()  # a box, by its key
    page.keyboard.press("Enter")
    assert said(page).startswith("Forward: c")
    page.locator("body").press("End")
    page.get_by_role("button", name="b, value 1, gradient 5").click()
    assert said(page).endswith("sum 5.")


def test_everything_is_reached_by_tab_and_focus_is_seen(show: Open) -> None:
    page = show([explained(TWO_PATHS)])
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(
            "[document.activeElement.id || document.activeElement.classList[0],"
            " document.activeElement.matches(':focus-visible')]"
        ))  # fmt: skip
    assert all(seen for _, seen in reached)
    assert [name for name, _ in reached] == [
        "next", "last", "play", "at", "graph", "box", "box", "box", "box", "box",
    ]  # fmt: skip


def test_it_plays_until_the_end(show: Open) -> None:
    page = show([explained(TWO_PATHS)])
    page.clock.install()
    page.keyboard.press("Space")
    assert page.locator("#play").inner_text() == "Pause"
    page.clock.run_for(2000)
    assert page.locator("#count").inner_text() == "1 / 10"
    page.keyboard.press("Space")
    page.clock.run_for(5000)
    assert page.locator("#count").inner_text() == "1 / 10"
    page.keyboard.press("Space")
    page.clock.run_for(30_000)
    assert page.locator("#count").inner_text() == "10 / 10"
    assert page.locator("#play").inner_text() == "Play"


def test_a_network_and_its_examples(show: Open) -> None:
    examples = [explained(NETWORK), explained(NETWORK, x=[0.0, 1.0, 2.0], t=-1.0)]
    page = show(examples, history=HISTORY)
    steps = int(page.locator("#count").inner_text().split("/")[1])
    seen = set()
    for at in range(1, steps + 1):
        page.keyboard.press("ArrowRight")
        box = page.locator(".box.now")
        if at == steps:
            continue
        title = box.locator("title").text_content() or ""
        name = title.partition(":")[0]
        page.locator("#example").fill("2")
        for i, explanation in enumerate(examples):
            page.locator("#example").fill(str(i + 1))
            node = next(n for n in explanation.as_json()["nodes"] if n["name"] == name)
            kinds = ["value"] + ["gradient"] * (page.locator(".of-gradient").count())
            for kind in kinds:
                element = page.locator(f".of-{kind} :is(.scalar, .array, .flow)")
                shown = numbers(" ".join(element.all_inner_texts()))
                assert shown == pytest.approx(np.ravel(node[kind]).tolist(), rel=6e-4)
                seen.add((name, kind))
        page.locator("#example").fill("1")
        page.locator("body").click(position={"x": 5, "y": 5})
        if name == "W1":
            formula = re.sub(r"[\s\u2062]+", "", page.locator(".formula math").text_content() or "")
            assert formula.startswith("∂L∂W1=∂L∂(W1x)xT")  # δ xᵀ
            picture(page, "explain_network")
    assert {n for n, kind in seen if kind == "gradient"} == {
        n["name"] for n in examples[0].as_json()["nodes"] if n["op"] != "transpose"
    }
    assert page.locator(".unread").count() == 0


def test_the_norms_of_a_run(show: Open) -> None:
    page = show([explained(NETWORK)], history=HISTORY)
    rows = page.locator("#history tbody tr")
    assert [numbers(row)[-1] for row in rows.all_inner_texts()] == [0.25, 0]
    page.get_by_role("slider", name="Epoch").fill("1")
    assert page.locator("#epoch-shown").inner_text() == "2"
    assert [numbers(row)[-1] for row in rows.all_inner_texts()] == [1, 0.3]
    assert page.locator("#history .mark").count() == 1


@pytest.mark.parametrize(("most", "least_steps"), [(40, 15), (500, 80)])
def test_every_formula_is_read(
    show: Open, monkeypatch: pytest.MonkeyPatch, most: int, least_steps: int
) -> None:
    monkeypatch.setattr("trainer.explain.page.MOST_BOXES", most)
    page = show([explained(EVERYTHING)])
    steps = int(page.locator("#count").inner_text().split("/")[1])
    assert steps > least_steps
    unread = page.evaluate(
        "steps.flatMap((_, i) => { show(i);"
        " return [...document.querySelectorAll('.unread')].map((e) => e.textContent); })"
    )
    assert unread == []
    # what cannot be read is shown as its text
    broken = page.evaluate("typeset('a + + b', valueOf).outerHTML")
    assert 'class="unread">a + + b<' in broken


@pytest.mark.parametrize("colour", ["light", "dark"])
@pytest.mark.parametrize("model", [TWO_PATHS, NETWORK], ids=["two_paths", "network"])
def test_a_phone_shows_all_without_scrolling_sideways(
    show: Open, model: dict[str, Any], colour: str
) -> None:
    page = show([explained(model)] * 2, width=400, colour=colour, history=HISTORY)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[colour]
    for _ in range(int(page.locator("#count").inner_text().split("/")[1])):
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        now = page.locator(".box.now")
        if now.count():  # the graph scrolls in its frame, to where the step is
            box = now.bounding_box()
            assert box
            assert box["x"] >= -1
            assert box["x"] + box["width"] <= 401
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    name = "two_paths" if model is TWO_PATHS else "network"
    picture(page, f"explain_{name}_phone_{colour}")


def test_no_motion_where_none_is_wanted(show: Open) -> None:
    names = []
    for motion in ("no-preference", "reduce"):
        page = show([explained(TWO_PATHS)], reduced_motion=motion)
        page.keyboard.press("ArrowRight")
        edge = page.locator(".edge.active path").first
        names.append(edge.evaluate("e => getComputedStyle(e).animationName"))
    assert names == ["flow", "none"]
