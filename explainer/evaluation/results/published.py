"""A paper's own numbers, which stand beside ours, marked, and change no result."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from explainer.errors import InputError
from explainer.evaluation.results.content import PublishedContent, PublishedMatrix

MARK = "(paper)"
"""Mark behind the name of a row that nobody measured here."""


@dataclass(frozen=True)
class Published:
    """Numbers as a paper prints them, in the unit of our columns (those in percent in percent).

    Args:
        source: Authors, venue, year, table.
        rows: Method → column → number; methods of ours have our name for them.
        where: Images and classifier of the paper.
        classes: Classes of `matrix`.
        matrix: Method → rows, one a class, in percent: without a mask, then with the mask of each class.

    Raises:
        InputError: A row of the matrix has not as many numbers as there are classes, and one more.

    Example:
        >>> Published("A. Author, 2020, Table 1", {"RISE": {"acc": 56.98}}).content()
        {'source': 'A. Author, 2020, Table 1', 'where': '', 'rows': {'RISE': {'acc': 56.98}}}
    """

    source: str
    rows: dict[str, dict[str, int | float]] = field(default_factory=dict)
    where: str = ""
    classes: list[str] = field(default_factory=list)
    matrix: dict[str, list[list[int | float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.classes)
        for name, rows in self.matrix.items():
            # a row has a number for the image without a mask, too
            lengths = {len(row) for row in rows}
            if len(rows) != count or lengths - {1 + count}:
                raise InputError(f"published.matrix: {name!r} needs {count} rows, one a class, of {1 + count} numbers")

    def content(self) -> PublishedContent | None:
        """Return what results.json says; None for a matrix alone, which says itself whose it is."""
        if not self.rows:
            return None
        return {"source": self.source, "where": self.where, "rows": self.rows}

    def matrices(self) -> dict[str, PublishedMatrix]:
        """Return the matrices as results.json has ours: in [0, 1], under names that are marked."""
        source = ", ".join(text for text in (self.source, self.where) if text)
        note = f"Published by {source}; not measured here."
        marked: dict[str, PublishedMatrix] = {}
        for name, rows in self.matrix.items():
            # the mark keeps a paper's matrix apart from ours of the same method
            values = shares(rows)
            marked[f"{name} {MARK}"] = {"classes": self.classes, "values": values, "note": note}
        return marked


def shares(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Turn percentages into parts of 1.

    Args:
        rows: Percentages.

    Example:
        >>> shares([[20.57, 100]])
        [[0.2057, 1.0]]
    """
    parts = []
    for row in rows:
        # 6 digits, as our own matrices have: 20.57 / 100 is not 0.2057 in binary
        parts.append([round(value / 100, 6) for value in row])
    return parts


def check_columns(published: Published | None, known: Collection[str], key: str) -> None:
    """Refuse published numbers of a column that does not exist.

    Args:
        published: Published numbers, or None.
        known: Names of the columns.
        key: Key of the config, for the error.

    Raises:
        InputError: Names the key, the column and the known ones.

    Example:
        >>> check_columns(Published("A", {"RISE": {"acc": 50}}), ["acc"], "evaluation.report.published")
    """
    if published is None:
        return
    for name, numbers in published.rows.items():
        for column in numbers:
            if column not in known:
                names = ", ".join(known)
                raise InputError(f"{key}: {name!r} has the column {column!r}, which is none of {names}")


def printed(value: Any) -> str:
    """Write a number as the paper prints it, but for zeros at its end.

    Args:
        value: Number, or what a file holds in its place.

    Example:
        >>> printed(-0.85), printed(100)
        ('−0.85', '100')
    """
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:g}".replace("-", "−")


def published_rows(published: Mapping[str, Any] | None, columns: Sequence[str]) -> list[list[str]]:
    """Lay out the rows of a table that a paper prints; the tables mark them.

    Args:
        published: Published numbers of results.json, or None.
        columns: Columns of the table, without that of the names.

    Returns:
        A row of each method with a number in one of these columns: its name, and a number or a dash for each.

    Example:
        >>> published_rows({"rows": {"RISE": {"a": 5.5}, "LIME": {"c": 1}}}, ["a", "b"])
        [['RISE', '5.5', '–']]
    """
    if published is None:
        return []
    rows = []
    for name, numbers in (published.get("rows") or {}).items():
        if not set(columns) & set(numbers):
            continue  # the method stands in another table
        cells = [printed(numbers[column]) if column in numbers else "–" for column in columns]
        rows.append([name, *cells])
    return rows


def reference(published: Mapping[str, Any] | None) -> str:
    """Say what marked rows are, in a sentence without its full stop; the empty text where there are none.

    Args:
        published: Published numbers of results.json, or None.

    Example:
        >>> reference({"source": "A. Author, 2020", "where": "VOC", "rows": {"RISE": {"a": 1}}})
        '(paper): printed by A. Author, 2020 (VOC), not measured here'
    """
    if not published or not published.get("rows"):
        return ""
    where = f" ({published['where']})" if published.get("where") else ""
    return f"{MARK}: printed by {published['source']}{where}, not measured here"
