"""The results as a table in the terminal, and in Markdown for a README."""

from collections.abc import Mapping
from typing import Any, Literal

from rich.table import Table

from explainer.evaluation.references import ANNOTATED, ORIGINAL, left_out
from explainer.evaluation.results.columns import FIXED
from explainer.evaluation.results.published import published_rows, reference
from explainer.files import for_markdown, for_terminal

Columns = Mapping[str, Mapping[str, Any]]
Pairs = Mapping[str, Mapping[str, Mapping[str, Any]]]
Ends = Literal["", "±", "[]"]
"""How an interval is shown: not, by half its width, or by its ends."""
DOUBTFUL = 0.05
"""p from which a difference to the best is not told from chance."""


def rows_of(
    results: dict[str, Any],
    columns: Columns | None = None,
    pairs: Pairs | None = None,
    ends: Ends = "",
    published: Mapping[str, Any] | None = None,
) -> tuple[list[str], list[list[str]]]:
    """Header and cells; the best value of each score, references of the annotation left out, has a star.

    Args:
        results: Results of `summarise`.
        columns: Columns of `columns_of`; fixed ones are shown where some method has a value, the others always.
        pairs: Pairs of `summary.pairs`: what is not told from the best has a ~.
        ends: How intervals are shown.
        published: Published numbers of results.json.

    Returns:
        Header with the direction of each column, and a list a method; those of a paper come last, and are marked.
    """
    methods = [m for m in results if m != ORIGINAL]
    kind = "mAP" if "mAP" in results[ORIGINAL]["kept"] else "accuracy"
    known = {**FIXED, **(columns or {})}
    shown = {c: a for c, a in known.items() if c not in FIXED or any(results[m].get(c) is not None for m in methods)}
    levels = any(results[m].get("level") for m in methods)
    header = ["method", *(f"{a['label']} {'↑' if a['higher_is_better'] else '↓'}" for a in shown.values())]
    header += ["area", f"{kind} masked ↑", f"{kind} complement ↓", *(["α"] if levels else []), "ms an image"]
    best = {}
    for column, about in shown.items():
        values = [results[m][column] for m in methods if m not in ANNOTATED and results[m][column] is not None]
        best[column] = (max if about["higher_is_better"] else min)(values, default=None)
    cells = []
    for method in methods:
        entry = results[method]
        row = [method]
        for column, about in shown.items():
            text = with_interval(entry, column, about["percent"], ends)
            if method not in ANNOTATED and entry[column] is not None and entry[column] == best[column]:
                text += " *"
            elif (pairs or {}).get(column, {}).get(method, {}).get("p", 0) >= DOUBTFUL:
                text += " ~"
            row.append(text)
        row += [number(entry["area"]), number(entry["kept"].get(kind)), number(entry["removed"].get(kind))]
        row += [number((entry.get("level") or {}).get("alpha"), 1)] if levels else []
        cells.append([*row, number(entry["cost"]["ms"], 1)])
    printed = published_rows(published, [*shown, "area"])
    return header, cells + [[*row, *["–"] * (len(header) - len(row))] for row in printed]


