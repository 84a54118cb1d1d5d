"""One table in every format: the same numbers, each with the signs of its format."""

import io
import re

import pytest
from rich.console import Console

from explainer.evaluation.report.columns import Column
from explainer.evaluation.report.printers import (
    footnote,
    latex_file,
    markdown_file,
    to_html,
    to_latex,
    to_markdown,
    to_terminal,
    to_wandb,
)
from explainer.evaluation.report.table import Cell, Heading, Interval, Row, Table, text_row
from explainer.evaluation.report.tables import report_tables
from explainer.files import for_latex
from tests.support.small_report import EVIL, results

IOU = Column(("iou",), "IoU", True, "percent", {"meaning": "Overlap."})
TABLE = Table(
    title="Quality",
    names="method",
    columns=[Heading("IoU", "↑", IOU), Heading("a|b")],
    rows=[
        Row("<i>", [Cell("50.0", 0.5, Interval(0.4, 0.6, "[40.0, 60.0]", "±10.0"), "best", "61.25"), Cell("–")]),
        Row("x_y", [Cell("49.0", 0.49, mark="tied"), Cell("−1", -1.0)], reference=True),
    ],
    published=[text_row("Theirs", ["30", "–"])],
    source="A. Author & B",
    caption="3 images",
    notes={"best": "best of the column", "interval": "95 % intervals", "published": "(paper): printed by A. Author"},
)


def printed(table):
    console = Console(file=io.StringIO(), width=120)
    console.print(to_terminal(table))
    return console.file.getvalue()


def test_a_terminal_shows_half_the_width_and_markdown_both_ends():
    assert re.search(r"│ <i> +│ +50\.0 ±10\.0 \* │ +– │", printed(TABLE))
    assert "3 images. * best of the column; ± 95 % intervals; (paper): printed by A. Author." in " ".join(
        printed(TABLE).split()
    )
    assert to_markdown(TABLE).splitlines() == [
        "| method | IoU ↑ | a\\|b |",
        "| --- | ---: | ---: |",
        "| &lt;i> | 50.0 [40.0, 60.0] * | – |",
        "| x_y | 49.0 ~ | −1 |",
        "| Theirs (paper) | 30 | – |",
        "",
        "3 images. * best of the column; [] 95 % intervals; (paper): printed by A. Author.",
    ]


def test_latex_has_the_papers_numbers_below_ours():
    lines = to_latex(TABLE).splitlines()
    assert r"\textless{}i\textgreater{} & \textbf{50.0} {\scriptsize [40.0, 60.0]} & -- \\" in lines
    assert r"x\_y & 49.0\textsuperscript{\textdagger} & \ensuremath{-}1 \\" in lines
    start = lines.index(r"\multicolumn{3}{l}{\emph{Published: A. Author \& B}} \\")
    assert lines[start + 1] == r"\emph{\textless{}i\textgreater{}} & \emph{61.25} & \emph{--} \\"
    assert lines[start + 2] == r"\emph{Theirs} & \emph{30} & \emph{--} \\"


def test_latex_is_escaped_and_has_as_many_cells_as_columns():
    text = latex_file(report_tables(results()))
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


def test_html_has_numbers_to_sort_by_and_explains_what_it_can():
    text = to_html(TABLE, 7)
    assert 'data-value="0.5"' in text
    assert "&lt;i&gt;" in text
    assert "<i>" not in text
    assert text.count("What IoU means") == text.count('id="about-7-1"') == 1
    assert "about-7-2" not in text  # nobody says what it means
    assert "Published by A. Author &amp; B; not measured here" in text


def test_wandb_has_plain_numbers_and_ends_where_there_are_intervals():
    table = to_wandb(TABLE)
    assert table.columns == ["method", "iou", "iou low", "iou high", "a|b"]
    assert table.data == [["<i>", 0.5, 0.4, 0.6, None], ["x_y", 0.49, None, None, -1.0]]


@pytest.mark.parametrize("caption", ["", "1 image"])
@pytest.mark.parametrize("notes", [{}, {"tied": "not told from the best"}])
def test_a_footnote_is_sentences_or_nothing(caption, notes):
    sentences = [part for part in (caption, "~ not told from the best" if notes else "") if part]
    table = Table("t", "a", [], [], caption=caption, notes=notes)
    assert footnote(table, "±") == " ".join(f"{sentence}." for sentence in sentences)
    assert to_markdown(table).count("\n") == (4 if sentences else 2)


def test_files_hold_tables_one_below_the_other():
    assert markdown_file([TABLE, TABLE]) == f"{to_markdown(TABLE)}\n{to_markdown(TABLE)}"
    assert latex_file([TABLE, TABLE]).count(r"\toprule") == 2
