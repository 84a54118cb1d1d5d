"""Attacks by names: of classes, files, methods and metrics, in every format that is written."""

import csv
import io
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from explainer.attribution import Constant
from explainer.evaluation.report import About, write_report
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.files import write_results
from explainer.evaluation.report.picture_files import file_names
from explainer.evaluation.report.printers import markdown_file, to_markdown, to_terminal
from explainer.evaluation.report.summary_table import summary_table
from explainer.evaluation.report.table import Heading, Table, text_row
from explainer.evaluation.results.columns import columns_of
from explainer.evaluation.telling import tell
from explainer.experiments.retraining.layer_tables import layer_tables
from explainer.experiments.retraining.tables import retraining_tables
from explainer.files import for_csv, for_latex, for_markdown, for_terminal, printable, write_csv, write_text
from explainer.rendering import save_picture
from tests.support.small_evaluation import METHODS, pictures, run

EVIL = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a|b", "=HYPERLINK(\"http://x\",\"y\")", "=1+1",
    "+1", "-1+cmd|'/C calc'!A0", "@SUM(1)", "[/red]", "[link=http://x]y[/link]", "[bold]", "\\", "a\\", "`x`",
    "![p](http://x/p.png)", "[y](javascript:alert(1))", "\\input{/etc/passwd}", "\\write18{ls}", "$\\frac$", "$x",
    "%&#~^_{}", "{{7*7}}", "{% raw %}", "&amp;", "_hidden",
]  # fmt: skip
STEERING = [
    "\x1b[31mred\x1b[0m", "\x1b]8;;http://x\x07y\x1b]8;;\x07", "a\nb", "a\r\nb", "a\tb", "\x00", "\x07", "\x9b2J",
    "\u202egnp.exe", "\ud800", "a\u2028b",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL + STEERING, ids=ascii)
def test_terminal_shows_the_text_and_nothing_else_happens(text):
    console = Console(file=io.StringIO(), width=200)
    console.print(f"[bold]{for_terminal(text)}[/bold]", highlight=False, end="")
    assert console.file.getvalue() == printable(text)
    assert printable(text).isprintable()


@pytest.mark.parametrize("text", EVIL + STEERING, ids=ascii)
def test_markdown_cells_stay_cells(text):
    cell = for_markdown(text)
    assert "\n" not in cell
    assert "<" not in cell
    assert "](" not in cell
    assert not any(c == "|" and (n == 0 or cell[n - 1] != "\\") for n, c in enumerate(cell))
    lines = to_markdown(Table("t", "a", [Heading(text)], [text_row(text, ["1"])])).splitlines()
    assert len(lines) == 3


@pytest.mark.parametrize("text", [*EVIL, " =1+1", "\t=1", "\r=1", "＝1"], ids=ascii)
def test_spreadsheets_find_no_formula(text, tmp_path):
    write_csv(tmp_path / "a.csv", [["id"], [text], [-1.5]])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        _, (cell,), (number,) = csv.reader(file)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    assert cell in (text, f"'{text}")
    assert number == "-1.5"
    assert for_csv(None) is None


@pytest.mark.parametrize("text", EVIL + STEERING, ids=ascii)
def test_latex_prints_the_text(text):
    written = for_latex(text)
    assert "\n" not in written
    assert "\\input" not in written
    assert "\\write" not in written
    assert written.count("{") == written.count("}")
    assert written.replace(r"\%", "").count("%") == 0


