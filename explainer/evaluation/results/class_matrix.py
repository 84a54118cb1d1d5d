"""The class-specific masking matrix of an evaluation: means, intervals, table and file.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 4.2, Table 1). The paper gives no intervals.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from explainer.evaluation.results.intervals import mean_intervals
from explainer.metrics import MaskingMatrix


def matrices(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mean over the images that contain the class of the row, and 95 % intervals of it.

    Args:
        rows: Rows of a `Store`; under "matrix" stands what a `ClassMatrix` measured.
        classes: Classes of the matrix.

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
        "classes": list(classes),
        "images": metric.images.tolist(),
        "values": [[_rounded(v) for v in row] for row in metric.compute().tolist()],
        "interval": [[[_rounded(v) for v in pair] for pair in row.tolist()] for row in ends],
        "summary": {
            key: [_rounded(v) for v in row] for key, row in zip(("none", "own", "other"), summary.tolist(), strict=True)
        },
    }


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
