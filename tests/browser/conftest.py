"""MLflow's UI on three runs, and a browser that looks at it as a person would.

Without a browser the tests are skipped, unless TRAINER_BROWSER=required says that it must be there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml
from conftest import ROOT, TINY
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from swept import carry_out, declare, record
from test_ui import UI, free_port

from trainer import Run, Spec, load_spec, train
from trainer.runs.facts import named
from trainer.sweeps.standing import Sweep

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SCREENSHOTS: Final = ROOT / ".screenshots"
PATIENCE: Final = 20_000
"""Milliseconds until something must be seen; two cores may be busy with other tests."""

SPECS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "narrow": ("hidden_layer", {}),
    "wide": ("hidden_layer", {"sgd.learning_rate": 0.02, "model.layers.0.units": 32}),
    "line": ("linear_regression", {}),
}
"""The runs by name: a config and its overrides."""
MOONS: Final[Mapping[str, Any]] = {
    "data": {"source": {"synthetic": "two_moons", "rows": 40},
             "split": {"validation": 0.3, "test": 0.2}},
    "sgd": {"learning_rate": 0.5, "batch_size": 8, "epochs": 9},
}  # fmt: skip
"""What the trials of the sweep have besides."""


def find_browser() -> str:
    """The path of a browser. Skips the test where there is none, or fails if it is required."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path:
        return path
    reason = f"needs a browser: {', '.join(BROWSERS)}"
    if os.environ.get("TRAINER_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Site:
    """MLflow's UI at an address, and the specs and runs that it shows, by name, and a sweep."""

    address: str
    specs: Mapping[str, Spec]
    runs: Mapping[str, Run]
    sweep: Sweep


@pytest.fixture(scope="session")
def _browser() -> str:
    return find_browser()


@pytest.fixture(scope="session")
def site(
    _browser: str, _kernel_cache: None, _fresh_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Three runs, a sweep, and `train ui` on them."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "runs").mkdir()
    shutil.copy(_fresh_store, folder / "runs" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.chdir(folder)
        specs = {
            name: named(
                load_spec(ROOT / "configs" / f"{config}.yaml", {"sgd.epochs": 20, **changes}), name
            )
            for name, (config, changes) in SPECS.items()
        }
        runs = {name: train(spec) for name, spec in specs.items()}
        Path("spec.yaml").write_text(yaml.safe_dump({**TINY, **MOONS}))
        sweep = carry_out(declare())
        record(sweep)
        port = free_port()
        with _served(port):
            yield Site(f"http://127.0.0.1:{port}", specs, runs, sweep)


@contextmanager
def _served(port: int) -> Iterator[None]:
    """`train ui` on the store in the current folder, as long as the context lasts."""
    server = subprocess.Popen([*UI, "--port", str(port)], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("Open http")
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)


@pytest.fixture(scope="module")
def chromium(_browser: str) -> Iterator[Browser]:
    """A browser. It ends with its module: as long as one is there, its thread has a running event
    loop, and other tests could not have their own.
    """
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_browser, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def _window(site: Site, chromium: Browser) -> Callable[[], BrowserContext]:
    """Makes windows of someone who trains models and has closed what MLflow opens by itself."""
    window = chromium.new_context()
    page = window.new_page()
    page.goto(f"{site.address}/#/experiments")
    page.get_by_role("button", name="Close").click()  # the assistant
    page.get_by_role("button", name="Model training").click()
    chosen = window.storage_state()
    window.close()
    return lambda: chromium.new_context(
        storage_state=chosen, viewport={"width": 1800, "height": 1000}
    )


@pytest.fixture
def page(_window: Callable[[], BrowserContext]) -> Iterator[Page]:
    """An empty page. Nothing on it may fail, nor ask anything of another machine."""
    failed: list[str] = []
    asked: list[str] = []
    with _window() as window:
        window.set_default_timeout(PATIENCE)
        page = window.new_page()
        page.on("pageerror", lambda error: failed.append(error.message))
        page.on("request", lambda request: asked.append(request.url))
        yield page
    assert failed == []
    hosts = {urlsplit(url).hostname for url in asked if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}


@pytest.fixture
def picture(page: Page) -> Callable[[str], None]:
    """Keeps what is to be seen as .screenshots/NAME.png, for a person to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def take(name: str) -> None:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")

    return take
