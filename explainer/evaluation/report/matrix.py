"""The class matrix as a heat map (S. Stalder et al., NeurIPS 2022, Table 1)."""

from typing import Any, NamedTuple

MANY = 24
"""Classes, from which on there is no room for numbers."""


class HeatMap(NamedTuple):
    """One method's matrix.

    Attributes:
        name: Of the method, or nothing.
        classes: Of the rows.
        columns: Classes of the masks; the image without a mask may come first.
        cells: A row a class: text, share of the strongest colour in [0, 1], and the number in full.
        dense: Whether there is no room for numbers.
        note: What is in it.
    """

    name: str
    classes: list[str]
    columns: list[str]
    cells: list[list[tuple[str, float, str]]]
    dense: bool
    note: str


def heat_maps(matrix: dict[str, Any] | None) -> list[HeatMap]:
    """The matrices of results.json: one of {"classes", "values"}, or such a one for each method.

    Args:
        matrix: Or None. Values are (C, C), or (C, 1 + C) with the image without a mask first, in [0, 1].

    Returns:
        Ready to be shown; None where nothing is known is a dash.

    Example:
        >>> heat_maps({"classes": ["a", "b"], "values": [[0.9, 0.1], [None, 0.6]]})[0].cells[1]
        [('–', 0.0, 'unknown'), ('60', 0.6, '0.6000')]
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
    cells = [[_cell(v) for v in row] for row in values]
    names = [str(c) for c in matrix["classes"]]
    columns = ["no mask", *names] if cells and len(cells[0]) == len(names) + 1 else names
    return HeatMap(name, names, columns, cells, len(names) > MANY, str(matrix.get("note", "")))


def _cell(value: float | None) -> tuple[str, float, str]:
    if value is None:
        return "–", 0.0, "unknown"
    return f"{100 * value:.0f}".replace("-", "−"), min(1.0, max(0.0, value)), f"{value:.4f}"
