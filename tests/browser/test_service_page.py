"""The service's page, as a person uses it: in a browser, on a service that really trains."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from conftest import ROOT
from faults.served import Served, listening, serving
from faults.service import processes_of
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from trainer.service.records import Cost, Job
from trainer.service.states import STATES
from trainer.service.store import JobFilter

from .conftest import PATIENCE, SCREENSHOTS

SPEC = (ROOT / "configs" / "hidden_layer.yaml").read_text().partition("\n")[2]
LONG = SPEC.replace("name: hidden_layer", "name: long").replace("epochs: 50", "epochs: 20000")
MANY = 10_000
READ = 150
"""Milliseconds that somebody looks at what is offered; sooner Enter is not yet meant for it."""


@dataclass
class Visitor:
    """Opens windows of a service's page, and hears what goes wrong in them."""

    browser: Browser
    address: str
    state: Any = None
    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    server: int = 0

    @contextmanager
    def window(self, **options: Any) -> Iterator[Page]:
        options.setdefault("viewport", {"width": 1400, "height": 900})
        with self.browser.new_context(storage_state=self.state, **options) as context:
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.on("pageerror", lambda error: self.wrong.append(error.message))
            page.on("console", lambda said: self.hear(said))
            page.on("request", lambda request: self.asked.append(request.url))
            yield page

    def hear(self, said: ConsoleMessage) -> None:
        """What the browser complains of, among it each breach of the page's policy. That nobody
        is logged in yet, and that a file was not sent yet, is how the page learns it.
        """
        url = said.location["url"]
        learnt = "401 (Unauth" in said.text or ("404 (Not" in said.text and "/data/" in url)
        if said.type in ("error", "warning") and not learnt:
            self.wrong.append(f"{said.text} ({url})")

    def log_in(self, page: Page, token: str) -> None:
        page.goto(self.address)
        page.get_by_label("Token", exact=True).fill(token)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("link", name="Jobs")).to_be_visible()

    def check(self) -> None:
        assert self.wrong == []
        assert {url for url in self.asked if not url.startswith((self.address, "data:"))} == set()


@pytest.fixture(scope="module")
def trained(
    chromium: Browser, _kernel_cache: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visitor]:
    """A service that trains, and somebody whom its link has let in."""
    folder = tmp_path_factory.mktemp("service")
    command = [sys.executable, "-m", "trainer", "service", "--port", "0", "--workers", "1",
               "--no-mlflow"]  # fmt: skip
    complaints = (folder / "stderr").open("w+")
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=complaints, text=True
    )
    try:
        assert process.stdout is not None
        address = re.search(r"at (http://\S+),", process.stdout.readline())
        link = process.stdout.readline().removeprefix("Open ").strip()
        assert address
        visitor = Visitor(chromium, address[1], server=process.pid)
        with visitor.window() as page:
            page.goto(link)
            expect(page.get_by_text("No jobs yet")).to_be_visible()
            assert "login" not in page.url
            visitor.state = page.context.storage_state()
        yield visitor
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        with complaints:
            complaints.seek(0)
            print(complaints.read())  # shown where a test fails
    visitor.check()


@pytest.fixture
def page(trained: Visitor) -> Iterator[Page]:
    """A window of somebody who is logged in."""
    with trained.window() as page:
        page.goto(f"{trained.address}/")
        yield page


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Keeps what is to be seen as .screenshots/service_NAME.png, for a person to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=SCREENSHOTS / f"service_{name}.png", animations="disabled")

    return take


Picture = Callable[[Page, str], None]


def write(page: Page, text: str) -> None:
    """Puts a text in the editor, over what is there."""
    page.get_by_role("textbox", name="The spec").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def submit(page: Page, text: str) -> str:
    """Has a spec trained; the id of its job."""
    page.get_by_role("link", name="New job").click()
    write(page, text)
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile(r"#/jobs/\w+$"))
    return page.url.rpartition("/")[2]


