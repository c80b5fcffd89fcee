"""The site of the docs, in a browser: nothing comes from elsewhere, on a phone as at a desk."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from tests.workflows import ROOT

SITE = ROOT / "build" / "site"
CHROMIUM = shutil.which("chromium")
PAGES = [
    "index", "tutorial/first-deployment", "how-to/rehearse", "reference/settings",
    "reference/access", "explanation/architecture",
]  # fmt: skip

pytestmark = pytest.mark.sweep


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Its address, built anew; a link that leads nowhere ends the build."""
    build = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_no_link_leads_nowhere(site: str) -> None:
    """The build ends with an error otherwise; pictures and pages are there."""
    assert (SITE / "index.html").is_file() and (SITE / "pictures" / "rehearsal.svg").is_file()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "colours"), [(360, "dark"), (1280, "light")])
def test_a_page_is_whole_by_itself_and_fits(
    name: str, width: int, colours: str, site: str, browser: Browser
) -> None:
    said: list[str] = []
    asked: list[str] = []
    with browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if colours == "dark" else "light",
        reduced_motion="reduce",
    ) as context:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site}/{name}.html", wait_until="networkidle")
        page.screenshot(path=ROOT / "build" / f"site-{name.replace('/', '-')}-{width}.png")
        assert [url for url in asked if not url.startswith((site, "data:", "blob:"))] == []
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for picture in page.locator("article img").all():
            assert picture.evaluate("it => it.complete && it.naturalWidth > 0")
        found = Axe().run(page).response["violations"]
    serious = {
        rule["id"]: [node["html"][:200] for node in rule["nodes"]]
        for rule in found
        if rule["impact"] in ("serious", "critical")
    }
    assert serious == {}


def test_words_are_found(site: str, browser: Browser) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"{site}/index.html")
        page.keyboard.press("Control+k")
        page.keyboard.type("canary")
        page.get_by_text("Try a version on a part of the traffic").last.wait_for()
