import re

import numpy as np
import pytest

from explainer.audit.classes import summaries
from explainer.audit.page import place_words
from explainer.audit.run import AuditSettings, Subject, audit
from explainer.audit.suspicions import SuspicionSettings
from tests.support.made_mark import Made, RedMasks, source


class Named(Made):
    """Images whose names are no harmless words."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.ids = [f"<script>alert({n})</script>" for n in range(len(self.ids))]


def audited(folder, versus=False, **data):
    made = source(**data)._replace(name="<b>name</b>")
    if data.get("kind") is None:
        made = made._replace(images=Named())
    settings = AuditSettings(search=SuspicionSettings(targets=8))
    second = Subject(RedMasks(), "<i>two</i>", "redness", {}) if versus else None
    return audit(
        made, Subject(RedMasks(), "<i>one</i>", "redness", {"checkpoint": "<u>x</u>"}), folder, settings, second
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return audited(tmp_path_factory.mktemp("audit"), versus=True)


def test_the_page_asks_for_nothing_and_every_word_is_escaped(results):
    text = results.page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    for word in ("<b>name", "<i>one", "<i>two", "<u>x", "<script>alert"):
        assert word not in text
    assert "&lt;b&gt;name" in text


def test_the_page_shows_what_was_found(results):
    text = results.page.read_text()
    raised = [one for one in results.suspicions if one.raised]
    assert len(raised) == 1
    assert "1 suspicion raised." in text
    assert text.count('class="suspicion"') == len(results.suspicions)
    assert f"makes {100 * raised[0].tried.turned:.0f} % of them red" in text
    assert "it stays" not in text
    assert ">stays</td>" in text
    assert text.count('class="two"') == len(results.second.differences)
    assert text.count('class="class"') == 2


def test_what_is_not_raised_is_said_to_be_so(tmp_path):
    results = audited(tmp_path, kind="thing", segmented=True)
    text = results.page.read_text()
    assert "No suspicion is raised." in text
    assert "It was pasted into few images or none: its score is at most" in text
    assert "which are not raised" in text
    assert "Two classifiers" not in text
    assert "object" in text


def test_few_images_make_a_page_too(tmp_path):
    text = audited(tmp_path, kind="mark", count=4).page.read_text()
    assert "there is nothing to list" in text


def test_classes_are_summed_up(results):
    red = next(one for one in summaries(results.scan) if one.name == "red")
    rows = [row for row in results.scan.rows if row["class"] == "red" and row["predicted"]]
    numbers = [n for n, row in enumerate(results.scan.rows) if row["class"] == "red" and row["predicted"]]
    assert red.decisions == len(rows)
    assert red.area == pytest.approx(np.mean([row["area"] for row in rows]))
    assert red.object is None
    np.testing.assert_allclose(red.mean, results.scan.arrays["masks"][numbers].astype(float).mean(0) / 255, atol=1e-5)
    members = np.concatenate([kind.members for kind in red.kinds])
    assert sorted(members.tolist()) == numbers


@pytest.mark.parametrize(("rows", "columns", "words"), [
    (slice(0, 4), slice(6, 10), "at the top"), (slice(11, 15), slice(6, 10), "at the bottom"),
    (slice(6, 10), slice(2, 4), "at the left"), (slice(6, 10), slice(12, 14), "at the right"),
    (slice(2, 5), slice(2, 5), "at the upper left"), (slice(6, 10), slice(6, 10), "in the middle"),
    (slice(0, 1), slice(0, 16), "along the border"),
])  # fmt: skip
def test_places_are_told_in_words(rows, columns, words):
    region = np.zeros((16, 16), bool)
    region[rows, columns] = True
    assert place_words(region) == words