@pytest.mark.parametrize("text", [*EVIL, "$a$ $b", "$\\notacommand$"], ids=ascii)
def test_figures_take_no_name_for_mathematics(text, tmp_path):
    figure = Figure()
    panel = figure.subplots()
    panel.plot([0, 1], label=text)
    panel.set_title(text)
    figure.legend(loc="outside right upper")
    save_figure(figure, tmp_path / "a.png", dpi=40)
    assert Image.open(tmp_path / "a.png").size[0] > 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_pictures_are_whole_or_absent(tmp_path):
    save_picture(Image.new("RGB", (2, 2)), tmp_path / "deep" / "a.png")
    assert Image.open(tmp_path / "deep" / "a.png").size == (2, 2)

    class Torn(Image.Image):
        def save(self, path, *_, **__):
            path.write_bytes(b"half")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_picture(Torn(), tmp_path / "deep" / "a.png")
    assert Image.open(tmp_path / "deep" / "a.png").size == (2, 2)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_what_a_program_prints_is_one_line_each(capsys):
    tell(["failed: a\nb on \x1b[2Jc"])
    assert capsys.readouterr().out == "failed: a b on \ufffd[2Jc\n"


class Tags(HTMLParser):
    """Elements and handlers of a page."""

    def __init__(self):
        super().__init__()
        self.scripts, self.handlers, self.links = 0, [], []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value for name, value in attrs if name in ("src", "href") and value and value.startswith("http")]


def evil_batches():
    batches = pictures((2, 3, 1))
    number = iter(range(100))
    return [batch._replace(id=[f"{EVIL[next(number)]} {n}" for n, _ in enumerate(batch.id)]) for batch in batches]


def test_all_files_of_an_evaluation(tmp_path):
    names = {name: Constant(n / 40) for n, name in enumerate(EVIL)} | METHODS
    facts = {"checkpoint": "<i>", "methods": {}, "images": 6}
    store = run(tmp_path, evil_batches(), names, facts=facts)
    content = write_results(store.rows, facts, tmp_path, columns=columns_of({}))
    table = summary_table(content, "[/red]", intervals=True)
    write_text(tmp_path / "table.md", to_markdown(table))
    write_report(tmp_path, About("<b>run", "<b>net", "<b>data", "test"))
    console = Console(file=io.StringIO(), width=300)
    console.print(to_terminal(table))
    shown = console.file.getvalue()
    assert "[link=http://x]y[/link]" in shown
    assert "[/red]" in shown
    page = Tags()
    page.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert (page.scripts, page.handlers, page.links) == (1, [], [])
    rows = [line for line in (tmp_path / "table.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = {line.replace("\\\\", "").replace("\\|", "").count("|") for line in rows}
    assert len(cells) == 1  # every row has as many cells
    with (tmp_path / "per_image.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            assert not line["id"].startswith(("=", "+", "-", "@"))
            assert not line["method"].startswith(("=", "+", "-", "@"))
    latex = (tmp_path / "table.tex").read_text(encoding="utf-8")
    assert "\\input" not in latex
    assert "\\write" not in latex


def test_tables_of_the_grids_are_escaped_too():
    entry = {"scores": {}, "KAR": 1.0, "ROAR": -1.0, "SUM": 0.0, "seconds": 0.1}
    for name in EVIL:
        tables = retraining_tables({name: entry}, ["keep"], [0.1], name)
        tables += layer_tables({name: {"keep": [0.5], "remove": [0.5], "D": 0.0, "I": 0.0}}, [1], name)
        for table in tables:
            Console(file=io.StringIO()).print(to_terminal(table))
        for line in markdown_file(tables).splitlines():
            assert "<" not in line
            assert "](" not in line


def test_text_that_is_no_unicode_is_written(tmp_path):
    write_text(tmp_path / "a", "half \ud800 a character")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "half ? a character"
    write_text(tmp_path / "b", "a byte \udce4")
    assert (tmp_path / "b").read_bytes() == b"a byte \xe4"


def test_no_two_names_share_a_file():
    names = ["a b", "a_b", "a!b", "A_B", "SmoothGrad²", "SmoothGrad³", "x" * 300, "x" * 301, "../up", ".", "熊猫", "熊"]
    found = file_names(names, taken=["gallery"])
    assert len({name.casefold() for name in found.values()}) == len(names)
    assert found["a b"] == "a_b"  # as it always was
    assert all(0 < len(name.encode()) <= 120 and "/" not in name for name in found.values())
    assert file_names(["gallery"], taken=["gallery"])["gallery"] != "gallery"
