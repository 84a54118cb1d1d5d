"""The figures of a report: curves, cost against quality, every image's value, the class matrix."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.report.columns import Column, quality
from explainer.evaluation.report.numbers import formatted
from explainer.evaluation.report.svg import decades, path, picture, scale, tag, ticks

DOTS = 60
"""Images at most, evenly chosen, whose values are drawn for one method."""


class Panel(NamedTuple):
    """A small figure of one method, and what stands above it."""

    name: str
    note: str
    svg: Markup


class Curves(NamedTuple):
    """The panels of one column."""

    column: Column
    panels: list[Panel]


class Line(NamedTuple):
    """One method in a figure of intervals."""

    name: str
    text: str
    svg: Markup


class Measure(NamedTuple):
    """The figures of one column: every method's interval, and cost against quality (wide, and for phones)."""

    column: Column
    lines: list[Line]
    ends: tuple[str, str]
    wide: Markup
    narrow: Markup
    numbers: list[str]


def mean_curves(rows: Sequence[dict[str, Any]], methods: Sequence[str], column: str) -> dict[str, list[float]]:
    """Method → mean of its images' curves; of curves with different numbers of steps the most frequent.

    Args:
        rows: Rows of rows.jsonl.
        methods: To be drawn.
        column: Below "curves".

    Returns:
        Without methods that have no curve.

    Example:
        >>> rows = [{"method": "a", "curves": {"c": [0.0, v]}} for v in (0.5, 1.0)]
        >>> mean_curves(rows, ["a", "b"], "c")
        {'a': [0.0, 0.75]}
    """
    found: dict[str, list[list[float]]] = {}
    for row in rows:
        curve = (row.get("curves") or {}).get(column)
        if curve and row["method"] in methods:
            found.setdefault(row["method"], []).append(curve)
    lengths = Counter(len(curve) for some in found.values() for curve in some)
    length = lengths.most_common(1)[0][0] if lengths else 0
    chosen = {m: [c for c in found[m] if len(c) == length] for m in methods if m in found}
    return {m: [statistics.fmean(v) for v in zip(*some, strict=True)] for m, some in chosen.items() if some}


