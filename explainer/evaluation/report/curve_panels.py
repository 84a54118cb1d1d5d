"""The mean curves of a report: a small panel for each method, before the curves of all others."""

import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from explainer.evaluation.references import ORIGINAL
from explainer.evaluation.report.columns import Column, quality
from explainer.evaluation.report.numbers import formatted
from explainer.evaluation.report.svg import Scale, path, picture, tag, tick_text, ticks, together
from explainer.evaluation.results.content import Content, MethodResults
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.rows import PlainRow

WIDTH = 176.0
HEIGHT = 122.0
LEFT = 26.0
RIGHT = 170.0
TOP = 8.0
BOTTOM = 106.0


class Panel(NamedTuple):
    """A small figure of one method.

    Attributes:
        name: Name of the method.
        note: Number of the column, which is the area under the curve.
        svg: The figure.
    """

    name: str
    note: str
    svg: Markup


class Curves(NamedTuple):
    """The panels of one column.

    Attributes:
        column: Column of the metric.
        panels: A panel for each method with a curve.
    """

    column: Column
    panels: list[Panel]


def mean_curves(rows: Sequence[PlainRow], methods: Collection[str], column: str) -> dict[str, list[float]]:
    """Return the mean of the curves of each method's images.

    Curves with another number of steps than the most frequent one are left out: there is no mean of them.

    Args:
        rows: Rows of the results.
        methods: Names of the methods.
        column: Name of the metric below "curves".

    Returns:
        Method → mean curve, without methods that have none.

    Example:
        >>> rows = [{"method": "a", "curves": {"c": [0.0, v]}} for v in (0.5, 1.0)]
        >>> mean_curves(rows, ["a", "b"], "c")
        {'a': [0.0, 0.75]}
    """
    held = Rows.over(rows)
    lengths: Counter[int] = Counter()
    for method in held.names("method"):
        if method in methods:
            for some in _curves_of(held, method, column):
                lengths.update(map(len, some))
    usual = lengths.most_common(1)[0][0] if lengths else 0
    means = {}
    # the curves are made of their columns again: those of all methods at once could fill the memory
    for method in methods:
        tables = [np.zeros((0, usual))]
        for some in _curves_of(held, method, column):
            alike = [curve for curve in some if len(curve) == usual]
            tables += [np.array(alike)] if alike else []
        table = np.concatenate(tables)
        if len(table):
            # fmean sums exactly, whatever the order of the rows
            means[method] = [statistics.fmean(values.tolist()) for values in table.T]
    return means


def _curves_of(rows: Rows, method: str, column: str) -> Iterator[list[list[float]]]:
    """Yield the curves of a method's images, some at once; a row may lack one, or have one without a point."""
    for block in rows.of(method).blocks():
        yield [curve for curve in block.values(("curves", column)) if curve]


def curves(content: Content, rows: Sequence[PlainRow]) -> list[Curves]:
    """Draw a panel for each method and column with curves.

    Args:
        content: Content of results.json.
        rows: Rows of the results.

    Returns:
        The panels of each column; nothing where no row has a curve of two points or more.
    """
    held = Rows.over(rows)
    names = [place[1] for place in held.places("curves") if len(place) == 2]
    methods = [name for name in content["results"] if name != ORIGINAL]
    known = {column.key: column for column in quality(content)}
    groups = []
    for number, name in enumerate(names):
        of_methods = mean_curves(held, methods, name)
        # a curve of one point is none
        means = {method: curve for method, curve in of_methods.items() if len(curve) > 1}
        if means:
            column = known.get(name, Column((name,), name, None))
            panels = _panels(means, column, content["results"], f"curves-{number}")
            groups.append(Curves(column, panels))
    return groups


def _panels(
    means: Mapping[str, Sequence[float]],
    column: Column,
    results: Mapping[str, MethodResults],
    shared_id: str,
) -> list[Panel]:
    """Draw each method's curve before those of all methods."""
    values = [value for curve in means.values() for value in curve]
    low = min(0.0, *values)
    # curves of zeros have a height too: places are computed by a division by it
    high = max(1e-6, *values)
    vertical = Scale(low, high, BOTTOM, TOP)
    background = _axes(vertical)
    background += [_line(curve, vertical, "c-other") for curve in means.values()]
    # what all panels share is written once: it would be most of a page with many methods
    shared = tag("g", together(background), id=shared_id)
    panels: list[Panel] = []
    for name, curve in means.items():
        behind = tag("use", href=f"#{shared_id}") if panels else shared
        area = formatted(column.of(results[name]), column.kind)
        label = f"{name}: mean curve of {column.label}, area {area}; grey: the other methods"
        svg = picture([behind, _line(curve, vertical, "c-own")], WIDTH, HEIGHT, label)
        panels.append(Panel(name, area, svg))
    return panels


def _line(curve: Sequence[float], vertical: Scale, class_: str) -> Markup:
    """Draw a curve from the left to the right end of a panel."""
    horizontal = Scale(0, len(curve) - 1, LEFT, RIGHT)
    xs = [horizontal.place(step) for step in range(len(curve))]
    ys = [vertical.place(value) for value in curve]
    return path(xs, ys, class_)


def _axes(vertical: Scale) -> list[Markup]:
    """Draw lines and numbers of a panel."""
    parts = []
    for mark in ticks(vertical.low, vertical.high, 2):
        # ticks span the range, and may reach beyond it; the last one may be the end but for rounding
        if not vertical.low <= mark <= vertical.high + 1e-9:
            continue
        y = vertical.place(mark)
        parts.append(tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_="c-grid"))
        # lowered by half the height of a digit: SVG places words by their base line
        parts.append(tag("text", tick_text(mark), x=LEFT - 4, y=y + 3, class_="c-tick c-end"))
    for x, text, side in ((LEFT, "0", "start"), (RIGHT, "100 %", "end")):
        parts.append(tag("text", text, x=x, y=HEIGHT - 4, class_=f"c-tick c-{side}"))
    return parts
