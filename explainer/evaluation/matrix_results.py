"""The class-specific masking matrix of an evaluation: means, intervals, table and file.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 4.2, Table 1). The paper gives no intervals.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from explainer.evaluation.intervals import mean_intervals
from explainer.evaluation.table import two_forms
from explainer.files import write_csv
from explainer.metrics import MaskingMatrix


def matrices(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mean over the images that contain the class of the row, and 95 % intervals of it.

    Args:
        rows: Of a `Store`; those under "matrix" have what `explainer.evaluation.matrix.ClassMatrix` found.
        classes: Of the matrix.

    Returns:
        Method → "classes"; "values" in [0, 1] (a row a class: without a mask, then with the mask of each; None where
        no image has the class), how many "images" each row is the mean of, "interval" (low and high of each value),
        and a "summary", the means over images and classes of what `told_apart` gives, each with its interval.

    Example:
        >>> found = matrices([{"method": "a", "matrix": {"dog": [0.5, 0.25, 1.0]}}], ["cat", "dog"])["a"]
        >>> found["values"], found["summary"]["own"]
        ([[None, None, None], [0.5, 0.25, 1.0]], [1.0, 1.0, 1.0])
    """
    told: dict[str, list[Tensor]] = {}
    none = [torch.nan] * (1 + len(classes))
    for row in rows:
        if "matrix" in row:
            values = [row["matrix"].get(name, none) for name in classes]
            told.setdefault(row["method"], []).append(torch.tensor(values, dtype=torch.float64))
    return {name: _described(torch.stack(images), classes) for name, images in told.items()}


def _described(scores: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """An entry of `matrices`, of (n, C, 1 + C)."""
    metric = MaskingMatrix(len(classes))
    metric.update(scores.float())
    there = [scores[~scores[:, r, 0].isnan(), r] for r in range(len(classes))]  # of each class its images alone
    ends = [mean_intervals(values) for values in there]
    few = told_apart(scores)
    means = few.nanmean(0)
    summary = torch.cat([means[:, None], mean_intervals(few)], 1)
    return {
        "classes": list(classes), "images": metric.images.tolist(),
        "values": [[_rounded(v) for v in row] for row in metric.compute().tolist()],
        "interval": [[[_rounded(v) for v in pair] for pair in row.tolist()] for row in ends],
        "summary": {
            key: [_rounded(v) for v in row] for key, row in zip(("none", "own", "other"), summary.tolist(), strict=True)
        },
    }  # fmt: skip


def told_apart(scores: Tensor) -> Tensor:
    """The confidence in an image's classes without a mask, with the class's own, and with those of other classes.

    Args:
        scores: (n, C, 1 + C) of `masking_scores`, C > 1 for the last of the three.

    Returns:
        (n, 3), means over the classes that the image has; NaN of an image with none, and of what is not there.

    Example:
        >>> told_apart(torch.tensor([[[0.5, 1.0, 0.25], [torch.nan] * 3]])).tolist()
        [[0.5, 1.0, 0.25]]
    """
    own = scores[:, :, 1:].diagonal(dim1=1, dim2=2)
    other = (scores[:, :, 1:].sum(2) - own) / (scores.shape[1] - 1) if scores.shape[1] > 1 else own * torch.nan
    return torch.stack([scores[:, :, 0], own, other], 2).nanmean(1)


def _rounded(value: float) -> float | None:
    return None if value != value else round(value, 6)


def matrix_table(found: Mapping[str, Mapping[str, Any]]) -> tuple[Table, str]:
    """What the matrices come to, a line a method: for the terminal, and in Markdown.

    Args:
        found: Of `matrices`; what has no summary, such as a paper's matrix, is left out.

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
        found: Of `matrices`; none: nothing is written.
        path: Of the file.
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
