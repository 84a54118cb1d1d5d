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
            rows.append(Row(name, [_percent(matrix["summary"][key]) for key in ("none", "own", "other")]))
    return Table("Masks of one class under the classifier", "masks of", columns, rows)


def _percent(mean_and_ends: Sequence[float | None] | None) -> Cell:
    """Return a mean with its interval in percent; a dash where nothing is known."""
    numbers = [value for value in mean_and_ends or () if value is not None]
    if len(numbers) < 3:
        return Cell("–")
    mean, low, high = numbers
    ends = f"[{100 * low:.1f}, {100 * high:.1f}]"
    # intervals of probabilities are not symmetric: both ends are shown in a terminal as well
    return Cell(f"{100 * mean:.1f}", mean, Interval(low, high, ends, half=ends))


def write_matrix(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """The matrices as one CSV, a line for each method and class.

    Args:
        found: What `matrices` gives; none: nothing is written.
        path: Path of the file.
    """
    if not found:
        return
    columns = list(dict.fromkeys(name for one in found.values() for name in one["classes"]))
    both = [f"{column} {end}" for column in ("none", *columns) for end in ("low", "high")]
    lines: list[list[Any]] = [["method", "class", "images", "none", *columns, *both]]
    for method, one in found.items():
        counts = one.get("images", [""] * len(one["classes"]))
        pairs = one.get("interval") or [[]] * len(one["classes"])
        for name, count, values, ends in zip(one["classes"], counts, one["values"], pairs, strict=True):
            by_mask = dict(zip(["", *one["classes"]], values, strict=True))
            between = dict(zip(["", *one["classes"]], ends, strict=False))
            line = [by_mask.get(c) for c in ("", *columns)]
            line += [end for c in ("", *columns) for end in between.get(c, ("", ""))]
            lines.append([method, name, count, *line])
    write_csv(path, lines)
