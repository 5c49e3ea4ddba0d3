"""The report in a real browser without a network: in light mode, in dark mode, in print and on a phone."""

import pytest

from ledger.report.comparison_page import render_comparison
from ledger.report.page import render
from tests import browser
from tests.hostile_pages import HOSTILE, HOSTILE_SPACE
from tests.system.programs import PATIENCE
from tests.unit.overviews import overview
from tests.unit.snapshots import BEGUN, SPACE, snapshot
from tests.unit.test_comparison import compared, curve

# Each test starts a browser.
pytestmark = pytest.mark.slow

SPACES = [*SPACE, *HOSTILE_SPACE]


@pytest.fixture(scope="module")
def page_url(tmp_path_factory):
    """URL of the report of a study with all plots and with hostile names."""
    ledger = snapshot(6, 4, space=SPACES, failed=(1, 9), pending=(23,), error=HOSTILE, worker=HOSTILE)
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render(overview(ledger)))
    return file.as_uri()


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def comparison_url(tmp_path_factory):
    """URL of the page of a comparison of twelve studies in two groups, with hostile names."""
    studies = [curve(f"study {number}", space=SPACES, batch_size=2 + number % 3) for number in range(10)]
    studies += [curve(HOSTILE[:60], space=SPACES), curve("other", objective={"model": "svm", "dataset": "iris"})]
    file = tmp_path_factory.mktemp("comparison") / "comparison.html"
    file.write_text(render_comparison(compared(*studies, set_apart=True).groups, BEGUN))
    return file.as_uri()


@pytest.fixture
def look(chromium, page_url):
    """Return a function that opens the page with browser settings. The page must send no request and log no error."""
    contexts, heard = [], []

    def look(page_url=page_url, **reader):
        context = chromium.new_context(offline=True, **reader)
        contexts.append(context)
        context.set_default_timeout(1_000 * PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: None if request.url == page_url else heard.append(request.url))
        page.goto(page_url)
        page.wait_for_selector("html[data-drawn]")
        return page

    yield look
    for context in contexts:
        context.close()
    assert heard == []


def colours(page):
    """Return the colours of the background, of the text, and of the texts in plots."""
    return page.evaluate(
        """() => [document.body, document.querySelector("h1"), document.querySelector(".convergence .xtick text")]
             .map((one, index) => getComputedStyle(one)[["backgroundColor", "color", "fill"][index]])"""
    )


def overflow(page):
    """Return the width in pixels by which the page exceeds the screen, and the plots that exceed their frames."""
    return page.evaluate(
        """() => [
             document.documentElement.scrollWidth - innerWidth,
             [...document.querySelectorAll(".plot")].filter((plot) => {
               const frame = plot.parentElement.getBoundingClientRect(), own = plot.getBoundingClientRect();
               const scrolls = getComputedStyle(plot.parentElement).overflowX === "auto";
               const drawn = plot.querySelector(".main-svg").getBoundingClientRect();
               return drawn.width > own.width + 1 || (!scrolls && own.width > frame.width + 1);
             }).map((plot) => plot.id)]"""
    )


def sum_of(colour):
    return sum(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])


def test_the_page_draws_everything_asks_for_nothing_and_follows_the_scheme(look):
    page = look(viewport={"width": 1280, "height": 900}, color_scheme="light")
    plots = page.locator(".plot")
    pairs = 3  # the contours of the three most important numeric parameters
    count = 1 + 1 + len(SPACES) * 2 + pairs + 1 + 1
    assert plots.count() == count
    assert page.locator(".plot .main-svg").count() >= count
    assert page.locator(".convergence .point").count() > 20
    assert page.locator(".parallel canvas").count() > 0
    assert "WebGL is not supported" not in page.inner_text("#parallel")
    assert page.locator(".timeline .bars path").count() >= 23
    # Plotly would interpret these tags
    assert page.locator(".plot a[href], .plot img").count() == 0
    assert "<b>bold</b>" in "".join(page.locator(".xtitle").all_text_contents())
    assert page.get_by_text("Share chart", exact=False).count() == 0
    assert page.locator("[data-title*='Share']").count() == 0
    assert overflow(page) == [0, []]

    light = colours(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "fill => getComputedStyle(document.querySelector('.convergence .xtick text')).fill !== fill", arg=light[2]
    )
    dark = colours(page)
    assert sum_of(light[0]) > 700 > 100 > sum_of(light[1]), light
    assert sum_of(dark[0]) < 100 < 600 < sum_of(dark[1]), dark
    assert sum_of(dark[2]) > 500 > 300 > sum_of(light[2])

    # print is always in light mode, and as wide as the paper
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("document.querySelector('.convergence .main-svg').getBoundingClientRect().width <= 680")
    assert sum_of(colours(page)[0]) == 3 * 255
    page.wait_for_function(
        "fill => getComputedStyle(document.querySelector('.convergence .xtick text')).fill === fill", arg=light[2]
    )
    assert overflow(page)[1] == []
    assert page.locator("tbody tr:visible").count() == 20

    page.emulate_media(media="screen")
    page.wait_for_function("document.querySelector('.convergence .main-svg').getBoundingClientRect().width > 680")


def test_the_table_sorts_by_any_column(look):
    page = look(viewport={"width": 1280, "height": 900})

    def cells(index):
        return page.locator(f"tbody tr td:nth-child({index + 1})").all_text_contents()

    values = [float(text) for text in cells(3) if text]
    assert values == sorted(values)
    assert cells(3)[-3:] == ["", "", ""], "trials without a value stay below"
    page.get_by_role("button", name="trial", exact=True).click()
    assert cells(0) == [str(number) for number in range(24)]
    page.get_by_role("button", name="value", exact=True).click()
    page.get_by_role("button", name="value", exact=True).click()
    assert [float(text) for text in cells(3) if text] == sorted(values, reverse=True)
    assert cells(3)[-3:] == ["", "", ""]
    page.get_by_role("button", name="kernel", exact=True).click()
    assert cells(6) == sorted(cells(6))


def test_on_a_phone_nothing_is_wider_than_the_screen(look):
    page = look(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, device_scale_factor=2)
    assert overflow(page) == [0, []]
    assert page.locator(".modebar-btn:visible").count() == 0
    assert page.locator(".parameters, #parameters .plot").first.bounding_box()["width"] > 300


@pytest.mark.parametrize("width", [1000, 390])
def test_a_comparison_is_drawn_and_is_no_wider_than_the_screen(look, comparison_url, width):
    page = look(comparison_url, viewport={"width": width, "height": 900})
    assert page.locator(".plot .main-svg").count() >= 4
    assert page.locator("#trials-0-0 .scatterlayer .trace").count() == 11
    assert page.locator(".plot a[href], .plot img").count() == 0
    assert overflow(page) == [0, []]
    assert page.locator("#studies-0 tbody tr").count() == 11
    assert page.locator("#studies-0 tr.best").count() == 1