def points(page: Page, chart: str = "Loss") -> int:
    """How many points the first curve of a chart has."""
    told = page.get_by_role("figure", name=chart).get_by_role("img").get_attribute("aria-label")
    found = re.search(r"(\d+) points", told or "")
    return int(found[1]) if found else 0


def too_wide(page: Page) -> list[str]:
    """What makes the page wider than its window."""
    found = page.evaluate("""async () => {
      await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
      if (document.documentElement.scrollWidth <= innerWidth) return [];
      const clipped = each => { // what scrolls or hides what is in it
        for (let at = each.parentElement; at && at !== document.body; at = at.parentElement) {
          if (getComputedStyle(at).overflowX !== 'visible') return true;
        }
      };
      return [`${document.documentElement.scrollWidth} of ${innerWidth} at ${location.hash}`,
        ...document.querySelectorAll('body *')]
        .filter(each => typeof each === 'string'
          || each.getBoundingClientRect().right > innerWidth && !clipped(each))
        .map(each => typeof each === 'string' ? each
          : `${each.tagName}.${each.className} to ${each.getBoundingClientRect().right}`);
    }""")
    return list(found)


def test_from_mistakes_to_a_comparison(page: Page, picture: Picture) -> None:
    """Two mistakes are told at their places; mended, the spec trains, and its curve grows."""
    page.get_by_role("link", name="New job").click()
    expect(page.locator(".verdict")).to_have_text("Valid")
    expect(page.get_by_role("complementary")).to_contain_text("dense_1")
    wrong = SPEC.replace("logistic", "logistc").replace("momentum: 0.9", "momentum: 1.9")
    write(page, wrong)
    expect(page.get_by_text("2 mistakes")).to_be_visible()
    expect(page.locator(".cm-lintRange-error")).to_have_text(["logistc", "1.9"])
    expect(page.get_by_text("did you mean 'logistic'?")).to_be_visible()
    picture(page, "mistakes")
    line = next(i for i, text in enumerate(wrong.splitlines(), 1) if "momentum" in text)
    page.get_by_role("button", name=f"{line}:13 sgd.momentum").click()
    page.keyboard.press("Shift+End")
    page.keyboard.type("0.9")
    expect(page.get_by_text("1 mistake", exact=True)).to_be_visible()

    first = submit(page, SPEC)
    expect(page.locator("h1 ~ .state")).to_have_text("finished")
    expect(page.get_by_role("heading", name="hidden_layer")).to_be_visible()
    assert points(page) >= 50
    expect(page.get_by_role("row", name=re.compile("^accuracy 0.9"))).to_be_visible()
    expect(page.get_by_role("list").filter(has_text="queued")).to_be_visible()

    page.get_by_role("link", name="Clone & edit").click()
    expect(page.get_by_text("This was trained before")).to_be_visible()
    write(page, SPEC.replace("units: 16", "units: 8").replace("hidden_layer", "narrow"))
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1 ~ .state")).to_have_text("finished")
    page.get_by_role("link", name="Spec", exact=True).click()
    differs = page.locator("table.differs tr")
    expect(differs).to_have_text(
        [re.compile("key"), "namehidden_layernarrow", "model.layers.0.units168"]
    )
    page.get_by_role("link", name="Compare with its parent").click()
    assert first in page.url
    expect(page.get_by_role("figure", name="val loss").get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("A hidden_layer: .*; B narrow: ")
    )
    expect(page.locator("table.differs tr")).to_have_count(2)
    expect(page.get_by_role("row", name=re.compile("test loss"))).to_be_visible()
    picture(page, "compare")
    page.reload()
    expect(page.get_by_role("figure", name="val loss")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="narrow")).to_be_visible()


def test_a_curve_grows_while_it_trains_and_the_job_can_be_stopped(
    page: Page, picture: Picture
) -> None:
    submit(page, LONG)
    expect(page.locator("h1 ~ .state")).to_have_text("running")
    expect(page.get_by_role("figure", name="Loss")).to_be_visible()
    before = points(page)
    page.wait_for_function(
        "n => +/(\\d+) points/.exec(document.querySelector('.canvas').ariaLabel)[1] > n", arg=before
    )
    picture(page, "running")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1 ~ .state")).to_have_text("paused")
    page.get_by_role("link", name="Jobs").click()
    row = page.get_by_role("row", name="long")
    expect(row).to_contain_text("paused")
    row.get_by_role("button", name="Cancel long").click()
    expect(row).to_contain_text("cancelled")
    page.get_by_role("button", name="cancelled 1").click()
    assert "state=cancelled" in page.url
    expect(page.get_by_role("row")).to_have_count(2)


