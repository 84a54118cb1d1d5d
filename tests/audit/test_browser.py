"""The page of an audit in a real browser; skipped where there is none."""

import pytest

from explainer.audit.run import AuditSettings, Subject, audit
from explainer.audit.suspicions import SuspicionSettings
from tests.support.browser import BROWSER, SPILLED, check_schemes
from tests.support.made_mark import RedMasks, source

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium, or its path in CHROMIUM"),
]
PHONE, DESKTOP = 360, 1280


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    settings = AuditSettings(search=SuspicionSettings(targets=8))
    one, two = (Subject(RedMasks(), name, "redness", {"checkpoint": name}) for name in ("one", "two"))
    return audit(source(segmented=True), one, tmp_path_factory.mktemp("audit"), settings, two).page.as_uri()


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_spills_and_all_words_can_be_read(address, tmp_path, width):
    said, asked = [], []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="light")
        page.set_default_timeout(60_000)  # a busy machine starts a browser slowly
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(SPILLED) == []
        for picture in check_schemes(page, tmp_path, 60).values():
            assert picture.shape[1] == width
            assert picture.std() > 5
        browser.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {address}
