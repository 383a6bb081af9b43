"""Debian's Chromium, logged in to the live Nautobot, in the light theme; nightly in the dark one, too."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.network import PVENetwork
from tests.live import Live
from tests.nightly import nightly_only

#: The browser must not fetch anything except from the live server.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync"]  # fmt: skip
TIMEOUT_MILLISECONDS = 20_000


@pytest.fixture(scope="session", autouse=True)  # first: without a browser, there is no need to start a server
def chromium() -> str:
    """Path of the browser. Without one, these tests are skipped, or fail in CI, where it must be installed."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing = "browser tests need Chromium: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return path


@pytest.fixture(scope="module")  # not session: while Playwright's event loop exists, Django refuses database access
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def session(browser: Browser, live: Live) -> Iterator[dict]:
    """Cookies of the superuser."""
    with browser.new_context() as context:
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        page = context.new_page()
        page.goto(f"{live.url}/login/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill("admin")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{live.url}/")
        yield context.storage_state()


@pytest.fixture(scope="module", params=["light", pytest.param("dark", marks=nightly_only)])
def theme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def window(browser: Browser, session: dict, live: Live, theme: str) -> Iterator[BrowserContext]:
    """A window in the theme, shared: each page would otherwise load and compile Nautobot's scripts and styles anew."""
    with browser.new_context(
        base_url=live.url, storage_state=session, color_scheme=theme, viewport={"width": 1500, "height": 950}
    ) as context:
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        context.add_cookies([{"name": "theme", "value": theme, "url": live.url}])
        yield context


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A page of Nautobot in the theme; a script error on it fails the test."""
    page = window.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    page.close()
    assert failures == []


@pytest.fixture(scope="module")
def network(live: Live) -> PVENetwork:
    return PVENetwork(live)


@pytest.fixture(scope="session")
def images() -> Path | None:
    """Directory for screenshots of the documentation, if requested (make screenshots)."""
    directory = os.environ.get("NAUTOBOT_PVE_IPAM_SCREENSHOTS")
    if not directory:
        return None
    Path(directory).mkdir(parents=True, exist_ok=True)
    return Path(directory)
