import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from markupsafe import Markup
from oracles import mean_curve
from PIL import Image
from small_report import ABOUT, EVIL, IMAGES, METHODS, folder, results, rows, shown

from explainer import metrics
from explainer.errors import InputError
from explainer.evaluation import sanity_checks as probes
from explainer.evaluation.report import read_results, write_report
from explainer.evaluation.report.charts import curves, label_points, mean_curves, scatter
from explainer.evaluation.report.columns import Column, quality
from explainer.evaluation.report.heat_map import heat_maps
from explainer.evaluation.report.latex import latex
from explainer.evaluation.report.maps import SIDE, data_uri, label_text
from explainer.evaluation.report.page import failures, mathematics, odd_maps, page
from explainer.evaluation.report.svg import decades, tag, ticks
from explainer.evaluation.report.tables import WIDEST, grids
from explainer.evaluation.report.tables import shown as number_shown
from explainer.files import for_latex

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


def cells(content, column):
    """Method → cell of a column."""
    for grid in grids(content):
        keys = [c.key for c in grid.columns]
        if column in keys:
            return {row.name: row.cells[keys.index(column)] for row in grid.rows}
    raise AssertionError(column)


def test_the_best_and_what_is_not_distinguishable_from_it_are_marked():
    marks = {name: cell.mark for name, cell in cells(results(), "iou").items()}
    assert marks == {"Ground truth": "", "Grad-CAM": "", EVIL: "", "RISE": "tied", "Constant 0.5": "best"}
    lower = cells(results(), "sal")
    assert lower["Grad-CAM"].mark == "best"  # lower is better, and the ground truth is lower still


def test_without_p_the_interval_of_the_difference_decides():
    content = results()
    content["pairs"]["iou"]["RISE"] = {"against": "Constant 0.5", "interval": [-0.3, -0.1]}
    assert cells(content, "iou")["RISE"].mark == ""
    content["pairs"]["iou"]["RISE"]["interval"] = [-0.3, 0.1]
    assert cells(content, "iou")["RISE"].mark == "tied"


def test_numbers_intervals_and_the_papers_numbers_stand_together():
    cell = cells(results(), "iou")["RISE"]
    assert (cell.text, cell.interval, cell.published) == ("55.0", "[50.0, 60.0]", "61.25")
    missing = cells(results(), "Flip")["Constant 0.5"]
    assert (missing.text, missing.value, missing.mark) == ("–", None, "")
    (row,) = grids(results())[0].published
    assert row.name == "Theirs_1"
    assert "−1.5" in [cell.text for cell in row.cells]


def test_wide_tables_are_cut_into_equal_ones():
    found = [len(grid.columns) for grid in grids(results()) if grid.title.startswith("Quality")]
    assert sum(found) == 11
    assert max(found) <= WIDEST
    assert max(found) - min(found) <= 1


def test_optional_keys_may_be_missing():
    text = page(results(full=False), rows(), ABOUT)
    assert [c.key for c in quality(results(full=False))] == ["iou", "sal", "Flip"]
    assert "Published" not in text
    assert cells(results(full=False), "cost.ms")["RISE"].text == "20\u202f000"
    page({"results": {"a": {"images": 1, "iou": 0.5}}}, [], ABOUT)


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


def test_mean_curves_against_an_oracle():
    found = mean_curves(rows(), METHODS, "Flip")
    for method in METHODS:
        np.testing.assert_allclose(found[method], mean_curve(rows(), method, "Flip"), atol=1e-12)
    (one,) = curves(results(), rows())
    assert [panel.name for panel in one.panels] == ["Ground truth", *METHODS]
    assert curves(results(), [row | {"curves": {}} for row in rows()]) == []


def test_curves_of_other_lengths_are_left_out():
    some = [{"method": "a", "curves": {"c": [0.0, v]}} for v in (0.2, 0.4)] + [
        {"method": "a", "curves": {"c": [9.0] * 5}}
    ]
    assert mean_curves(some, ["a"], "c") == {"a": [0.0, pytest.approx(0.3)]}


