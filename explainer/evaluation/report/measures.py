"""The figures of each measure of a report: every image's value with the interval, and quality against cost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.report.columns import Column, quality
from explainer.evaluation.report.numbers import formatted
from explainer.evaluation.report.scatter import scatter
from explainer.evaluation.report.svg import Scale, picture, tag
from explainer.evaluation.results.content import Content, MethodResults
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.rows import PlainRow

DOTS = 60
"""Images at most, evenly chosen, whose values are drawn for one method."""
WIDTH = 300.0
HEIGHT = 18.0
MIDDLE = HEIGHT / 2
MARGIN = 5.0


class Line(NamedTuple):
    """One method in a figure of intervals.

    Attributes:
        name: Name of the method.
        text: Mean over the images.
        svg: The figure.
    """

    name: str
    text: str
    svg: Markup


class Measure(NamedTuple):
    """The figures of one column.

    Attributes:
        column: Column of the measure.
        lines: A line for each method, the best first.
        ends: Numbers at the ends of the lines.
        wide: Quality against cost; nothing where no cost is known.
        narrow: The same for phones, with numbers for names.
        numbers: Names of the methods in the order of those numbers.
    """

    column: Column
    lines: list[Line]
    ends: tuple[str, str]
    wide: Markup
    narrow: Markup
    numbers: list[str]


def measures(content: Content, rows: Sequence[PlainRow]) -> list[Measure]:
    """Draw the figures of every measure that has numbers.

    Args:
        content: Content of results.json, with costs.
        rows: Rows of the results.

    Returns:
        The figures in the order of the columns.
    """
    held = Rows.over(rows)
    of_methods = {name: held.of(name) for name in content["results"]}
    figures = []
    for column in quality(content):
        entries = _best_first(content["results"], column)
        if not entries:
            continue
        lines, ends = _lines(column, entries, of_methods)
        # in the order of the table, as the numbers on a phone
        costly = {}
        for name, entry in content["results"].items():
            if name in entries and _has_cost(name, entry):
                costly[name] = entry
        wide = Markup("")
        narrow = Markup("")
        if costly:
            wide = scatter(column, costly, small=False)
            narrow = scatter(column, costly, small=True)
        figures.append(Measure(column, lines, ends, wide, narrow, list(costly)))
    return figures


def _best_first(results: Mapping[str, MethodResults], column: Column) -> dict[str, MethodResults]:
    """Return the results of methods with a number in a column, the best first."""
    values = {}
    for name, entry in results.items():
        value = column.of(entry)
        if name != ORIGINAL and value is not None:
            values[name] = value
    # where neither direction is better, the largest comes first
    order = sorted(values, key=lambda name: values[name], reverse=column.up is not False)
    return {name: results[name] for name in order}


def _has_cost(name: str, entry: MethodResults) -> bool:
    """Return whether a method's time can stand on a logarithmic axis; what the annotation gives costs nothing."""
    milliseconds = entry.get("cost", {}).get("ms") or 0
    return name not in ANNOTATED and milliseconds > 0


def _lines(
    column: Column,
    entries: Mapping[str, MethodResults],
    rows: Mapping[str, Rows],
) -> tuple[list[Line], tuple[str, str]]:
    """Draw a line for each method, and return them with the numbers at their ends."""
    values = {name: _image_values(rows[name], column.key) for name in entries}
    numbers = []
    for name, entry in entries.items():
        mean = column.of(entry) or 0.0
        ends = column.interval(entry) or []
        numbers += [*values[name], mean, *ends]
    low = min(numbers)
    high = max(numbers)
    if high == low:  # a range of one number is still a range
        low, high = low - 0.5, high + 0.5
    scale = Scale(low, high, MARGIN, WIDTH - MARGIN)
    lines = [_line(column, name, entry, values[name], scale) for name, entry in entries.items()]
    return lines, (formatted(low, column.kind), formatted(high, column.kind))


def _image_values(rows: Rows, key: str) -> list[float]:
    """Return a method's values of evenly chosen images."""
    values = [value for value in rows.values("scores", key) if value is not None]
    if len(values) <= DOTS:
        return values
    # more dots would lie over one another, and make the page large
    return [values[number * len(values) // DOTS] for number in range(DOTS)]


def _line(column: Column, name: str, entry: MethodResults, values: Sequence[float], scale: Scale) -> Line:
    """Draw a method's images (faint), interval (line) and mean (full)."""
    mean = column.of(entry) or 0.0
    parts = [tag("line", x1=scale.start, x2=scale.end, y1=MIDDLE, y2=MIDDLE, class_="c-grid")]
    for value in values:
        x = scale.place(value)
        parts.append(tag("circle", cx=x, cy=MIDDLE, r=2.2, class_="c-image"))
    interval = column.interval(entry)
    if interval:
        low, high = (scale.place(end) for end in interval)
        parts.append(tag("line", x1=low, x2=high, y1=MIDDLE, y2=MIDDLE, class_="c-interval"))
    # last, and so on top: SVG draws one element over the other
    parts.append(tag("circle", cx=scale.place(mean), cy=MIDDLE, r=3.6, class_="c-mean"))
    text = formatted(mean, column.kind)
    svg = picture(parts, WIDTH, HEIGHT, f"{name}: {column.label} {text}")
    return Line(name, text, svg)
