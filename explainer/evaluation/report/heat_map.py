"""The class matrix as a heat map (S. Stalder et al., NeurIPS 2022, Table 1)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

MANY, FEW = 24, 8
"""Classes: with more than the first there is no room for numbers, with more than the second none for intervals."""


class HeatMap(NamedTuple):
    """One method's matrix.

    Attributes:
        name: Name of the method, or nothing.
        classes: Classes of the rows.
        columns: Classes of the masks; the image without a mask may come first.
        cells: A row a class: text, share of the strongest colour in [0, 1], the number in full, and its interval or
            nothing.
        dense: Whether there is no room for numbers.
        note: What is in it.
        summary: Words and number: what the matrix comes to; nothing where that is not known.
    """

    name: str
    classes: list[str]
    columns: list[str]
    cells: list[list[tuple[str, float, str, str]]]
    dense: bool
    note: str
    summary: list[tuple[str, str]]


def heat_maps(matrix: dict[str, Any] | None) -> list[HeatMap]:
    """The matrices of results.json: one of {"classes", "values"}, or such a one for each method.

    Args:
        matrix: Or None. Values are (C, C), or (C, 1 + C) with the image without a mask first, in [0, 1].

    Returns:
        Ready to be shown; None where nothing is known is a dash.

    Example:
        >>> heat_maps({"classes": ["a", "b"], "values": [[0.9, 0.1], [None, 0.6]]})[0].cells[1]
        [('–', 0.0, 'unknown', ''), ('60', 0.6, '0.6000', '')]
    """
    if not matrix:
        return []
    if "classes" in matrix and "values" in matrix:
        return [_heat_map("", matrix)]
    classes = matrix.get("classes")
    inner = matrix.get("methods") or matrix
    found = []
    for name, one in inner.items():
        one = one if isinstance(one, dict) else {"values": one}
        if one.get("values") and (one.get("classes") or classes):
            found.append(_heat_map(name, {"classes": classes, "note": matrix.get("note", "")} | one))
    return found


def _heat_map(name: str, matrix: dict[str, Any]) -> HeatMap:
    values = [[None if v is None or v != v else float(v) for v in row] for row in matrix["values"]]
    names = [str(c) for c in matrix["classes"]]
    ends = matrix.get("interval") if len(names) <= FEW else None
    cells = [
        [_cell(v, ends[r][c] if ends else (None, None)) for c, v in enumerate(row)] for r, row in enumerate(values)
    ]
    columns = ["no mask", *names] if cells and len(cells[0]) == len(names) + 1 else names
    words = {"none": "without a mask", "own": "with the class's own mask", "other": "with masks of other classes"}
    said = {key: (matrix.get("summary") or {}).get(key) for key in words}
    summary = [(words[key], _with_ends(one)) for key, one in said.items() if one and None not in one]
    return HeatMap(name, names, columns, cells, len(names) > MANY, str(matrix.get("note", "")), summary)


def _cell(value: float | None, ends: Sequence[float | None]) -> tuple[str, float, str, str]:
    if value is None:
        return "–", 0.0, "unknown", ""
    low, high = ends
    between = "" if low is None or high is None else f"{100 * low:.0f}–{100 * high:.0f}"
    return f"{100 * value:.0f}".replace("-", "−"), min(1.0, max(0.0, value)), f"{value:.4f}", between


def _with_ends(said: Sequence[float]) -> str:
    mean, low, high = (100 * value for value in said)
    return f"{mean:.1f} % [{low:.1f}, {high:.1f}]"
