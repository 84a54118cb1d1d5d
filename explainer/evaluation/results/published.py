"""A paper's own numbers, which stand beside ours, marked, and change no result."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from explainer.errors import InputError

MARK = "(paper)"
"""Behind the name of a row that nobody measured here."""


@dataclass(frozen=True)
class Published:
    """Numbers as a paper prints them, in the unit of our columns (those in percent in percent).

    Args:
        source: Authors, venue, year, table.
        rows: Method → column → number; methods of ours have our name for them.
        where: On which images and classifier.
        classes: Classes of `matrix`.
        matrix: Method → a row a class, in percent: without a mask, then with the mask of each class.

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
            if len(rows) != count or any(len(row) != 1 + count for row in rows):
                raise InputError(f"published.matrix: {name!r} needs {count} rows, one a class, of {1 + count} numbers")

    def content(self) -> dict[str, Any] | None:
        """What results.json says; nothing of a matrix alone, which says itself whose it is."""
        if not self.rows:
            return None
        return {"source": self.source, "where": self.where, "rows": self.rows}

    def matrices(self) -> dict[str, dict[str, Any]]:
        """The matrices as results.json has ours: in [0, 1], under names that are marked."""
        note = f"Published by {', '.join(said for said in (self.source, self.where) if said)}; not measured here."
        return {
            f"{name} {MARK}": {"classes": self.classes, "values": shares(rows), "note": note}
            for name, rows in self.matrix.items()
        }


def shares(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Percentages as parts of 1.

    Example:
        >>> shares([[20.57, 100]])
        [[0.2057, 1.0]]
    """
    return [[round(value / 100, 6) for value in row] for row in rows]


def check_columns(published: Published | None, known: Collection[str], key: str) -> None:
    """Refuse numbers of columns that there are not.

    Args:
        published: Or None.
        known: The columns.
        key: Key of the config, for the error.

    Raises:
        InputError: Names the key, the column and the known ones.

    Example:
        >>> check_columns(Published("A", {"RISE": {"acc": 50}}), ["acc"], "evaluation.report.published")
    """
    for name, numbers in ({} if published is None else published.rows).items():
        for column in numbers:
            if column not in known:
                raise InputError(f"{key}: {name!r} has the column {column!r}, which is none of {', '.join(known)}")


def printed(value: Any) -> str:
    """A number as the paper prints it, but for zeros at its end.

    Example:
        >>> printed(-0.85), printed(100)
        ('−0.85', '100')
    """
    return f"{value:g}".replace("-", "−") if isinstance(value, int | float) else str(value)


def published_rows(published: Mapping[str, Any] | None, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows of a table that a paper prints; the tables mark them.

    Args:
        published: Published numbers of results.json, or None.
        columns: Columns of the table, without that of the names.

    Returns:
        Of each method with a number in one of these columns: its name, and a number or a dash for each.

    Example:
        >>> published_rows({"rows": {"RISE": {"a": 5.5}, "LIME": {"c": 1}}}, ["a", "b"])
        [['RISE', '5.5', '–']]
    """
    rows = (published or {}).get("rows") or {}
    return [
        [name, *(printed(numbers[c]) if c in numbers else "–" for c in columns)]
        for name, numbers in rows.items()
        if set(columns) & set(numbers)
    ]


def reference(published: Mapping[str, Any] | None) -> str:
    """What marked rows are, in a sentence without its full stop, or nothing.

    Example:
        >>> reference({"source": "A. Author, 2020", "where": "VOC", "rows": {"RISE": {"a": 1}}})
        '(paper): printed by A. Author, 2020 (VOC), not measured here'
    """
    if not published or not published.get("rows"):
        return ""
    where = f" ({published['where']})" if published.get("where") else ""
    return f"{MARK}: printed by {published['source']}{where}, not measured here"
