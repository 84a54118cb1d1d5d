"""The tables of a report as plain values: numbers with intervals, the best marked, the paper's own beside them."""

from typing import Any, NamedTuple

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.report.columns import Column, costs, decisions, quality
from explainer.evaluation.results.published import printed

WIDEST = 7
"""Columns of numbers in one table: more would be cut on paper."""
LEVEL = 0.05
"""Of the paired tests: above it a difference is not called one."""
MARKS = {"best": "best of the column", "tied": "not distinguishable from the best"}


class Cell(NamedTuple):
    """A number as the table shows it.

    Attributes:
        text: The number, or a dash.
        value: To sort by, or None.
        interval: Such as "[0.41, 0.52]", or nothing.
        mark: "best", "tied" or nothing.
        published: The paper's own number, or nothing.
    """

    text: str
    value: float | None = None
    interval: str = ""
    mark: str = ""
    published: str = ""


class Row(NamedTuple):
    """A method, and a cell for each column; what the annotation gives is a reference that is not ranked."""

    name: str
    cells: list[Cell]
    reference: bool = False


class Grid(NamedTuple):
    """One table; `published` are rows of the paper for which we have no method."""

    title: str
    columns: list[Column]
    rows: list[Row]
    published: list[Row]


def grids(content: dict[str, Any]) -> list[Grid]:
    """The tables: how good the maps are, what the classifier makes of masked images, what a map costs.

    Args:
        content: Content of results.json; keys that a run may not have are not needed.

    Returns:
        Tables of at most `WIDEST` columns.

    Example:
        >>> found = grids({"results": {"a": {"iou": 0.5, "area": 0.1}, "b": {"iou": 0.25, "area": 0.2}}})
        >>> [(row.name, row.cells[0].text, row.cells[0].mark) for row in found[0].rows]
        [('a', '50.0', 'best'), ('b', '25.0', '')]
    """
    found = []
    content = with_costs(content)
    parts = {"Quality": quality(content), "The classifier on masked images": decisions(content), "Cost": costs(content)}
    for title, columns in parts.items():
        count = -(-len(columns) // WIDEST)
        for n in range(count):  # of about the same width each
            some = columns[n * len(columns) // count : (n + 1) * len(columns) // count]
            name = f"{title}, {n + 1} of {count}" if count > 1 else title
            found.append(Grid(name, some, _rows(content, some), _published_rows(content, some)))
    return found


def with_costs(content: dict[str, Any]) -> dict[str, Any]:
    """The content, with seconds as a cost where a run knows no other."""
    results = {}
    for name, entry in content["results"].items():
        seconds = entry.get("seconds")
        cost = entry.get("cost") or ({} if seconds is None else {"ms": 1000 * seconds})
        results[name] = {**entry, "cost": cost}
    return {**content, "results": results}


def _rows(content: dict[str, Any], columns: list[Column]) -> list[Row]:
    results = content["results"]
    best = {column.key: best_of(content, column) for column in columns}
    rows = []
    for name, entry in results.items():
        if name != ORIGINAL:
            cells = [_cell(content, column, name, entry, best[column.key]) for column in columns]
            rows.append(Row(name, cells, name in ANNOTATED))
    return rows


def _cell(content: dict[str, Any], column: Column, name: str, entry: dict[str, Any], best: list[str]) -> Cell:
    value, interval = column.of(entry), column.interval(entry)
    mark = (
        ("best" if name in best else "tied" if tied(content, column, name, best) else "") if value is not None else ""
    )
    paper = ((content.get("published") or {}).get("rows") or {}).get(name, {}).get(column.key)
    said = "" if interval is None else f"[{shown(interval[0], column.kind)}, {shown(interval[1], column.kind)}]"
    return Cell(shown(value, column.kind), value, said, mark, "" if paper is None else printed(paper))


def _published_rows(content: dict[str, Any], columns: list[Column]) -> list[Row]:
    found = []
    for name, numbers in ((content.get("published") or {}).get("rows") or {}).items():
        if name not in content["results"] and any(c.key in numbers for c in columns):
            cells = [Cell(printed(numbers[c.key]) if c.key in numbers else "–") for c in columns]
            found.append(Row(name, cells))
    return found


def best_of(content: dict[str, Any], column: Column) -> list[str]:
    """The methods with the best number of a column, without the annotation's; none where no direction is better."""
    if column.up is None or not column.ranked:
        return []
    values = {n: column.of(e) for n, e in content["results"].items() if n not in (ORIGINAL, *ANNOTATED)}
    known = {name: value for name, value in values.items() if value is not None}
    top = (max if column.up else min)(known.values(), default=None)
    return [name for name, value in known.items() if value == top]


def tied(content: dict[str, Any], column: Column, name: str, best: list[str]) -> bool:
    """Whether a paired test finds no difference between a method and the best of a column.

    Args:
        content: Content of results.json, with "pairs".
        column: A metric.
        name: Name of a method.
        best: Best values of `best_of`.

    Returns:
        False where there was no such test.
    """
    pair = ((content.get("pairs") or {}).get(column.key) or {}).get(name)
    if not pair or pair.get("against") not in best or name in best or name in ANNOTATED:
        return False
    if pair.get("p") is not None:
        return pair["p"] >= LEVEL
    low, high = pair.get("interval") or (1, 1)
    return low <= 0 <= high


def shown(value: float | None, kind: str = "score") -> str:
    """A number as tables show it.

    Args:
        value: None is a dash.
        kind: Kind of a `Column`.

    Returns:
        The text, with a real minus.

    Example:
        >>> shown(0.5, "percent"), shown(-0.25), shown(12345.6, "ms"), shown(3 * 2**20, "bytes")
        ('50.0', '−0.250', '12\u202f346', '3.0 MiB')
    """
    if value is None:
        return "–"
    if kind == "percent":
        text = f"{100 * value:.1f}"
    elif kind == "bytes":
        text = f"{value / 2**20:.1f} MiB" if value < 2**30 else f"{value / 2**30:.2f} GiB"
    elif kind == "count":
        text = f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.1f}"
    elif kind == "ms":
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    else:
        text = f"{value:.3f}"
    return text.replace("-", "−").replace(",", "\u202f")