def test_a_job_whose_worker_is_killed_goes_on(page: Page, trained: Visitor) -> None:
    """That it was lost is told with its cause, and the curve goes on where it was saved."""
    submit(page, LONG.replace("name: long", "name: struck"))
    expect(page.get_by_role("figure", name="Loss")).to_be_visible()
    page.wait_for_timeout(2500)  # it is saved every two seconds
    (worker,) = processes_of(trained.server, "worker")
    os.kill(worker, signal.SIGKILL)
    lost = page.locator(".cause", has_text="its worker was lost; it goes on after step")
    expect(lost).to_be_visible()
    expect(page.locator("h1 ~ .state")).to_have_text("running")
    before = points(page)
    until = time.monotonic() + PATIENCE / 1000
    while points(page) <= before and time.monotonic() < until:
        page.wait_for_timeout(100)
    assert points(page) > before
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 ~ .state")).to_have_text("cancelled")


def test_the_keyboard_alone(page: Page) -> None:
    """From the first key to a finished job, without a mouse; the focus is always to be seen."""
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    editor = page.get_by_role("textbox", name="The spec")
    expect(editor).to_be_focused()
    expect(page.locator(".verdict")).to_have_text("Valid")
    page.keyboard.press("Control+End")
    page.keyboard.type("eval")
    expect(page.get_by_role("option", name="evaluation")).to_be_visible()
    page.wait_for_timeout(READ)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.keyboard.type("met")
    expect(page.get_by_role("option", name="metrics")).to_be_visible()
    page.wait_for_timeout(READ)
    page.keyboard.press("Enter")
    page.keyboard.type("[auc")
    page.keyboard.press("Escape")  # closes what is offered
    expect(page.locator(".verdict")).to_have_text("Valid")
    expect(page.locator(".cm-line").last).to_have_text("  metrics: [auc]")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")  # out of the editor
    expect(page.get_by_role("button", name="Submit")).to_be_focused()
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(ring) == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"#/jobs/\w+$"))
    expect(page.locator("h1 ~ .state")).to_have_text("finished")
    page.keyboard.press("j")
    expect(page.locator(".rows .row").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".row a:focus")).to_have_text("hidden_layer")
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.keyboard.press("c")
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_a_table_is_sent_and_trained_on(page: Page, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i % 5},{3 * (i % 7) - (i % 5)}\n" for i in range(200))
    file = tmp_path / "prices.csv"
    file.write_text(f"a,b,price\n{rows}")
    page.get_by_role("link", name="New job").click()
    page.get_by_role("link", name="Your table").click()
    expect(page.get_by_text("mistake")).to_be_visible()
    page.get_by_label("Data file").set_input_files(file)
    expect(page.locator(".verdict")).to_have_text("Valid")
    expect(page.locator(".cm-content")).to_contain_text(
        re.compile(r"source: \{upload: [0-9a-f]{64}, as: csv\}  # prices.csv")
    )
    page.keyboard.press("Control+Enter")
    expect(page.locator("h1 ~ .state")).to_have_text("finished")
    page.get_by_role("link", name="Pictures").click()
    image = page.get_by_role("img", name="learning curves")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.get_by_role("link", name="Backprop").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("button", name="Play")).to_be_visible()
    assert page.locator("iframe").get_attribute("sandbox") == "allow-scripts"


