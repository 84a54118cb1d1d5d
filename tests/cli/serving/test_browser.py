"""The page in a real browser; skipped where there is none."""

import base64
import threading

import pytest

from explainer.cli.options import serve_options
from explainer.cli.serving.server import server_of, site_of
from explainer.inference.explain import Explainer
from tests.support.browser import BROWSER, SPILLED, check_schemes
from tests.support.small_checkpoints import CLASSES, save_explainer
from tests.support.trees import photo

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium, or its path in CHROMIUM"),
]
DROP = """([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    explainer = Explainer(save_explainer(tmp_path_factory.mktemp("page") / "small.ckpt"), "cpu")
    options = serve_options(["--port", "0", "--most_megabytes", "1"])
    with server_of(site_of(explainer, options), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(address):
    """The page; at the end it has asked nobody but its server, and complained of nothing but refused photographs."""
    complaints, asked = [], []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.set_default_timeout(60_000)  # a busy machine starts a browser slowly
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        browser.close()
    assert [words for words in complaints if "400 (Bad Request)" not in words] == []
    assert all(url.startswith((address, "data:")) for url in asked)


def test_a_photograph_is_dropped_looked_at_and_replaced(page, tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "large.jpg").write_bytes(bytes(2**20 + 1))
    page.locator("#known summary").wait_for()
    page.set_input_files("#file", tmp_path / "a.jpg")
    page.locator("#result").wait_for()
    assert page.locator("#status").inner_text() == "a.jpg, 40 × 30 pixels"
    assert page.locator("#overview img").count() == 4
    assert sorted(page.locator(".shares tbody th").all_inner_texts()) == sorted(CLASSES)
    # a class is chosen by the list and by the table
    first = page.locator("#stack .map").get_attribute("src")
    page.select_option("#class", index=1)
    second = page.locator("#stack .map").get_attribute("src")
    assert first != second
    page.locator(".shares tbody button").first.click()
    assert page.locator("#stack .map").get_attribute("src") == first
    assert page.locator("#class").evaluate("(e) => e.selectedIndex") == 0
    page.locator("#opacity").fill("20")
    # it fades: how far it has come by now depends on the machine
    playwright.expect(page.locator("#stack .map")).to_have_css("opacity", "0.2", timeout=60_000)
    assert page.evaluate("document.documentElement.style.getPropertyValue('--opacity')") == "0.2"
    # what is refused is said, and the earlier explanation is not left under it
    for name, words in (
        ("notes.txt", "notes.txt: cannot read image: it is no picture"),
        ("large.jpg", "larger than 1 MB"),
    ):
        page.set_input_files("#file", tmp_path / name)
        page.locator("#status.error").get_by_text(words).wait_for()
        assert page.locator("#result").is_hidden()
    page.evaluate(DROP, [base64.b64encode((tmp_path / "a.jpg").read_bytes()).decode(), "dropped.jpg"])
    page.locator("#status:not(.error)").get_by_text("dropped.jpg, 40 × 30 pixels").wait_for()
    assert page.locator("#result").is_visible()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(SPILLED) == []
        check_schemes(page, tmp_path, 20)
