"""The tables of a report, from results.json: how good maps are, what the classifier makes of them, what they cost."""

from collections.abc import Sequence

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.report.columns import Column, costs, decisions, quality
from explainer.evaluation.report.numbers import formatted
from explainer.evaluation.report.table import Cell, Heading, Interval, Mark, Row, Table, paper_rows
from explainer.evaluation.results.content import Content, CostSummary, MethodResults
from explainer.evaluation.results.intervals import is_doubtful
from explainer.evaluation.results.published import printed

WIDEST = 7
"""Columns of numbers in one table: more would be cut on paper."""


def report_tables(content: Content) -> list[Table]:
    """Return the tables of a report.

    Args:
        content: Content of results.json; keys that a run may not have are not needed.

    Returns:
        Tables of at most `WIDEST` columns.

    Example:
        >>> tables = report_tables({"results": {"a": {"scores": {"iou": 0.5}}, "b": {"scores": {"iou": 0.25}}}})
        >>> [(row.name, row.cells[0].text, row.cells[0].mark) for row in tables[0].rows]
        [('a', '50.0', 'best'), ('b', '25.0', '')]
    """
    content = with_costs(content)
    parts = {"Quality": quality(content), "The classifier on masked images": decisions(content), "Cost": costs(content)}
    tables = []
    for title, columns in parts.items():
        count = -(-len(columns) // WIDEST)
        for place in range(count):
            # tables of about the same width each, rather than full ones and a narrow last one
            start = place * len(columns) // count
            end = (place + 1) * len(columns) // count
            name = title
            if count > 1:
                name = f"{title}, {place + 1} of {count}"
            tables.append(method_table(content, name, columns[start:end]))
    return tables


def method_table(content: Content, title: str, columns: Sequence[Column]) -> Table:
    """Return a table with a row for each method.

    Args:
        content: Content of results.json.
        title: Title of the table.
        columns: Columns of numbers.

    Returns:
        The table. Numbers that a paper prints for a method of ours stand beside ours, its other methods below.
    """
    results = content["results"]
    best = [best_of(content, column) for column in columns]
    rows = []
    for name in results:
        if name == ORIGINAL:
            continue
        cells = []
        for column, names in zip(columns, best, strict=True):
            mark = mark_of(content, column, name, names)
            cells.append(_cell(content, column, name, mark))
        rows.append(Row(name, cells, name in ANNOTATED))
    published = content.get("published") or {}
    sources = [str(published[key]) for key in ("source", "where") if published.get(key)]
    headings = [Heading(column.label, column.arrow, column) for column in columns]
    theirs = paper_rows(published, [column.key for column in columns])
    others = [row for row in theirs if row.name not in results]
    return Table(title, "Method", headings, rows, others, ", ".join(sources))


def with_costs(content: Content) -> Content:
    """Return the content, with seconds as a cost where a run knows no other."""
    results: dict[str, MethodResults] = {}
    for name, entry in content["results"].items():
        cost: CostSummary = entry.get("cost") or {}
        seconds = entry.get("seconds")
        if not cost and seconds is not None:
            # early versions measured the time alone
            cost = {"ms": 1000 * seconds}
        results[name] = {**entry, "cost": cost}
    return {**content, "results": results}


def _cell(content: Content, column: Column, name: str, mark: Mark) -> Cell:
    """Return a method's number in a column, with the paper's own."""
    entry = content["results"][name]
    value = column.of(entry)
    ends = column.interval(entry)
    interval = None
    if ends is not None:
        low, high = ends
        in_brackets = f"[{formatted(low, column.kind)}, {formatted(high, column.kind)}]"
        interval = Interval(low, high, in_brackets)
    rows = (content.get("published") or {}).get("rows") or {}
    numbers = rows.get(name, {})
    published = printed(numbers[column.key]) if column.key in numbers else ""
    return Cell(formatted(value, column.kind), value, interval, mark, published)


def best_of(content: Content, column: Column) -> list[str]:
    """Return the methods with the best number of a column, references left out; none where no direction is better."""
    # areas and costs are no merits of a map: the empty mask would be the best of all
    if column.up is None or not column.ranked:
        return []
    known = {}
    for name, entry in content["results"].items():
        value = column.of(entry)
        if value is not None and name not in (ORIGINAL, *ANNOTATED):
            known[name] = value
    if not known:
        return []
    top = max(known.values()) if column.up else min(known.values())
    return [name for name, value in known.items() if value == top]


def mark_of(content: Content, column: Column, name: str, best: Sequence[str]) -> Mark:
    """Return the mark of a method's number in a column.

    Args:
        content: Content of results.json.
        column: Column of the number.
        name: Name of the method.
        best: Names of the methods with the best number.
    """
    if column.of(content["results"][name]) is None:
        return ""
    if name in best:
        return "best"
    return "tied" if tied(content, column, name, best) else ""


def tied(content: Content, column: Column, name: str, best: Sequence[str]) -> bool:
    """Return whether a paired test finds no difference between a method and the best of a column.

    Args:
        content: Content of results.json, with "pairs".
        column: Column of a metric.
        name: Name of a method.
        best: Names of the methods with the best number.

    Returns:
        False where there was no such test.
    """
    pairs = (content.get("pairs") or {}).get(column.key) or {}
    pair = pairs.get(name)
    # a test against a method that is not the best any more says nothing
    if not pair or pair.get("against") not in best or name in best or name in ANNOTATED:
        return False
    return is_doubtful(pair)