def curves(content: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[Curves]:
    """A panel for each method and column with curves: its own mean curve before those of the others.

    Args:
        content: Content of results.json.
        rows: Rows of rows.jsonl.

    Returns:
        Nothing where no row has a curve of two points or more.
    """
    names = dict.fromkeys(key for row in rows for key in row.get("curves") or {})
    methods = [m for m in content["results"] if m != ORIGINAL]
    known = {column.key: column for column in quality(content)}
    found = []
    for number, name in enumerate(names):
        means = {m: curve for m, curve in mean_curves(rows, methods, name).items() if len(curve) > 1}
        if means:
            column = known.get(name, Column((name,), name, None))
            found.append(Curves(column, _panels(means, column, content, f"curves-{number}")))
    return found


def _panels(means: dict[str, list[float]], column: Column, content: dict[str, Any], ident: str) -> list[Panel]:
    width, height, left, right, top, bottom = 176.0, 122.0, 26.0, 170.0, 8.0, 106.0
    every = [value for curve in means.values() for value in curve]
    low, high = min(0.0, *every), max(1e-6, *every)
    marks = [mark for mark in ticks(low, high, 2) if low <= mark <= high + 1e-9]

    def line(curve: list[float], class_: str) -> Markup:
        xs = [scale(0, len(curve) - 1, left, right, n) for n in range(len(curve))]
        return path(xs, [scale(low, high, bottom, top, v) for v in curve], class_)

    axes = []
    for mark in marks:
        y = scale(low, high, bottom, top, mark)
        axes.append(tag("line", x1=left, x2=right, y1=y, y2=y, class_="c-grid"))
        axes.append(tag("text", f"{mark:g}".replace("-", "−"), x=left - 4, y=y + 3, class_="c-tick c-end"))
    for x, text, side in ((left, "0", "start"), (right, "100 %", "end")):
        axes.append(tag("text", text, x=x, y=height - 4, class_=f"c-tick c-{side}"))
    shared = tag("g", Markup("").join([*axes, *(line(curve, "c-other") for curve in means.values())]), id=ident)
    found = []
    for n, (name, curve) in enumerate(means.items()):
        behind = shared if n == 0 else tag("use", href=f"#{ident}")
        said = formatted(column.of(content["results"][name]), column.kind)
        label = f"{name}: mean curve of {column.label}, area {said}; grey: the other methods"
        found.append(Panel(name, said, picture([behind, line(curve, "c-own")], width, height, label)))
    return found


def measures(content: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[Measure]:
    """The figures of every metric that has numbers.

    Args:
        content: Content of results.json, with costs.
        rows: Rows of rows.jsonl.

    Returns:
        In the order of the columns.
    """
    found = []
    for column in quality(content):
        entries = {m: e for m, e in content["results"].items() if m != ORIGINAL and column.of(e) is not None}
        if entries:
            order = sorted(entries, key=lambda m: column.of(entries[m]) or 0.0, reverse=column.up is not False)
            lines, ends = _lines(column, {m: entries[m] for m in order}, rows)
            costly = {m: e for m, e in entries.items() if m not in ANNOTATED and (e.get("cost", {}).get("ms") or 0) > 0}
            wide, narrow = (scatter(column, costly, small) for small in (False, True)) if costly else ("", "")
            found.append(Measure(column, lines, ends, Markup(wide), Markup(narrow), list(costly)))
    return found


def _lines(
    column: Column, entries: dict[str, dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> tuple[list[Line], tuple[str, str]]:
    values: dict[str, list[float]] = {method: [] for method in entries}
    for row in rows:
        value = row.get("scores", {}).get(column.key)
        if value is not None and row["method"] in values:
            values[row["method"]].append(value)
    values = {m: some[:: max(1, len(some) // DOTS)][:DOTS] for m, some in values.items()}
    every = [v for some in values.values() for v in some] + [column.of(e) or 0.0 for e in entries.values()]
    every += [v for e in entries.values() for v in column.interval(e) or []]
    low, high = min(every), max(every)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    width, height = 300.0, 18.0

    def x(value: float) -> float:
        return scale(low, high, 5.0, width - 5.0, value)

    found = []
    for name, entry in entries.items():
        mean, interval = column.of(entry) or 0.0, column.interval(entry)
        parts = [tag("line", x1=5.0, x2=width - 5.0, y1=9.0, y2=9.0, class_="c-grid")]
        parts += [tag("circle", cx=x(v), cy=9.0, r=2.2, class_="c-image") for v in values[name]]
        if interval:
            parts.append(tag("line", x1=x(interval[0]), x2=x(interval[1]), y1=9.0, y2=9.0, class_="c-interval"))
        parts.append(tag("circle", cx=x(mean), cy=9.0, r=3.6, class_="c-mean"))
        text = formatted(mean, column.kind)
        found.append(Line(name, text, picture(parts, width, height, f"{name}: {column.label} {text}")))
    return found, (formatted(low, column.kind), formatted(high, column.kind))


def scatter(column: Column, entries: dict[str, dict[str, Any]], small: bool) -> Markup:
    """A column against milliseconds an image, on a logarithmic axis.

    Args:
        column: Upwards.
        entries: Method → its entry, with cost and value.
        small: For a phone: numbers in the order of the entries stand at the points, not names.

    Returns:
        The figure.
    """
    width, height = (340.0, 320.0) if small else (720.0, 430.0)
    left, right, top, bottom = 44.0, width - 14, 14.0, height - 40
    cost = {m: e["cost"]["ms"] for m, e in entries.items()}
    value = {m: column.of(e) or 0.0 for m, e in entries.items()}
    across, upward = decades(min(cost.values()), max(cost.values())), ticks(min(value.values()), max(value.values()))
    parts = _axes(column, across, upward, (left, right, top, bottom), width, height, small)
    places = {
        m: (
            scale(math.log10(across[0]), math.log10(across[-1]), left, right, math.log10(cost[m])),
            scale(upward[0], upward[-1], bottom, top, value[m]),
        )
        for m in entries
    }
    names = {m: str(n) if small else m for n, m in enumerate(entries, 1)}
    for m, (x, y) in places.items():
        said = tag(
            "title", f"{m}: {column.label} {formatted(value[m], column.kind)}, {formatted(cost[m], 'ms')} ms an image"
        )
        parts.append(tag("circle", said, cx=x, cy=y, r=3.6, class_="c-point"))
    parts += label_points(places, names, (left, right, top, bottom))
    label = f"{column.label} against milliseconds an image of {len(entries)} methods"
    return picture(parts, width, height, label, "narrow" if small else "wide")


def _axes(
    column: Column,
    across: list[float],
    upward: list[float],
    box: tuple[float, float, float, float],
    width: float,
    height: float,
    small: bool,
) -> list[Markup]:
    left, right, top, bottom = box
    parts = []
    for mark in upward:
        y = scale(upward[0], upward[-1], bottom, top, mark)
        text = f"{100 * mark if column.kind == 'percent' else mark:g}".replace("-", "−")
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, class_="c-grid"))
        parts.append(tag("text", text, x=left - 6, y=y + 4, class_="c-tick c-end"))
    every = max(1, math.ceil(len(across) / (5 if small else 9)))
    for n, mark in enumerate(across):
        x = scale(0, len(across) - 1, left, right, n)
        parts.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="c-grid"))
        side = "start" if n == 0 else "end" if n == len(across) - 1 else "middle"
        if n % every == 0:
            parts.append(tag("text", duration(mark), x=x, y=bottom + 16, class_=f"c-tick c-{side}"))
    parts.append(tag("text", "time an image", x=(left + right) / 2, y=height - 6, class_="c-axis c-middle"))
    return parts


def duration(ms: float) -> str:
    """Milliseconds in a unit that suits them.

    Example:
        >>> duration(0.1), duration(100), duration(10000)
        ('0.1 ms', '100 ms', '10 s')
    """
    return f"{ms:g} ms" if ms < 1000 else f"{ms / 1000:g} s"


def label_points(
    places: dict[str, tuple[float, float]], names: dict[str, str], box: tuple[float, float, float, float]
) -> list[Markup]:
    """Words beside points, where they cover as little as possible; far ones get a line to their point.

    Args:
        places: Key → point.
        names: Key → words.
        box: Left, right, top and bottom of the room there is.

    Returns:
        Text, and lines.
    """
    taken = [(x - 4.0, y - 4.0, x + 4.0, y + 4.0) for x, y in places.values()]
    parts = []
    for key, (x, y) in sorted(places.items(), key=lambda item: item[1]):
        wide = 6.7 * len(names[key]) + 2
        options = [_beside(x, y, wide, far, side) for far in (7.0, 16.0, 28.0) for side in range(8)]
        inside = [o for o in options if o[0] >= box[0] and o[2] <= box[1] and o[1] >= box[2] - 8 and o[3] <= box[3]]
        best = min(inside or options, key=lambda o: sum(_common(o, other) for other in taken))
        taken.append(best)
        near_x, near_y = min(max(x, best[0]), best[2]), min(max(y, best[1]), best[3])
        if math.hypot(near_x - x, near_y - y) > 10:
            parts.append(tag("line", x1=x, y1=y, x2=near_x, y2=near_y, class_="c-leader"))
        parts.append(tag("text", names[key], x=best[0] + 1, y=best[3] - 3, class_="c-name"))
    return parts


def _beside(x: float, y: float, wide: float, far: float, side: int) -> tuple[float, float, float, float]:
    across, down = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))[side]
    middle_x = x + across * (far + wide / 2)
    middle_y = y + down * (far + 5 if across == 0 else far)
    return middle_x - wide / 2, middle_y - 7, middle_x + wide / 2, middle_y + 7


def _common(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
