"""The page of the report: escaped, well nested, complete."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from markupsafe import Markup

from explainer import metrics
from explainer.errors import InputError
from explainer.evaluation import sanity_checks as probes
from explainer.evaluation.report import read_results, write_report
from explainer.evaluation.report.columns import quality
from explainer.evaluation.report.html import mathematics
from explainer.evaluation.report.page import failures, odd_maps, page
from explainer.evaluation.report.tables import report_tables
from tests.support.small_report import ABOUT, EVIL, IMAGES, folder, results, rows, shown

VOID = {"meta", "link", "input", "img", "br"}


class Tree(HTMLParser):
    """Elements with their attributes; refuses what is not well nested."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.elements, self.texts = [], [], []
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.stack[-1] if self.stack else "", data))


def test_a_column_says_what_it_is():
    column = next(c for c in quality(results()) if c.key == "Flip")
    assert (column.label, column.up, column.about["paper"]) == ("Flipping", False, "A. Author & B, 2019")
    text = page(results(), rows(), ABOUT)
    assert text.count("∫ f &lt; 1") == 2  # beside the header, and in the list for paper
    assert text.count("A. Author &amp; B, 2019") == 2


def test_everything_from_outside_is_escaped_and_well_nested():
    text = page(results(), rows(), ABOUT, shown())
    assert "<script>alert" not in text
    assert "<b>" not in text.replace("<b>1</b>", "").replace("<b>2</b>", "").replace("<b>3</b>", "").replace(
        "<b>4</b>", ""
    )
    assert "<no>" not in text
    tree = Tree(text)
    assert [tag for tag, _ in tree.elements].count("script") == 1
    assert any(EVIL in data for _, data in tree.texts)


def test_ids_are_unique_and_what_is_referred_to_is_there():
    tree = Tree(page(results(), rows(), ABOUT, shown()))
    ids = [a["id"] for _, a in tree.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in tree.elements:
        for key in ("aria-labelledby", "popovertarget", "for"):
            assert attributes.get(key, ids[0]) in ids
        link = attributes.get("href", "data:,")
        assert link == "data:," or (link[0] == "#" and link[1:] in ids)
        assert int(attributes.get("tabindex", 0)) <= 0


def test_nothing_is_fetched_and_headings_are_in_order():
    tree = Tree(page(results(), rows(), ABOUT, shown()))
    for name, attributes in tree.elements:
        assert name not in ("iframe", "object", "embed")
        assert attributes.get("src", "data:image/").startswith("data:image/")
        # what mathematics is in is named by an address that nobody fetches
        fetched = [value for key, value in attributes.items() if key != "xmlns"]
        assert not any(value and "http" in value for value in fetched)
    levels = [int(name[1]) for name, _ in tree.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tree.elements[0] == ("html", {"lang": "en"})


def test_failures_and_maps_without_information_are_named():
    assert failures(results(full=False), rows()) == {"RISE": {IMAGES[3]: "RuntimeError: <no> memory"}}
    assert failures(results() | {"failed": {}}, rows()) == {}  # tried again, and done
    found = odd_maps(results(), rows())
    assert found == [("RISE", "NaN", [IMAGES[0]], 4), ("Constant 0.5", "constant", IMAGES, 4)]
    text = page(results(), rows(), ABOUT)
    assert "RISE: NaN on" in text
    assert "Constant 0.5: constant on all" in text


def test_of_very_many_images_a_page_shows_some_and_says_so():
    content = results()
    assert "each image's value" in page(content, rows(), ABOUT)
    for entry in content["results"].values():
        entry["images"] = 50_000
    content["failed"] = {"RISE": {f"image {number}": "RuntimeError: no" for number in range(40_000)}}
    many = rows() + [{"id": f"more {number}", "method": "RISE", "constant": True} for number in range(300)]
    many += [{"id": f"{n}", "method": "RISE", "scores": {"iou": 0.5, "sal": 0.1}} for n in range(1000)]
    text = page(content, many, ABOUT)
    assert "the values of 60 of the images" in text
    assert text.count("RuntimeError: no") == 200
    assert "and 39800 more, in results.json" in text
    assert text.count("<code>more ") == 200
    assert "and 100 more, among the rows" in text
    assert len(text) < 1_000_000


def test_the_report_is_written_beside_the_results_and_survives_a_torn_row(tmp_path):
    out = folder(tmp_path / "r")
    with (out / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"id": IMAGES[3], "method": "RISE", "iou": 0.1, "curves": {}}) + "\n")
        file.write('{"id": "x", "meth')
    read = read_results(out)[1]
    assert len(read) == len(rows())
    assert not any("error" in row for row in read)  # what was tried again counts as it ended
    path = write_report(out, ABOUT, shown())
    assert path == out / "report.html"
    assert path.read_text().startswith("<!doctype html>")
    assert (out / "table.tex").read_text().count(r"\toprule") == len(
        report_tables(json.loads((out / "results.json").read_text()))
    )


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"results\.json is missing"):
        write_report(tmp_path, ABOUT)


def test_formulas_are_set_as_mathematics_and_nothing_gets_in_by_them():
    for kind in [*vars(metrics).values(), *vars(probes).values()]:
        formula = getattr(kind, "formula", "")
        if isinstance(formula, str) and "\\" in formula:
            assert mathematics(formula).startswith("<math"), formula
            assert "\\" not in mathematics(formula), formula  # a command that the library does not know
    assert "<script" not in mathematics(r"\rho <script>alert(1)</script>")
    assert "<b>" not in mathematics(r"\text{<b>}")
    assert not isinstance(mathematics(r'\class{" onclick="f()}{x}'), Markup)
    assert not isinstance(mathematics(r"\href{javascript:f()}{x}"), Markup)
    assert not isinstance(mathematics(r"\left( <b>"), Markup)  # no LaTeX: to be escaped like any other text