def with_interval(entry: Mapping[str, Any], column: str, percent: bool, ends: Ends) -> str:
    """A score as the table shows it.

    Args:
        entry: Entry of a method.
        column: Column of the entry.
        percent: Show it times 100.
        ends: How its interval is shown.

    Example:
        >>> entry = {"acc": 0.5, "interval": {"acc": [0.48, 0.54]}}
        >>> [with_interval(entry, "acc", True, ends) for ends in ("", "±", "[]")]
        ['50.00', '50.00 ±3.0', '50.00 [48.0, 54.0]']
    """
    text = score_cell(entry[column], percent)
    found = entry.get("interval", {}).get(column)
    if not ends or not found:
        return text
    low, high = (100 * end if percent else end for end in found)
    digits = 1 if percent else 3
    return f"{text} ±{(high - low) / 2:.{digits}f}" if ends == "±" else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def score_cell(value: float | None, percent: bool) -> str:
    """A score without its interval.

    Example:
        >>> score_cell(0.5, True), score_cell(0.5, False)
        ('50.00', '0.500')
    """
    return number(100 * value, 2) if value is not None and percent else number(value)


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none.

    Example:
        >>> number(None), number(0.25)
        ('–', '0.250')
    """
    return "–" if value is None else f"{value:.{digits}f}"


def caption(results: dict[str, Any]) -> str:
    """What the table is of: images, how many had a segmentation, the classifier, and what went wrong, by method."""
    entry = results[ORIGINAL]
    said = ", ".join(f"{k} {number(v)}" for k, v in entry["kept"].items())
    annotated = max((results[m]["n"]["acc"] for m in results if m != ORIGINAL), default=0)
    text = f"{entry['images']} images, {annotated} with a segmentation; the classifier on the originals: {said}"
    text += "".join(f"; {words}" for words in (entry.get("truth") if annotated else "", entry.get("targets")) if words)
    for key, words in (("broken", "maps that were not finite, which count as 0"), ("failed", "images failed")):
        some = ", ".join(f"{results[m][key]} of {m}" for m in results if results[m].get(key))
        text += f"; {words}: {some}" if some else ""
    return text


def footnote(
    results: dict[str, Any], pairs: Pairs | None, ends: Ends, published: Mapping[str, Any] | None = None
) -> str:
    """The caption, and what the marks mean."""
    without = left_out(results)
    marks = [f"* best of the column{without and f', {without} left out'}"]
    if pairs and any(about["p"] >= DOUBTFUL for some in pairs.values() for about in some.values()):
        marks.append("~ not told from the best (p ≥ 0.05, paired sign flips, Holm)")
    if ends:
        marks.append(f"{ends} 95 % bootstrap intervals over images")
    marks += [reference(published)] if reference(published) else []
    return f"{caption(results)}. {'; '.join(marks)}."


def two_forms(title: str, header: list[str], rows: list[list[str]]) -> tuple[Table, str]:
    """The same cells for a terminal and in Markdown; the first column is of words, the others of numbers.

    Args:
        title: Title of the terminal's table.
        header: A word a column.
        rows: Cells of each row, as many as the header has.

    Returns:
        The table, and the Markdown without a title; every cell is escaped.

    Example:
        >>> two_forms("t", ["a", "b"], [["x", "1"]])[1].splitlines()
        ['| a | b |', '| --- | ---: |', '| x | 1 |']
    """
    table = Table(title=for_terminal(title))
    for i, column in enumerate(header):
        table.add_column(for_terminal(column), justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(for_terminal, row))
    lines = [f"| {' | '.join(map(for_markdown, row))} |" for row in (header, *rows)]
    lines.insert(1, "| --- |" + " ---: |" * (len(header) - 1))
    return table, "\n".join(lines)


def rich_table(
    results: dict[str, Any],
    title: str,
    columns: Columns | None = None,
    pairs: Pairs | None = None,
    intervals: bool = False,
    published: Mapping[str, Any] | None = None,
) -> Table:
    """The table for a terminal; of an interval half the width is shown."""
    ends: Ends = "±" if intervals else ""
    header, cells = rows_of(results, columns, pairs, ends, published)
    table = Table(title=for_terminal(title), caption=for_terminal(footnote(results, pairs, ends, published)))
    for i, name in enumerate(header):
        table.add_column(for_terminal(name), justify="right" if i else "left")
    for name, *numbers in cells:
        shown = (f"[bold]{for_terminal(n)}[/bold]" if n.endswith("*") else for_terminal(n) for n in numbers)
        table.add_row(for_terminal(name), *shown)
    return table


def markdown(
    results: dict[str, Any],
    columns: Columns | None = None,
    pairs: Pairs | None = None,
    intervals: bool = False,
    published: Mapping[str, Any] | None = None,
) -> str:
    """The table for a README; of an interval both ends are shown."""
    ends: Ends = "[]" if intervals else ""
    text = two_forms("", *rows_of(results, columns, pairs, ends, published))[1]
    return f"{text}\n\n{for_markdown(footnote(results, pairs, ends, published))}\n"
