"""How a `Table` is shown: in a terminal, in Markdown, in LaTeX, in HTML and in wandb.

Names of methods, classes and files may hold anything. They are escaped here and nowhere else, once for each format.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from rich.table import Table as TerminalTable

from explainer.evaluation.report.html import template
from explainer.evaluation.report.table import MARKS, Cell, Row, Table
from explainer.evaluation.results.published import MARK
from explainer.files import for_latex, for_markdown, for_terminal

if TYPE_CHECKING:
    import wandb

SIGNS = {"": "", "best": " *", "tied": " ~"}
"""Mark → the sign behind the number, where there are neither colours nor bold type."""
LATEX_HEAD = "% needs \\usepackage{booktabs}; bold: best of the column, a dagger: not distinguishable from it\n"


def to_terminal(table: Table) -> TerminalTable:
    """Return a table for a terminal; of an interval half the width is shown, since a terminal is narrow."""
    caption = footnote(table, "±")
    title = for_terminal(table.title)
    printed = TerminalTable(title=title, caption=for_terminal(caption) if caption else None)
    printed.add_column(for_terminal(table.names))
    for heading in table.columns:
        printed.add_column(for_terminal(heading.text), justify="right")
    for row in table.rows:
        cells = [_terminal_cell(cell) for cell in row.cells]
        printed.add_row(for_terminal(row.name), *cells)
    for row in table.published:
        printed.add_row(*(for_terminal(text) for text in _paper_texts(row)))
    return printed


def _terminal_cell(cell: Cell) -> str:
    """Return the markup of a cell, the best in bold."""
    text = cell.text
    if cell.interval is not None:
        text = f"{text} {cell.interval.half}"
    # the mark's sign as well as bold type: a file or a log has no bold type
    text = for_terminal(text + SIGNS[cell.mark])
    return f"[bold]{text}[/bold]" if cell.mark == "best" else text


def to_markdown(table: Table) -> str:
    """Return a table in Markdown without its title; of an interval both ends are shown.

    Example:
        >>> from explainer.evaluation.report.table import Heading, text_row
        >>> to_markdown(Table("t", "a", [Heading("b", "↑")], [text_row("x", ["1"])])).splitlines()
        ['| a | b ↑ |', '| --- | ---: |', '| x | 1 |']
    """
    lines = [
        _markdown_line([table.names, *(heading.text for heading in table.columns)]),
        "| --- |" + " ---: |" * len(table.columns),
    ]
    for row in table.rows:
        texts = [_markdown_text(cell) for cell in row.cells]
        lines.append(_markdown_line([row.name, *texts]))
    for row in table.published:
        lines.append(_markdown_line(_paper_texts(row)))
    text = "\n".join(lines) + "\n"
    caption = footnote(table, "[]")
    if caption:
        text += f"\n{for_markdown(caption)}\n"
    return text


def _markdown_line(texts: Iterable[str]) -> str:
    """Return a line of a table in Markdown."""
    return f"| {' | '.join(for_markdown(text) for text in texts)} |"


def _markdown_text(cell: Cell) -> str:
    """Return what a cell says in Markdown, not yet escaped."""
    text = cell.text
    if cell.interval is not None:
        text = f"{text} {cell.interval.ends}"
    return text + SIGNS[cell.mark]


def _paper_texts(row: Row) -> list[str]:
    """Return the texts of a paper's row, whose name says that nobody measured it here."""
    return [f"{row.name} {MARK}", *(cell.text for cell in row.cells)]


def markdown_file(tables: Iterable[Table]) -> str:
    """Return tables in Markdown, one below the other.

    Args:
        tables: Tables, whose captions say what they are of.
    """
    return "\n".join(to_markdown(table) for table in tables)


