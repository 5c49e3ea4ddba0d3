"""Checks of the documentation site in a browser; `make site` runs them on what it built.

The pages are opened from their folder, so that each request to a network is a fault.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from tests.browser import chromium

SITE = Path(__file__).parents[1] / "build" / "site"
# it is served for addresses at any depth, and so has links from the site's root
PAGES = sorted(page for page in SITE.rglob("*.html") if page.name != "404.html")
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_every_page_fits_a_phone_and_loads_from_its_folder(browser: Browser) -> None:
    assert PAGES
    faults: list[str] = []

    def failed(request: Request) -> None:
        # what the next page interrupts is no fault
        if request.failure != "net::ERR_ABORTED":
            faults.append(f"{request.url} {request.failure}")

    page = browser.new_page(viewport=PHONE)
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith("file:") else None)
    page.on("requestfailed", failed)
    page.on("pageerror", lambda error: faults.append(f"{page.url} {error}"))
    for place in PAGES:
        page.goto(place.as_uri())
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            faults.append(f"{place.relative_to(SITE)} is {width} pixels wide")
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_scheme_is_that_of_the_system(browser: Browser, scheme: Literal["light", "dark"]) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto((SITE / "index.html").as_uri())
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(one => one > 200)")
    assert light == (scheme == "light")


def test_diagrams_are_drawn(browser: Browser) -> None:
    page = opened(browser, "docs/concepts.html")
    diagrams = page.locator("div.mermaid")
    expect(diagrams).to_have_count(2)
    for diagram in diagrams.all():
        box = diagram.bounding_box()
        assert box is not None
        assert box["height"] > 100


def test_a_search_finds_a_page(browser: Browser) -> None:
    page = opened(browser, "docs/backup.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("load_study")
    expect(page.get_by_role("option", name="ledger.load_study")).to_be_visible()


def opened(browser: Browser, place: str) -> Page:
    page = browser.new_page()
    page.goto((SITE / place).as_uri())
    return page