def test_points_of_the_scatter_stand_where_the_numbers_say():
    entries = {
        "a": {"x": 0.0, "cost": {"ms": 1.0}},
        "b": {"x": 1.0, "cost": {"ms": 10.0}},
        "c": {"x": 0.5, "cost": {"ms": 100.0}},
    }
    text = scatter(Column(("x",), "X", True), entries, small=False)
    points = [tuple(map(float, p)) for p in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', text)]
    (ax, ay), (bx, by), (cx, cy) = points
    assert bx - ax == pytest.approx(cx - bx, abs=0.02)  # decades are equally wide
    assert ay > cy > by  # up is better
    assert ay - cy == pytest.approx(cy - by, abs=0.02)


def test_labels_of_points_do_not_cover_each_other():
    places = {str(n): (100 + 12 * (n % 4), 100 + 9 * (n // 4)) for n in range(8)}
    parts = label_points(places, dict.fromkeys(places, "name"), (0, 400, 0, 300))
    boxes = [
        tuple(map(float, re.search(r'x="([\d.]+)" y="([\d.]+)"', p).groups())) for p in parts if p.startswith("<text")
    ]
    for i, (x, y) in enumerate(boxes):
        assert all(abs(x - u) > 24 or abs(y - v) > 10 for u, v in boxes[:i])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.9, 4.7), (0.031, 0.24), (5.0, 5.0), (-1e-4, 1e-4)])
def test_ticks_span_the_range_in_few_round_steps(low, high):
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 8
    step = found[1] - found[0]
    assert step / 10 ** math.floor(math.log10(step) + 1e-9) == pytest.approx(
        round(4 * step / 10 ** math.floor(math.log10(step) + 1e-9)) / 4
    )


def test_decades_of_one_number_are_still_a_range():
    assert decades(10, 10) == [10.0, 100.0]
    assert decades(0.2, 30) == [0.1, 1.0, 10.0, 100.0]


def test_the_matrix_of_each_method_or_of_one():
    values = [[1.0, float("nan")], [0.2, 0.51]]
    one = {"classes": ["a", "b"], "values": values}
    assert [m.name for m in heat_maps(one)] == [""]
    assert [m.name for m in heat_maps({"Explainer": one, "Grad-CAM": one})] == ["Explainer", "Grad-CAM"]
    assert [m.name for m in heat_maps({"classes": ["a", "b"], "methods": {"RTIS": values}})] == ["RTIS"]
    assert heat_maps(one)[0].cells == [
        [("100", 1.0, "1.0000", ""), ("–", 0.0, "unknown", "")],
        [("20", 0.2, "0.2000", ""), ("51", 0.51, "0.5100", "")],
    ]
    assert heat_maps(None) == []
    assert heat_maps({"classes": ["a"], "values": [[0.9, 0.5]]})[0].columns == ["no mask", "a"]
    many = [str(n) for n in range(80)]
    assert heat_maps({"classes": many, "values": [[0.5] * 80] * 80})[0].dense


def test_latex_is_escaped_and_has_as_many_cells_as_columns():
    text = latex(results())
    assert for_latex(EVIL) in text
    assert r"\textbf{65.0}" in text
    assert r"\textdagger" in text
    assert r"\emph{61.25}" in text
    assert r"{\scriptsize [50.0, 60.0]}" in text
    assert not re.search(r"(?<!\\)[%#_](?=[^\n]*\\\\)", text.replace("% ", ""))
    for part in text.split(r"\begin{tabular}")[1:]:
        width = len(re.match(r"\{l(r+)\}", part)[1]) + 1
        for line in part.splitlines():
            if line.endswith(r"\\") and "multicolumn" not in line:
                assert len(re.findall(r"(?<!\\)&", line)) == width - 1
        assert part.count("{") - part.count(r"\{") == part.count("}") - part.count(r"\}")


def test_pictures_are_small_and_of_the_shorter_kind():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (500, 400, 3), dtype=np.uint8))
    assert data_uri(noise).startswith("data:image/jpeg")
    assert data_uri(Image.new("RGB", (500, 400))).startswith("data:image/png")
    assert noise.size == (400, 500)
    assert len(data_uri(noise)) < 4 * SIDE * SIDE


def test_words_under_a_photograph():
    said = {"probabilities": [0.1, 0.9, 0.3]}
    assert label_text(("cat", "dog", "cow"), [1, 2], said) == "dog 0.90, cow 0.30"
    assert label_text(("cat", "dog", "cow"), [], said) == "no label"
    assert label_text(("cat", "dog"), [0], None) == "cat"


def test_numbers_have_the_digits_of_their_kind():
    assert [number_shown(v, "count") for v in (1.0, 1.5, 4000.0)] == ["1", "1.5", "4\u202f000"]
    assert number_shown(2**31, "bytes") == "2.00 GiB"
    assert tag("a", "<", class_='"') == '<a class="&#34;">&lt;</a>'


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
        grids(json.loads((out / "results.json").read_text()))
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
