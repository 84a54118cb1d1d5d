"""The report in a real browser; skipped where there is none."""

import pytest

from explainer.evaluation.report import write_report
from tests.support.browser import BROWSER, SPILLED, check_schemes
from tests.support.small_report import ABOUT, IMAGES, METHODS, folder, shown

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium, or its path in CHROMIUM"),
]
PHONE, DESKTOP, PAPER = 360, 1280, 688  # the last is A4 less its margins at 96 pixels an inch


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return write_report(folder(tmp_path_factory.mktemp("report")), ABOUT, shown()).as_uri()


@pytest.fixture
def visit(browser, address):
    """Opens the page; at the end it has asked for nothing and complained of nothing."""
    said, asked, contexts = [], [], []

    def go(width=DESKTOP, scheme="light", **settings):
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)  # a busy machine starts a browser slowly
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {address}


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_spills_and_all_words_can_be_read(visit, tmp_path, width):
    page = visit(width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(SPILLED) == []
    for picture in check_schemes(page, tmp_path, 100).values():
        assert picture.shape[1] == width
        assert picture.std() > 5


def test_paper_shows_what_is_folded_and_cuts_nothing(visit, tmp_path):
    page = visit(PAPER, "dark")
    page.evaluate("document.documentElement.style.setProperty('--opacity', 0)")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    tables = page.evaluate("[...document.querySelectorAll('table')].map((t) => t.getBoundingClientRect().right)")
    assert len(tables) == 5  # eleven columns of quality in two, two more, and the classes
    assert max(tables) <= PAPER
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("pre").is_visible()
    assert page.locator(".image").nth(1).is_visible()
    assert float(page.locator(".map").first.evaluate("(e) => getComputedStyle(e).opacity")) == pytest.approx(0.55)
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_headers_sort_by_keyboard(visit):
    page = visit()
    table = page.locator("table.sortable").first
    names = table.locator("tbody").first.locator("th[scope=row]")
    head = table.locator("thead th", has_text="IoU")
    before = names.all_inner_texts()
    head.locator(".key button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert names.all_inner_texts() == ["Ground truth", *METHODS[::-1]]
    page.keyboard.press("Enter")
    assert names.all_inner_texts() == [*METHODS, "Ground truth"]
    assert before == ["Ground truth", *METHODS]
    missing = page.locator("table.sortable thead th", has_text="Flipping")
    for _ in range(2):  # what has no number stays last in both directions
        missing.locator(".key button").click()
        assert names.all_inner_texts()[-1] == "Constant 0.5"


def test_a_columns_meaning_opens_and_closes_by_keyboard(visit):
    page = visit()
    page.get_by_role("button", name="What IoU means").focus()
    page.keyboard.press("Enter")
    about = page.locator(".about", has_text="Overlap of the mask")
    assert about.is_visible()
    page.keyboard.press("Escape")
    assert not about.is_visible()


def test_the_colours_change_at_a_button(visit):
    page = visit(scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Light colours").click()
    assert page.evaluate(colour) != dark
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(colour) == dark


def test_the_gallery_by_keyboard(visit):
    page = visit()
    images = page.locator(".image")
    assert [images.nth(n).is_visible() for n in range(2)] == [True, False]
    page.locator("#image-1").focus()
    page.keyboard.press("ArrowRight")
    assert [images.nth(n).is_visible() for n in range(2)] == [False, True]
    page.locator("#opacity").focus()
    page.keyboard.press("Home")
    of_map = images.nth(1).locator(".map").first
    page.wait_for_function("(e) => Number(getComputedStyle(e).opacity) === 0", arg=of_map.element_handle())
    page.locator(".filter summary").click()
    page.get_by_label("RISE", exact=True).uncheck()
    assert images.nth(1).locator(".tile:visible").count() == len(METHODS[:3])  # the photograph and two maps


def test_two_maps_are_compared_in_a_dialog(visit):
    page = visit(PHONE)
    page.locator(".image").first.locator(".stack").nth(1).focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#compare")
    assert dialog.is_visible()
    assert page.locator("#right").evaluate("(e) => e.selectedOptions[0].textContent") == "Grad-CAM"
    page.locator("#left").select_option("RISE")
    assert page.locator("#under .map").get_attribute("alt").startswith("Map of RISE")
    page.locator("#wipe").focus()
    page.keyboard.press("End")
    assert dialog.evaluate("(e) => e.style.getPropertyValue('--wipe')") == "100%"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_page_is_there_without_scripts(visit):
    page = visit(PHONE, java_script_enabled=False)
    assert page.locator("table").first.is_visible()
    assert page.locator(".image").first.is_visible()
    assert not page.locator("#theme").is_visible()
    assert page.locator(".key button").count() == 0
    page.locator("label[for=image-2]").click()
    assert page.get_by_text(IMAGES[1]).first.is_visible()
