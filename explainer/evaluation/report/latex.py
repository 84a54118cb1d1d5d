"""The tables in LaTeX, for a paper: booktabs, intervals in brackets, the best in bold."""

from typing import Any

from explainer.evaluation.report.tables import Cell, Grid, grids

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "−": r"\ensuremath{-}", "×": r"\ensuremath{\times}", "²": r"\textsuperscript{2}", "↑": r"\ensuremath{\uparrow}",
    "↓": r"\ensuremath{\downarrow}", "–": "--", "\u202f": r"\,", "α": r"\ensuremath{\alpha}", "\n": " ",
}  # fmt: skip


def escaped(text: str) -> str:
    r"""Text as LaTeX prints it.

    Example:
        >>> escaped("50 % of a_b")
        '50 \\% of a\\_b'
    """
    return "".join(_SPECIAL.get(c, c) for c in text)


def latex(content: dict[str, Any]) -> str:
    """The tables of results.json, each a `tabular` below the other.

    Args:
        content: Of results.json.

    Returns:
        LaTeX that needs the package booktabs.
    """
    head = "% needs \\usepackage{booktabs}; bold: best of the column, a dagger: not distinguishable from it\n"
    return head + "\n".join(_tabular(grid, content) for grid in grids(content))


def _tabular(grid: Grid, content: dict[str, Any]) -> str:
    header = " & ".join(["Method", *(escaped(f"{c.label} {c.arrow}".strip()) for c in grid.columns)])
    lines = [
        f"% {escaped(grid.title)}",
        rf"\begin{{tabular}}{{l{'r' * len(grid.columns)}}}",
        r"\toprule",
        header + r" \\",
    ]
    lines.append(r"\midrule")
    lines += [" & ".join([escaped(row.name), *(_cell(c) for c in row.cells)]) + r" \\" for row in grid.rows]
    of_paper = [(row.name, [c.published for c in row.cells]) for row in grid.rows]
    of_paper += [(row.name, [c.text for c in row.cells]) for row in grid.published]
    known = [(name, texts) for name, texts in of_paper if any(t not in ("", "–") for t in texts)]
    if known:
        said = content["published"]
        where = escaped(", ".join(str(said[k]) for k in ("source", "where") if said.get(k)))
        lines += [r"\midrule", rf"\multicolumn{{{len(grid.columns) + 1}}}{{l}}{{\emph{{Published: {where}}}}} \\"]
        lines += [
            " & ".join([rf"\emph{{{escaped(n)}}}", *(rf"\emph{{{escaped(t or '–')}}}" for t in ts)]) + r" \\"
            for n, ts in known
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(cell: Cell) -> str:
    number = escaped(cell.text)
    number = rf"\textbf{{{number}}}" if cell.mark == "best" else number
    number += r"\textsuperscript{\textdagger}" if cell.mark == "tied" else ""
    return number + (rf" {{\scriptsize {escaped(cell.interval)}}}" if cell.interval else "")
