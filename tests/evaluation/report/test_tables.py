"""The report's tables: what is marked, what stands together, and how numbers are written."""

from explainer.evaluation.report.columns import quality
from explainer.evaluation.report.numbers import formatted
from explainer.evaluation.report.page import page
from explainer.evaluation.report.svg import tag
from explainer.evaluation.report.tables import WIDEST, report_tables
from tests.support.small_report import ABOUT, EVIL, results, rows


def cells(content, column):
    """Method → cell of a column."""
    for grid in report_tables(content):
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
    assert (cell.text, cell.interval.ends, cell.published) == ("55.0", "[50.0, 60.0]", "61.25")
    missing = cells(results(), "Flip")["Constant 0.5"]
    assert (missing.text, missing.value, missing.mark) == ("–", None, "")
    (row,) = report_tables(results())[0].published
    assert row.name == "Theirs_1"
    assert "−1.5" in [cell.text for cell in row.cells]


def test_wide_tables_are_cut_into_equal_ones():
    found = [len(grid.columns) for grid in report_tables(results()) if grid.title.startswith("Quality")]
    assert sum(found) == 11
    assert max(found) <= WIDEST
    assert max(found) - min(found) <= 1


def test_optional_keys_may_be_missing():
    text = page(results(full=False), rows(), ABOUT)
    assert [c.key for c in quality(results(full=False))] == ["iou", "sal", "Flip"]
    assert "Published" not in text
    assert cells(results(full=False), "cost.ms")["RISE"].text == "20\u202f000"
    page({"results": {"a": {"images": 1, "iou": 0.5}}}, [], ABOUT)


def test_numbers_have_the_digits_of_their_kind():
    assert [formatted(v, "count") for v in (1.0, 1.5, 4000.0)] == ["1", "1.5", "4\u202f000"]
    assert formatted(2**31, "bytes") == "2.00 GiB"
    assert tag("a", "<", class_='"') == '<a class="&#34;">&lt;</a>'