def test_tokens_are_made_and_revoked_and_a_reader_only_reads(page: Page, trained: Visitor) -> None:
    page.get_by_role("link", name="Service").click()
    expect(page.get_by_text("worker-1")).to_be_visible()
    page.get_by_role("link", name="Tokens").click()
    page.get_by_label("Name").fill("visitor")
    page.get_by_label("User").fill("vera")
    page.get_by_label("Role").select_option("reader")
    page.get_by_label("sees all jobs").check()
    page.get_by_role("button", name="Make a token").click()
    secret = page.locator(".secret code").inner_text()
    with trained.browser.new_context() as context:
        other = context.new_page()
        trained.log_in(other, secret)
        expect(other.get_by_role("row", name="hidden_layer").first).to_be_visible()
        expect(other.get_by_role("link", name="New job")).to_be_hidden()
        expect(other.get_by_role("button", name=re.compile("Cancel"))).to_have_count(0)
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Revoke visitor").click()
        expect(page.get_by_role("row", name="visitor")).to_contain_text("revoked")
        other.reload()
        expect(other.get_by_role("heading", name="Log in")).to_be_visible()
        other.get_by_label("Token", exact=True).fill("trn_nonsense")
        other.get_by_role("button", name="Log in").click()
        expect(other.get_by_role("alert")).to_contain_text("lets nobody in")
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("row", name=re.compile("revoke_token"))).to_be_visible()


@pytest.mark.parametrize("colour", ["light", "dark"])
def test_every_view_fits_a_phone(trained: Visitor, colour: Any, picture: Picture) -> None:
    options: Mapping[str, Any] = {
        "viewport": {"width": 360, "height": 740}, "color_scheme": colour, "has_touch": True,
    }  # fmt: skip
    with trained.window(**options) as page:
        page.goto(f"{trained.address}/")
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        assert "\n".join(too_wide(page)) == ""
        picture(page, f"phone_{colour}")
        page.locator(".row .name").first.click()
        for part in ("Spec", "Pictures", "Files", "Progress"):
            page.get_by_role("link", name=part, exact=True).click()
            expect(page.get_by_role("link", name=part, exact=True)).to_have_attribute(
                "aria-current", "page"
            )
            assert "\n".join(too_wide(page)) == ""
        for view in ("new", "service", "service/tokens", "service/audit", "compare"):
            page.goto(f"{trained.address}/#/{view}")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            page.wait_for_load_state("networkidle") if view == "new" else None
            assert "\n".join(too_wide(page)) == ""
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(255, 255, 255)" if colour == "light" else "rgb(20, 23, 26)")


def test_what_users_write_is_shown_as_text(page: Page) -> None:
    name = "<img src=x onerror=alert(1)>"
    submit(page, SPEC.replace("name: hidden_layer", f'name: "{name}"'))
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator(".row .name").first).to_have_text(name)
    assert page.locator("img").count() == 0


# Many jobs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Visitor, Served]]:
    """A service with 10,000 jobs and no workers."""
    with serving(tmp_path_factory.mktemp("crowded"), requests_per_second=10_000) as served:
        fill(served)
        with listening(served) as address:
            visitor = Visitor(chromium, address)
            with visitor.window() as page:
                visitor.log_in(page, served.token("ada", "admin"))
                visitor.state = page.context.storage_state()
            yield visitor, served
    visitor.check()


def fill(served: Served) -> None:
    """Ten thousand jobs of two users, in all states."""
    state = {state: i for i, state in enumerate(STATES)}
    jobs = [
        Job(
            id=uuid4().hex, number=0, user="ada" if i % 3 else "bob", name=f"job {i:05}",
            kind="train", text="", resolved={}, file="spec.yaml", epochs=100,
            state=STATES[i % len(state)], reason="" if i % 2 else f"because of {i}", epoch=i % 101,
            metrics={"val_loss": (i * 7919) % MANY / MANY, "best_val_loss": i / MANY / 2},
            cost=Cost(), created=1_795_000_000.0 + i,
        )
        for i in range(MANY)
    ]  # fmt: skip
    written = [
        served.store._db.writing(lambda connection, job=job: _put(served, connection, job))
        for job in jobs
    ]
    for each in written:
        each.result()


def _put(served: Served, connection: Any, job: Job) -> None:
    served.store._submit(connection, job, None, "0" * 64)


