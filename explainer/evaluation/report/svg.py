"""Inline SVG by hand: its colours are the page's, through classes."""

import math
from collections.abc import Sequence

from markupsafe import Markup


def tag(name: str, content: object = "", **attributes: object) -> Markup:
    """An element; all text and all attributes are escaped, `Markup` is not.

    Args:
        name: Name of the element.
        content: Text, or `Markup`.
        attributes: Underscores become hyphens, a last one is dropped (`class_`); numbers have two decimals at most.

    Returns:
        The element.

    Example:
        >>> print(tag("text", "a < b", class_="tick", x=1.0))
        <text class="tick" x="1">a &lt; b</text>
    """
    said = Markup("").join(Markup(' {}="{}"').format(_key(k), _value(v)) for k, v in attributes.items())
    return Markup("<{}{}>{}</{}>").format(Markup(name), said, content, Markup(name))


def _key(name: str) -> Markup:
    return Markup(name if name == "viewBox" else name.rstrip("_").replace("_", "-"))


def _value(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def together(parts: Sequence[Markup]) -> Markup:
    """One after the other."""
    return Markup("").join(parts)


def picture(parts: Sequence[Markup], width: float, height: float, label: str, class_: str = "") -> Markup:
    """An SVG that scales with its container, and that a screen reader reads as one image."""
    inside = together([tag("title", label), *parts])
    return tag("svg", inside, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label, class_=class_)


def path(xs: Sequence[float], ys: Sequence[float], class_: str) -> Markup:
    """A line through points."""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))
    return tag("path", d=f"M{steps}", class_=class_)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that span a range.

    Args:
        low: Below `high`.
        high: Any number.
        about: So many steps.

    Returns:
        Multiples of 1, 2 or 5 times a power of ten; the first is not above `low`, the last not below `high`.

    Example:
        >>> ticks(0.0, 0.93)
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.9)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten around a range of positive numbers.

    Example:
        >>> decades(3, 400)
        [1.0, 10.0, 100.0, 1000.0]
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def scale(low: float, high: float, start: float, end: float, number: float) -> float:
    """Where a number of a range stands between two pixels."""
    return start + (number - low) / (high - low) * (end - start)
