"""Read finished evaluations and grids of retrainings: every column of every method, turned so that higher is better."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from explainer.errors import InputError
from explainer.evaluation.references import ANNOTATED, ORIGINAL
from explainer.evaluation.results.finished import existing, finished_cells
from explainer.evaluation.results.summary import column_of
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.reading import ROWS, read_folder
from explainer.evaluation.storage.rows import Evaluated
from explainer.files import parse

SIGNS = {"keep": 1.0, "remove": -1.0}
"""Mode of a retraining → sign that makes higher better: what is kept should suffice, what is left should not."""
SUMS = {"keep": "KAR", "remove": "ROAR"}
"""Mode of a retraining → column of its sum over fractions."""


class Columns(NamedTuple):
    """The columns of one evaluation.

    Attributes:
        methods: Names of the M methods.
        values: Column → values (M, n) float64 of the same n images or seeds; higher is better; NaN where there is none.
        turned: Columns whose sign was turned.
    """

    methods: list[str]
    values: dict[str, Tensor]
    turned: list[str]


def read_evaluation(folder: Path, methods: Sequence[str] | None = None) -> Columns:
    """Read an evaluation image by image; references of the annotation and the image as it is are no methods.

    Args:
        folder: Folder of the results, with rows and results.json.
        methods: Methods to read; None takes all.

    Raises:
        InputError: The folder has no results, they do not tell the direction of the columns, or a method is missing.
    """
    content = parse(existing(folder, "results.json"), dict[str, Any])
    described = content.get("columns")
    if not described:
        raise InputError(f"{folder / 'results.json'} does not describe its columns: evaluate again with this version")
    existing(folder, ROWS)
    rows = read_folder(folder, Evaluated)
    rows = rows.take(np.flatnonzero(~rows.has("error")))
    others = (ORIGINAL, *ANNOTATED)
    # in the order in which they were evaluated
    evaluated = [method for method in rows.names("method") if method not in others]
    # only what results.json reports: the file may hold rows of an earlier call
    evaluated = [method for method in evaluated if method in content["results"]]
    chosen = list(methods or evaluated)
    for method in chosen:
        if method not in evaluated:
            raise InputError(f"{folder}: no method {method!r}; there are {', '.join(evaluated)}")
    # sorted: the same images must stand in the same order for every classifier, since they are drawn together
    images = sorted(rows.names("id"))
    of_methods = [rows.of(method) for method in chosen]
    values: dict[str, Tensor] = {}
    turned = []
    for column, description in described.items():
        of_column = torch.stack([_aligned(of_method, column, images) for of_method in of_methods])
        # a column without any value puts nothing in an order
        if of_column.isnan().all():
            continue
        # turned, so that higher is better in every column: correlations must not differ in sign for that alone
        if not description["higher_is_better"]:
            of_column = -of_column
            turned.append(column)
        values[column] = of_column
    return Columns(chosen, values, turned)


def _aligned(rows: Rows, column: str, images: Sequence[str]) -> Tensor:
    """Return a method's values of images, (n,); a method that failed on an image has no value there."""
    place = {image: number for number, image in enumerate(images)}
    values = torch.full((len(images),), torch.nan, dtype=torch.float64)
    values[[place[image] for image in rows.values("id")]] = column_of(rows, column)
    return values


def read_retraining(folder: Path, methods: Sequence[str]) -> Columns:
    """Read a grid of ROAR and KAR seed by seed: the sum over fractions of each mode, and of both.

    Args:
        folder: Folder of the results, with cells.jsonl.
        methods: Methods, in the order of the values; those that the grid has not are NaN.

    Raises:
        InputError: The folder has no finished cell of these methods.
    """
    needed = {"method", "mode", "fraction", "seed"}
    cells = [cell for cell in finished_cells(folder) if needed <= set(cell) and cell["method"] in methods]
    if not cells:
        raise InputError(f"{folder}: cells.jsonl has no finished cell of a method of the evaluation")
    scores = {}
    for cell in cells:
        place = (cell["method"], cell["mode"], cell["fraction"], cell["seed"])
        scores[place] = cell["score"]
    seeds = sorted({cell["seed"] for cell in cells})
    values: dict[str, Tensor] = {}
    for mode, column in SUMS.items():
        fractions = sorted({cell["fraction"] for cell in cells if cell["mode"] == mode})
        if not fractions:
            continue
        table = torch.zeros(len(methods), len(seeds), dtype=torch.float64)
        for fraction in fractions:
            for m, method in enumerate(methods):
                for s, seed in enumerate(seeds):
                    # a sum without one of its fractions would look like a better or a worse one: NaN stays NaN
                    score = scores.get((method, mode, fraction, seed), torch.nan)
                    table[m, s] += SIGNS[mode] * score
        values[column] = table
    turned = ["ROAR"] if "ROAR" in values else []
    if len(values) == len(SUMS):
        values["SUM"] = values["KAR"] + values["ROAR"]
    return Columns(list(methods), values, turned)
