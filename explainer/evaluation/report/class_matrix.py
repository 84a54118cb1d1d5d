"""The class-specific masking matrix of an evaluation as a table and a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from explainer.evaluation.report.table import Cell, Heading, Interval, Row, Table
from explainer.files import write_csv


def matrix_table(matrices: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return what the matrices come to, a row for each method.

    Args:
        matrices: Method → matrix, as `matrices` returns them. What has no summary, such as a paper's matrix, is left
            out.

    Returns:
        Probabilities in percent, with 95 % intervals.

    Example:
        >>> one = {"summary": {"none": [0.5, 0.4, 0.6], "own": [1, 1, 1], "other": None}}
        >>> [cell.text for cell in matrix_table({"a": one}).rows[0].cells]
        ['50.0', '100.0', '–']
    """
    columns = [
        Heading("without a mask, %"),
        Heading("its class's own mask", "↑"),
        Heading("other classes' masks", "↓"),
    ]
    rows = []
    for name, matrix in matrices.items():
        if "summary" in matrix:
            summary = matrix["summary"]
            rows.append(Row(name, [_percent(summary[key]) for key in ("none", "own", "other")]))
    return Table("Masks of one class under the classifier", "masks of", columns, rows)


def _percent(mean_and_ends: Sequence[float | None] | None) -> Cell:
    """Return a mean with its interval in percent; a dash where nothing is known."""
    numbers = [value for value in mean_and_ends or () if value is not None]
    if len(numbers) < 3:
        return Cell("–")
    mean, low, high = numbers
    ends = f"[{100 * low:.1f}, {100 * high:.1f}]"
    # intervals of probabilities are not symmetric: both ends are shown in a terminal as well
    interval = Interval(low, high, ends, half=ends)
    return Cell(f"{100 * mean:.1f}", mean, interval)


def write_matrix(matrices: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write the matrices as one CSV, a line for each method and class.

    Args:
        matrices: Method → matrix, as `matrices` returns them; without any, no file is written.
        path: Path of the file.
    """
    if not matrices:
        return
    # matrices may be of different classes; "" stands for the image without a mask
    classes = [name for matrix in matrices.values() for name in matrix["classes"]]
    masks = list(dict.fromkeys(["", *classes]))
    columns = [mask or "none" for mask in masks]
    bounds = [f"{column} {end}" for column in columns for end in ("low", "high")]
    lines: list[list[Any]] = [["method", "class", "images", *columns, *bounds]]
    for method, matrix in matrices.items():
        for place, name in enumerate(matrix["classes"]):
            count = matrix["images"][place] if "images" in matrix else ""
            values, ends = _by_mask(matrix, place)
            line = [method, name, count, *(values.get(mask) for mask in masks)]
            for mask in masks:
                line += ends.get(mask, ("", ""))
            lines.append(line)
    write_csv(path, lines)


def _by_mask(matrix: Mapping[str, Any], place: int) -> tuple[dict[str, float], dict[str, Sequence[float]]]:
    """Return the values of a class and their intervals by the mask; a paper's matrix has no intervals."""
    masks = ["", *matrix["classes"]]
    values = dict(zip(masks, matrix["values"][place], strict=True))
    if not matrix.get("interval"):
        return values, {}
    intervals = dict(zip(masks, matrix["interval"][place], strict=True))
    return values, intervals
