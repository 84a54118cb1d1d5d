"""Read finished results: the values of a column image by image, and the scores of a grid of retrainings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainer.errors import InputError
from explainer.evaluation.results.finished import existing
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.reading import ROWS, read_folder
from explainer.evaluation.storage.rows import PlainRow
from explainer.files import parse

FACTS = ("method", "statistic", "scale", "mode", "fraction", "removed", "seed")
"""Names by which cells of the grids of retrainings differ."""


class Values(NamedTuple):
    """The values of one column.

    Attributes:
        by_method: Method → values (n,) float64 of the same n images in the same order; NaN where there is none.
        higher_is_better: Direction that the results give the column; None where they give none.
    """

    by_method: dict[str, Tensor]
    higher_is_better: bool | None


def read_values(folder: Path, column: str, methods: Sequence[str] | None = None) -> Values:
    """Read a column of an evaluation, or of a comparison of in-fills.

    Args:
        folder: Folder of the results, with rows and results.json.
        column: Column of the scores, "area", one of the costs, or another number of the rows.
        methods: Methods to read; None takes all that have a value.

    Raises:
        InputError: The folder has no results, or lacks a method or the column; names what there is.
    """
    existing(folder, ROWS)
    rows = read_folder(folder)
    rows = rows.take(np.flatnonzero(~rows.has("error")))
    # the same images in the same order for all; a method that failed on an image has no value there
    places, images = rows.codes("id")
    codes, names = rows.codes("method")
    numbers = numbers_of(rows, column)
    values = {}
    for method in rows.names("method"):
        index = np.flatnonzero((codes == names.index(method)) & ~np.isnan(numbers))
        if len(index):
            of_images = torch.full((len(images),), torch.nan, dtype=torch.float64)
            of_images[torch.from_numpy(places[index])] = torch.from_numpy(numbers[index])
            values[method] = of_images
    if not values:
        raise InputError(f"{folder}: no row has a number under {column}")
    for method in methods or ():
        if method not in values:
            raise InputError(f"{folder}: no values of {method} under {column}; there are {', '.join(values)}")
    return Values({method: values[method] for method in methods or values}, direction(folder, column))


def numbers_of(rows: Sequence[PlainRow], column: str) -> NDArray[np.float64]:
    """Return the numbers of a column, (n,): scores, costs, or numbers beside them; NaN where a row has none.

    Args:
        rows: Rows of an evaluation, or of a comparison of in-fills.
        column: Name of the numbers.

    Example:
        >>> numbers_of([{"id": "a", "scores": {"iou": 0.5}, "cost": {"passes": 2.0}}], "passes").tolist()
        [2.0]
    """
    held = Rows.over(rows)
    numbers = held.floats("scores", column)
    for place in (("cost", column), (column,)):
        numbers = np.where(np.isnan(numbers), held.floats(*place), numbers)
    return numbers


def direction(folder: Path, column: str) -> bool | None:
    """Say whether higher values of a column are better; None where results.json does not say it.

    Args:
        folder: Folder of the results.
        column: Name of the column.
    """
    content = parse(existing(folder, "results.json"), dict[str, Any])
    described = content.get("columns", {}).get(column)
    return None if described is None else described["higher_is_better"]


def matching(cells: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], score: str) -> dict[tuple, float]:
    """Return the scores of the cells with some facts, by their other facts.

    Args:
        cells: Finished cells.
        facts: Facts that a cell must have, such as its method.
        score: Name of the number.

    Returns:
        Other facts of a cell → its number; cells without that number are left out.

    Example:
        >>> matching([{"cell": "x", "method": "a", "seed": 0, "score": 0.5}], {"method": "a"}, "score")
        {(('seed', 0),): 0.5}
    """
    scores = {}
    for cell in cells:
        has_facts = all(cell.get(key) == value for key, value in facts.items())
        # a cell without this score was stopped, or is of an earlier version
        if has_facts and cell.get(score) is not None:
            others = [(key, cell[key]) for key in FACTS if key in cell and key not in facts]
            scores[tuple(others)] = float(cell[score])
    return scores
