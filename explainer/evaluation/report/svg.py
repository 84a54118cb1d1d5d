"""Inline SVG, whose colours are the page's through classes.

matplotlib draws the figures on the disk, but not these: its SVG names its colours, so that the page could not be dark;
it repeats the ids of its elements in every figure of a page; it has no tooltips; and it takes two to thirty times the
room, since curves that many panels share are written once for each of them.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator


class Scale(NamedTuple):
    """The way from the numbers of a range to places in a picture.

    Attributes:
        low: Number that stands at `start`.
        high: Number that stands at `end`.
        start: Place in the units of the picture.
        end: Place in the units of the picture.
    """

    low: float
    high: float
    start: float
    end: float

    def place(self, number: float) -> float:
        """Return where a number stands.

        Example:
            >>> Scale(0, 2, 100, 200).place(0.5)
            125.0
        """
        share = (number - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def tag(name: str, content: object = "", **attributes: object) -> Markup:
    """Return an element; all text and all attributes are escaped, `Markup` is not.

    Args:
        name: Name of the element.
        content: Text, or `Markup`.
        attributes: Attributes. Underscores become hyphens, a last one is dropped (`class_`); numbers have two decimals
            at most.

    Example:
        >>> print(tag("text", "a < b", class_="tick", x=1.0))
        <text class="tick" x="1">a &lt; b</text>
    """
    attribute = Markup(' {}="{}"')
    pairs = [attribute.format(_key(key), _value(value)) for key, value in attributes.items()]
    return Markup("<{}{}>{}</{}>").format(Markup(name), together(pairs), content, Markup(name))


def _key(name: str) -> Markup:
    """Return the name of an attribute as SVG writes it."""
    if name == "viewBox":  # the only one with a capital letter
        return Markup(name)
    return Markup(name.rstrip("_").replace("_", "-"))


def _value(value: object) -> object:
    """Return the value of an attribute without needless decimals."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return value


def together(parts: Iterable[Markup]) -> Markup:
    """Return elements one after the other."""
    return Markup("").join(parts)


def picture(parts: Iterable[Markup], width: float, height: float, label: str, class_: str = "") -> Markup:
    """Return an SVG that scales with its container, and that a screen reader reads as one image.

    Args:
        parts: Elements of the picture.
        width: Width of the picture in its own units.
        height: Height of the picture in its own units.
        label: What the picture shows.
        class_: Class of the element in the style sheet.
    """
    # the title is what a mouse shows, the label what a screen reader reads
    inside = together([tag("title", label), *parts])
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", inside, viewBox=box, role="img", aria_label=label, class_=class_)


def path(xs: Sequence[float], ys: Sequence[float], class_: str) -> Markup:
    """Return a line through points.

    Args:
        xs: Places of the points from left to right.
        ys: Places of the points from top to bottom.
        class_: Class of the element in the style sheet.
    """
    points = zip(xs, ys, strict=True)
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return tag("path", d=f"M{steps}", class_=class_)


def tick_text(mark: float) -> str:
    """Return a number beside an axis, with a real minus.

    Example:
        >>> tick_text(-0.5)
        '−0.5'
    """
    return f"{mark:g}".replace("-", "−")


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers that span a range.

    Args:
        low: Lower end of the range.
        high: Upper end of the range.
        about: Number of steps, at most.

    Returns:
        Multiples of 1, 2, 2.5 or 5 times a power of ten; the first is not above `low`, the last not below `high`.

    Example:
        >>> ticks(0.0, 0.93)
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if high <= low:  # a range of one number is still a range
        low, high = low - 0.5, high + 0.5
    marks = MaxNLocator(about, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [round(float(mark), 10) for mark in marks]


def decades(low: float, high: float) -> list[float]:
    """Return the powers of ten around a range of positive numbers.

    Args:
        low: Lower end of the range.
        high: Upper end of the range.

    Example:
        >>> decades(3, 400)
        [1.0, 10.0, 100.0, 1000.0]
    """
    # with a little room for rounding: a power of ten is its own end
    first = math.floor(math.log10(low) + 1e-9)
    last = math.ceil(math.log10(high) - 1e-9)
    # a range of one number is still a range
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]
