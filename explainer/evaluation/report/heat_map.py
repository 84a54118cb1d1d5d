"""The class matrix as a heat map (S. Stalder et al., NeurIPS 2022, Table 1)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MANY = 24
"""Classes with more than which there is no room for numbers."""
FEW = 8
"""Classes with more than which there is no room for intervals."""
SUMMARY = {
    "none": "without a mask",
    "own": "with the class's own mask",
    "other": "with masks of other classes",
}
"""Key of a matrix's summary → its words."""


class HeatCell(NamedTuple):
    """A probability of a heat map.

    Attributes:
        text: Probability in percent, or a dash.
        share: Share of the strongest colour, in [0, 1].
        full: Probability with four decimals.
        between: Interval in percent, or nothing.
    """

    text: str
    share: float
    full: str
    between: str


class HeatMap(NamedTuple):
    """One method's matrix.

    Attributes:
        name: Name of the method, or nothing.
        classes: Classes of the rows.
        columns: Classes of the masks; the image without a mask may come first.
        cells: Cells of each class.
        dense: Whether there is no room for numbers.
        note: Remark of results.json on the matrix, or nothing.
        summary: Words and number of what the matrix comes to, as far as that is known.
    """

    name: str
    classes: list[str]
    columns: list[str]
    cells: list[list[HeatCell]]
    dense: bool
    note: str
    summary: list[tuple[str, str]]


def heat_maps(matrix: dict[str, Any] | None) -> list[HeatMap]:
    """Return the matrices of results.json: one of {"classes", "values"}, or such a one for each method.

    Args:
        matrix: Matrices of results.json, or None. Values are (C, C), or (C, 1 + C) with the image without a mask
            first, in [0, 1].

    Returns:
        Heat maps, in which a dash stands where nothing is known.

    Example:
        >>> heat_maps({"classes": ["a"], "values": [[None]]})[0].cells[0][0].full
        'unknown'
    """
    if not matrix:
        return []
    if "classes" in matrix and "values" in matrix:
        return [_heat_map("", matrix)]
    common = {"classes": matrix.get("classes"), "note": matrix.get("note", "")}
    maps = []
    for name, content in (matrix.get("methods") or matrix).items():
        # early versions wrote a method's values alone
        entry = content if isinstance(content, dict) else {"values": content}
        if entry.get("values") and (entry.get("classes") or common["classes"]):
            maps.append(_heat_map(name, common | entry))
    return maps


def _heat_map(name: str, matrix: Mapping[str, Any]) -> HeatMap:
    """Return the heat map of one matrix."""
    classes = [str(class_) for class_ in matrix["classes"]]
    # with many classes a cell has no room for an interval
    intervals = matrix.get("interval") if len(classes) <= FEW else None
    cells = []
    for number, values in enumerate(matrix["values"]):
        ends = intervals[number] if intervals else [(None, None)] * len(values)
        pairs = zip(values, ends, strict=False)
        cells.append([_cell(value, pair) for value, pair in pairs])
    columns = classes
    if cells and len(cells[0]) == len(classes) + 1:
        columns = ["no mask", *classes]
    return HeatMap(
        name,
        classes,
        columns,
        cells,
        dense=len(classes) > MANY,
        note=str(matrix.get("note", "")),
        summary=_summary(matrix.get("summary") or {}),
    )


def _cell(value: float | None, ends: Sequence[float | None]) -> HeatCell:
    """Return the cell of a probability; NaN is not known either."""
    if value is None or value != value:
        return HeatCell("–", 0.0, "unknown", "")
    low, high = ends
    between = ""
    if low is not None and high is not None:
        between = f"{100 * low:.0f}–{100 * high:.0f}"
    text = f"{100 * value:.0f}".replace("-", "−")
    # a file from elsewhere may hold what is no probability: its colour must still be one
    share = min(1.0, max(0.0, value))
    return HeatCell(text, share, f"{value:.4f}", between)


def _summary(means: Mapping[str, Sequence[float | None] | None]) -> list[tuple[str, str]]:
    """Return words and number of what is known."""
    lines = []
    for key, words in SUMMARY.items():
        known = [value for value in means.get(key) or () if value is not None]
        numbers = [100 * value for value in known]
        # nothing, or mean and both ends: an interval without its mean says nothing
        if len(numbers) == 3:
            mean, low, high = numbers
            text = f"{mean:.1f} % [{low:.1f}, {high:.1f}]"
            lines.append((words, text))
    return lines
