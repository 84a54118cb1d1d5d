"""The class-specific masking matrix of an evaluation as a table and a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from explainer.evaluation.report.table import two_forms
from explainer.files import write_csv


def matrix_table(found: Mapping[str, Mapping[str, Any]]) -> tuple[Table, str]:
    """What the matrices come to, a line a method: for the terminal, and in Markdown.

    Args:
        found: What `matrices` gives; what has no summary, such as a paper's matrix, is left out.

    Returns:
        Probabilities in percent, with 95 % intervals.

    Example:
        >>> print(matrix_table({"a": {"summary": {"none": [0.5, 0.4, 0.6], "own": [1, 1, 1], "other": None}}})[1])
        | masks of | without a mask, % | its class's own mask ↑ | other classes' masks ↓ |
        | --- | ---: | ---: | ---: |
        | a | 50.0 [40.0, 60.0] | 100.0 [100.0, 100.0] | – |
    """
    header = ["masks of", "without a mask, %", "its class's own mask ↑", "other classes' masks ↓"]
    cells = []
    for name, one in found.items():
        if "summary" in one:
            cells.append([name, *(_percent(one["summary"][key]) for key in ("none", "own", "other"))])
    return two_forms("Masks of one class under the classifier", header, cells)


def _percent(said: Sequence[float | None] | None) -> str:
    if said is None or any(value is None for value in said):
        return "–"
    mean, low, high = (100 * (value or 0.0) for value in said)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


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
