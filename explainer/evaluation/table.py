"""The results as a table in the terminal, and in Markdown for a README."""

from typing import Any

from rich.table import Table

from explainer.evaluation.runner import ORIGINAL, TRUTH
from explainer.evaluation.summary import COLUMNS

_NAMES = {"acc": "Acc", "iou": "IoU", "mae": "MAE", "sal": "Sal", "insertion": "Ins", "deletion": "Del"}
_PERCENT = ("acc", "iou", "mae")


def rows_of(results: dict[str, Any], metrics: dict[str, bool] | None = None) -> tuple[list[str], list[list[str]]]:
    """Header and cells; the best value of each score, the ground truth left out, has a star.

    Args:
        results: Of `summarise`.
        metrics: Further columns, and whether higher is better.

    Returns:
        Header with the direction of each column, and a list a method.
    """
    methods = [m for m in results if m != ORIGINAL]
    kind = "mAP" if "mAP" in results[ORIGINAL]["kept"] else "accuracy"
    shown = {c: up for c, up in COLUMNS.items() if any(results[m].get(c) is not None for m in methods)}
    shown |= metrics or {}  # what was asked for is there even if it is defined for no image
    levels = any(results[m].get("level") for m in methods)
    header = ["method", *(f"{_NAMES.get(c, c)} {'↑' if up else '↓'}" for c, up in shown.items())]
    header += ["area", f"{kind} masked ↑", f"{kind} complement ↓", *(["α"] if levels else []), "ms an image"]
    best = {}
    for column, up in shown.items():
        values = [results[m][column] for m in methods if m != TRUTH and results[m][column] is not None]
        best[column] = (max if up else min)(values, default=None)
    cells = []
    for method in methods:
        entry = results[method]
        row = [method]
        for column in shown:
            starred = method != TRUTH and entry[column] is not None and entry[column] == best[column]
            row.append(score_cell(column, entry[column]) + (" *" if starred else ""))
        row += [number(entry["area"]), number(entry["kept"][kind]), number(entry["removed"][kind])]
        row += [number((entry["level"] or {}).get("alpha"), 1)] if levels else []
        cells.append([*row, number(None if entry["seconds"] is None else 1000 * entry["seconds"], 1)])
    return header, cells


def score_cell(column: str, value: float | None) -> str:
    """A score as the table shows it: some in percent.

    Example:
        >>> score_cell("acc", 0.5), score_cell("sal", 0.5)
        ('50.00', '0.500')
    """
    if value is not None and column in _PERCENT:
        return number(100 * value, 2)
    return number(value)


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none.

    Example:
        >>> number(None), number(0.25)
        ('–', '0.250')
    """
    return "–" if value is None else f"{value:.{digits}f}"


def caption(results: dict[str, Any]) -> str:
    """One line on the classifier and on how many images had a segmentation."""
    entry = results[ORIGINAL]
    said = ", ".join(f"{k} {number(v)}" for k, v in entry["kept"].items())
    annotated = max((results[m]["n"]["acc"] for m in results if m != ORIGINAL), default=0)
    return f"{entry['images']} images, {annotated} with a segmentation; the classifier on the originals: {said}"


def two_forms(title: str, header: list[str], rows: list[list[str]]) -> tuple[Table, str]:
    """The same cells for a terminal and in Markdown; the first column is of words, the others of numbers.

    Args:
        title: Of the terminal's table.
        header: A word a column.
        rows: As many cells each.

    Returns:
        The table, and the Markdown without a title.

    Example:
        >>> two_forms("t", ["a", "b"], [["x", "1"]])[1].splitlines()
        ['| a | b |', '| --- | ---: |', '| x | 1 |']
    """
    table = Table(title=title)
    for i, column in enumerate(header):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return table, "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def rich_table(results: dict[str, Any], title: str, metrics: dict[str, bool] | None = None) -> Table:
    """The table for a terminal."""
    header, cells = rows_of(results, metrics)
    table = Table(title=title, caption=caption(results))
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in cells:
        table.add_row(*(f"[bold]{cell}[/bold]" if cell.endswith("*") else cell for cell in row))
    return table


def markdown(results: dict[str, Any], metrics: dict[str, bool] | None = None) -> str:
    """The table for a README."""
    text = two_forms("", *rows_of(results, metrics))[1]
    return "\n".join([text, "", caption(results) + ". * best of the column, the ground truth left out."]) + "\n"
