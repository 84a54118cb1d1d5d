"""A table as plain values.

Whoever makes a table escapes nothing and knows no format; `printers` shows it in a terminal, in Markdown, in LaTeX, in
HTML and in wandb.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from explainer.evaluation.report.columns import Column
from explainer.evaluation.results.published import published_rows

Mark = Literal["", "best", "tied"]
"""How a number compares with the others of its column."""
MARKS: dict[Mark, str] = {"best": "best of the column", "tied": "not distinguishable from the best"}
Note = Literal["best", "tied", "interval", "published"]
"""What a footnote explains; each printer puts the sign before it that it uses in the cells."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of a number.

    Attributes:
        low: Lower end, as in results.json.
        high: Upper end, as in results.json.
        ends: Both ends in the unit of the column, such as "[41.0, 52.0]".
        half: Half the width in the unit of the column, such as "±5.5".
    """

    low: float
    high: float
    ends: str
    half: str = ""


@dataclass(frozen=True)
class Cell:
    """A number, or words, as a table shows it.

    Attributes:
        text: Number with its digits, or a dash.
        value: Number to sort by, or None.
        interval: Interval of the number, or None.
        mark: Whether the number is the best of its column, or not told from it.
        published: Number that a paper prints for the same, or nothing.
    """

    text: str
    value: float | None = None
    interval: Interval | None = None
    mark: Mark = ""
    published: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        name: Name of what was measured, such as a method.
        cells: A cell for each column.
        reference: Whether the row comes from the annotation and is not ranked.
    """

    name: str
    cells: Sequence[Cell]
    reference: bool = False


@dataclass(frozen=True)
class Heading:
    """The head of a column of numbers.

    Attributes:
        label: Words without the arrow.
        arrow: Direction in which numbers get better, "↑" or "↓", or nothing.
        column: Column of results.json, which knows what it means; None for a column that no page explains.
    """

    label: str
    arrow: str = ""
    column: Column | None = None

    @property
    def text(self) -> str:
        """The label with the arrow behind it."""
        return f"{self.label} {self.arrow}".rstrip()

    @property
    def key(self) -> str:
        """The column's name in results.json, or the label."""
        return self.label if self.column is None else self.column.key


@dataclass(frozen=True)
class Table:
    """Rows of numbers under headings.

    Attributes:
        title: Title, without a full stop.
        names: Heading above the names of the rows.
        columns: Headings of the numbers.
        rows: Rows that were measured here.
        published: Rows that a paper prints.
        source: Paper whose numbers `published` and the cells show.
        caption: What the numbers are of, without the last full stop.
        notes: What the signs in the cells mean.
    """

    title: str
    names: str
    columns: Sequence[Heading]
    rows: Sequence[Row]
    published: Sequence[Row] = ()
    source: str = ""
    caption: str = ""
    notes: Mapping[Note, str] = field(default_factory=dict)


def text_row(name: str, texts: Sequence[str]) -> Row:
    """Return a row whose cells are only read, neither sorted nor marked.

    Args:
        name: Name of the row.
        texts: Texts of the cells.

    Example:
        >>> text_row("RISE", ["0.5"]).cells[0].text
        '0.5'
    """
    return Row(name, [Cell(text) for text in texts])


def paper_rows(published: Mapping[str, Any] | None, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a paper that have a number in one of these columns.

    Args:
        published: Published numbers of results.json, or None.
        columns: Names of the columns in results.json; "" for one that no paper prints.

    Example:
        >>> [cell.text for cell in paper_rows({"rows": {"RISE": {"a": 5.5}}}, ["a", ""])[0].cells]
        ['5.5', '–']
    """
    return [text_row(name, texts) for name, *texts in published_rows(published, columns)]
