"""The tables in LaTeX, for a paper: booktabs, intervals in brackets, the best in bold."""

from typing import Any

from explainer.evaluation.report.tables import Cell, Grid, grids
from explainer.files import for_latex


def latex(content: dict[str, Any]) -> str:
    """The tables of results.json, each a `tabular` below the other.

    Args:
        content: Content of results.json.

    Returns:
        LaTeX that needs the package booktabs.
    """
    head = "% needs \\usepackage{booktabs}; bold: best of the column, a dagger: not distinguishable from it\n"
    return head + "\n".join(_tabular(grid, content) for grid in grids(content))


def _tabular(grid: Grid, content: dict[str, Any]) -> str:
    header = " & ".join(["Method", *(for_latex(f"{c.label} {c.arrow}".strip()) for c in grid.columns)])
    lines = [
        f"% {for_latex(grid.title)}",
        rf"\begin{{tabular}}{{l{'r' * len(grid.columns)}}}",
        r"\toprule",
        header + r" \\",
    ]
    lines.append(r"\midrule")
    lines += [" & ".join([for_latex(row.name), *(_cell(c) for c in row.cells)]) + r" \\" for row in grid.rows]
    of_paper = [(row.name, [c.published for c in row.cells]) for row in grid.rows]
    of_paper += [(row.name, [c.text for c in row.cells]) for row in grid.published]
    known = [(name, texts) for name, texts in of_paper if any(t not in ("", "–") for t in texts)]
    if known:
        said = content["published"]
        where = for_latex(", ".join(str(said[k]) for k in ("source", "where") if said.get(k)))
        lines += [r"\midrule", rf"\multicolumn{{{len(grid.columns) + 1}}}{{l}}{{\emph{{Published: {where}}}}} \\"]
        lines += [
            " & ".join([rf"\emph{{{for_latex(n)}}}", *(rf"\emph{{{for_latex(t or '–')}}}" for t in ts)]) + r" \\"
            for n, ts in known
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(cell: Cell) -> str:
    number = for_latex(cell.text)
    number = rf"\textbf{{{number}}}" if cell.mark == "best" else number
    number += r"\textsuperscript{\textdagger}" if cell.mark == "tied" else ""
    return number + (rf" {{\scriptsize {for_latex(cell.interval)}}}" if cell.interval else "")