def test_ten_thousand_jobs_are_scrolled_through(
    crowded: tuple[Visitor, Served], picture: Picture
) -> None:
    """Rows are made for what is seen alone, whatever is loaded; frames stay short."""
    visitor, _ = crowded
    with visitor.window() as page:
        page.goto(f"{visitor.address}/")
        expect(page.get_by_role("button", name="all 10,000")).to_be_visible()
        expect(page.locator(".rows .row").first).to_contain_text("job 09999")
        longest = page.evaluate("""async () => {
          const frame = () => new Promise(requestAnimationFrame);
          const times = [];
          for (let i = 0; i < 2000; i += 1) {
            const before = performance.now();
            scrollBy(0, 4000);
            await frame();
            times.push(performance.now() - before);
            if (/^10,000 jobs/.test(document.querySelector('.foot').textContent)
              && innerHeight + scrollY >= document.body.scrollHeight - 5) break;
          }
          return times.sort((a, b) => a - b)[Math.floor(times.length * .95)];
        }""")
        expect(page.locator(".foot")).to_have_text("10,000 jobs.")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator(".rows .row").last).to_contain_text("job 00000")
        assert page.locator(".rows .row").count() < 60
        page.locator(".rows .row a").last.click()
        expect(page.get_by_role("heading", name="job 00000")).to_be_visible()
        page.go_back()
        expect(page.locator(".rows .row").last).to_contain_text("job 00000")
        assert page.evaluate("scrollY") > 100_000
        assert longest < 200, "milliseconds, of which two busy cores take most"
        picture(page, "many")


def test_many_jobs_are_sorted_filtered_and_followed(crowded: tuple[Visitor, Served]) -> None:
    visitor, served = crowded
    with visitor.window() as page:
        page.goto(f"{visitor.address}/")
        first = page.locator(".rows .row").first
        page.get_by_role("button", name="val loss", exact=True).click()
        expect(first).to_contain_text("job 00000")
        assert "sort=metrics.val_loss" in page.url
        head = page.get_by_role("columnheader", name="val loss").first
        expect(head).to_have_attribute("aria-sort", "ascending")
        page.reload()
        expect(first).to_contain_text("job 00000")
        page.keyboard.press("/")
        page.keyboard.type("job 0123")
        expect(page.locator(".foot")).to_have_text("10 jobs.")
        page.get_by_role("searchbox").fill("")
        page.get_by_label("Only of this user").fill("bob")
        expect(page.locator(".foot")).to_contain_text("of 3,334 jobs")
        page.goto(f"{visitor.address}/#/jobs?state=queued")
        expect(first).to_contain_text("job 09992")
        job = served.store.jobs(JobFilter(text="job 09992")).items[0]
        job = served.store.change(
            job.id, "running", "", attempt=job.attempt, mark=uuid4().hex, epoch=0
        )
        expect(first).to_contain_text("job 09984")
        page.goto(f"{visitor.address}/")
        row = page.get_by_role("row", name="job 09992")
        expect(row).to_contain_text("running")
        served.store.progress(
            job.id, job.attempt, place=10, epoch=42, step=420, metrics={"val_loss": 0.125},
            series={"val_loss": [[42, 0.125]]}, epochs=100,
        )  # fmt: skip
        expect(row).to_contain_text("42/100")
        expect(row).to_contain_text("0.125")


def test_a_lost_connection_is_told_and_mended(crowded: tuple[Visitor, Served]) -> None:
    visitor, _ = crowded
    with visitor.window() as page:
        page.goto(f"{visitor.address}/")
        expect(page.locator(".shell")).to_have_attribute("data-standing", "live")
        page.context.set_offline(True)
        expect(page.get_by_text("No connection to the service")).to_be_visible()
        page.context.set_offline(False)
        expect(page.get_by_text("No connection to the service")).to_be_hidden()
        expect(page.locator(".shell")).to_have_attribute("data-standing", "live")
    visitor.wrong[:] = [text for text in visitor.wrong if "ERR_INTERNET_DISCONNECTED" not in text]