def footnote(table: Table, interval_sign: str) -> str:
    """Return the caption of a table, and what the signs in its cells mean.

    Args:
        table: Table with caption and notes; without both there is no footnote.
        interval_sign: Sign with which the printer shows intervals.

    Returns:
        Sentences, not yet escaped.
    """
    # what a paper's rows are begins with the mark of their names, which is the same everywhere
    signs = {"best": "* ", "tied": "~ ", "interval": f"{interval_sign} ", "published": ""}
    notes = [f"{signs[kind]}{text}" for kind, text in table.notes.items()]
    sentences = (table.caption, "; ".join(notes))
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def latex_file(tables: Iterable[Table]) -> str:
    """Return tables in LaTeX, a `tabular` each; the package booktabs is needed.

    Args:
        tables: Tables, one below the other.
    """
    return LATEX_HEAD + "\n".join(to_latex(table) for table in tables)


def to_latex(table: Table) -> str:
    """Return a table as a `tabular`, the best in bold, a paper's numbers below ours."""
    lines = [
        f"% {for_latex(table.title)}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        _latex_line([for_latex(table.names), *(for_latex(heading.text) for heading in table.columns)]),
        r"\midrule",
    ]
    for row in table.rows:
        cells = [_latex_cell(cell) for cell in row.cells]
        lines.append(_latex_line([for_latex(row.name), *cells]))
    paper = _latex_paper_rows(table)
    if paper:
        width = len(table.columns) + 1
        source = rf"\emph{{Published: {for_latex(table.source)}}}"
        heading = rf"\multicolumn{{{width}}}{{l}}{{{source}}}"
        lines += [r"\midrule", _latex_line([heading]), *paper]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_line(cells: Iterable[str]) -> str:
    """Return a line of a `tabular` from cells in LaTeX."""
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
    """Return a number with its mark and its interval."""
    number = for_latex(cell.text)
    if cell.mark == "best":
        number = rf"\textbf{{{number}}}"
    elif cell.mark == "tied":
        number += r"\textsuperscript{\textdagger}"
    if cell.interval is not None:
        number += rf" {{\scriptsize {for_latex(cell.interval.ends)}}}"
    return number


def _latex_paper_rows(table: Table) -> list[str]:
    """Return a paper's numbers, those beside ours first, since a `tabular` has no room for two numbers in a cell."""
    beside = [(row.name, [cell.published for cell in row.cells]) for row in table.rows]
    below = [(row.name, [cell.text for cell in row.cells]) for row in table.published]
    lines = []
    for name, texts in beside + below:
        if any(text not in ("", "–") for text in texts):
            cells = [name, *(text or "–" for text in texts)]
            lines.append(_latex_line(rf"\emph{{{for_latex(cell)}}}" for cell in cells))
    return lines


def to_html(table: Table, number: int) -> Markup:
    """Return a table for the page, which its script sorts, with the meaning of every column behind a button.

    Args:
        table: Table; a heading without a `Column` has nothing to explain.
        number: Number of the table on its page, which makes the ids of its elements unique.
    """
    # the template has escaped what comes from outside: the page must not escape it again
    return Markup(template("table.html").render(table=table, number=number, marks=MARKS))


def to_wandb(table: Table) -> "wandb.Table":
    """Return a table of plain numbers, with the ends of intervals in columns of their own."""
    import wandb  # late: it takes a second, for which those who do not use it do not wait

    bounded = []
    for place in range(len(table.columns)):
        column = [row.cells[place] for row in table.rows]
        bounded.append(any(cell.interval is not None for cell in column))
    # charts in wandb refer to columns by these names: they are keys, as in results.json
    header: list[str | int] = [table.names.lower()]
    for heading, has_ends in zip(table.columns, bounded, strict=True):
        header.append(heading.key)
        if has_ends:
            header += [f"{heading.key} low", f"{heading.key} high"]
    printed = wandb.Table(columns=header)
    for row in table.rows:
        printed.add_data(row.name, *_wandb_numbers(row.cells, bounded))
    return printed


def _wandb_numbers(cells: Sequence[Cell], bounded: Sequence[bool]) -> list[Any]:
    """Return the numbers of a row, with both ends where the column has intervals."""
    numbers: list[Any] = []
    for cell, has_ends in zip(cells, bounded, strict=True):
        numbers.append(cell.value)
        if has_ends and cell.interval is None:
            numbers += [None, None]
        elif has_ends and cell.interval is not None:
            numbers += [cell.interval.low, cell.interval.high]
    return numbers
