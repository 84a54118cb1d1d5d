"""A score against the time that a map takes, as a figure of a report."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from explainer.evaluation.report.columns import Column
from explainer.evaluation.report.labels import Box, Point, place_labels
from explainer.evaluation.report.numbers import formatted
from explainer.evaluation.report.svg import Scale, decades, picture, tag, tick_text, ticks
from explainer.evaluation.results.content import MethodResults


def scatter(column: Column, entries: Mapping[str, MethodResults], small: bool) -> Markup:
    """Draw a column upwards against milliseconds an image, on a logarithmic axis.

    Args:
        column: Column of a score.
        entries: Method → its results, with cost and score.
        small: Draw for a phone: numbers in the order of the entries stand at the points, not names.
    """
    width, height = (340.0, 320.0) if small else (720.0, 430.0)
    room = Box(left=44.0, top=14.0, right=width - 14, bottom=height - 40)
    # the caller has chosen methods whose time is known
    costs = {name: entry["cost"]["ms"] or 0.0 for name, entry in entries.items()}
    values = {name: column.of(entry) or 0.0 for name, entry in entries.items()}
    # times of methods lie several powers of ten apart
    across = decades(min(costs.values()), max(costs.values()))
    upward = ticks(min(values.values()), max(values.values()))
    first = math.log10(across[0])
    last = math.log10(across[-1])
    horizontal = Scale(first, last, room.left, room.right)
    vertical = Scale(upward[0], upward[-1], room.bottom, room.top)
    parts = _score_axis(upward, vertical, room, column.kind)
    parts += _time_axis(across, room, most=5 if small else 9)
    title_x = (room.left + room.right) / 2
    parts.append(tag("text", "time an image", x=title_x, y=height - 6, class_="c-axis c-middle"))
    points: dict[str, Point] = {}
    names = {}
    for number, name in enumerate(entries, 1):
        x = horizontal.place(math.log10(costs[name]))
        y = vertical.place(values[name])
        points[name] = (x, y)
        # names would cover the points of a phone's picture
        names[name] = str(number) if small else name
        score = formatted(values[name], column.kind)
        milliseconds = formatted(costs[name], "ms")
        tooltip = tag("title", f"{name}: {column.label} {score}, {milliseconds} ms an image")
        parts.append(tag("circle", tooltip, cx=x, cy=y, r=3.6, class_="c-point"))
    parts += label_points(points, names, room)
    label = f"{column.label} against milliseconds an image of {len(entries)} methods"
    return picture(parts, width, height, label, "narrow" if small else "wide")


def _score_axis(marks: Sequence[float], vertical: Scale, room: Box, kind: str) -> list[Markup]:
    """Draw lines and numbers of the score."""
    parts = []
    for mark in marks:
        y = vertical.place(mark)
        number = 100 * mark if kind == "percent" else mark
        parts.append(tag("line", x1=room.left, x2=room.right, y1=y, y2=y, class_="c-grid"))
        parts.append(tag("text", tick_text(number), x=room.left - 6, y=y + 4, class_="c-tick c-end"))
    return parts


def _time_axis(marks: Sequence[float], room: Box, most: int) -> list[Markup]:
    """Draw a line for each power of ten, and words at so many of them at most."""
    last = len(marks) - 1
    horizontal = Scale(0, last, room.left, room.right)
    step = max(1, math.ceil(len(marks) / most))
    parts = []
    for place, mark in enumerate(marks):
        x = horizontal.place(place)
        parts.append(tag("line", x1=x, x2=x, y1=room.top, y2=room.bottom, class_="c-grid"))
        # words at the ends stay inside of the picture
        side = {0: "start", last: "end"}.get(place, "middle")
        if place % step == 0:
            y = room.bottom + 16
            parts.append(tag("text", duration(mark), x=x, y=y, class_=f"c-tick c-{side}"))
    return parts


def duration(ms: float) -> str:
    """Return milliseconds in a unit that suits them.

    Example:
        >>> duration(0.1), duration(100), duration(10000)
        ('0.1 ms', '100 ms', '10 s')
    """
    if ms < 1000:
        return f"{ms:g} ms"
    return f"{ms / 1000:g} s"


def label_points(points: Mapping[str, Point], names: Mapping[str, str], room: Box) -> list[Markup]:
    """Write words beside points.

    Args:
        points: Key → point.
        names: Key → words.
        room: Rectangle in which the words should stay.

    Returns:
        Words, and lines from words to points that are far away.
    """
    parts = []
    for label in place_labels(points, names, room):
        if label.leader is not None:
            (x1, y1), (x2, y2) = label.leader
            parts.append(tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="c-leader"))
        x = label.box.left + 1
        y = label.box.bottom - 3
        parts.append(tag("text", label.words, x=x, y=y, class_="c-name"))
    return parts
