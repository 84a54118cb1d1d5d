"""The class-specific masking matrix of an evaluation: means, intervals, table and file.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 4.2, Table 1). The paper gives no intervals.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from explainer.evaluation.results.content import MatrixResults, MatrixSummary
from explainer.evaluation.results.intervals import mean_intervals
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.rows import PlainRow
from explainer.metrics import MaskingMatrix


def matrices(rows: Sequence[PlainRow], classes: Sequence[str]) -> dict[str, MatrixResults]:
    """Average the matrices of each method over the images that contain the class of the row.

    Args:
        rows: Rows of a `Store`; under "matrix" stands what a `ClassMatrix` measured.
        classes: Classes of the matrix.

    Returns:
        Method → its matrix, with 95 % intervals of the means.

    Example:
        >>> matrix = matrices([{"method": "a", "matrix": {"dog": [0.5, 0.25, 1.0]}}], ["cat", "dog"])["a"]
        >>> matrix["values"], matrix["summary"]["own"]
        ([[None, None, None], [0.5, 0.25, 1.0]], [1.0, 1.0, 1.0])
    """
    held = Rows.over(rows)
    having = held.has("matrix")
    for place in held.places("matrix"):
        having |= held.has(*place)
    held = held.take(np.flatnonzero(having))
    summaries = {}
    for method in held.names("method"):
        of_method = held.of(method)
        # a row holds the classes present alone; a class that an image lacks is a row of NaN
        scores = torch.full((len(of_method), len(classes), 1 + len(classes)), torch.nan, dtype=torch.float64)
        for number, name in enumerate(classes):
            index = np.flatnonzero(of_method.has("matrix", name))
            if len(index):
                values = of_method.take(index).table("matrix", name)
                scores[torch.from_numpy(index), number] = torch.from_numpy(values)
        summaries[method] = _summarised(scores, classes)
    return summaries


def _summarised(scores: Tensor, classes: Sequence[str]) -> MatrixResults:
    """Average the scores of one method, (n, C, 1 + C)."""
    metric = MaskingMatrix(len(classes))
    metric.update(scores.float())
    intervals = []
    for index in range(len(classes)):
        # the images with the class alone are drawn: how many images have it is no part of the question
        with_class = scores[~scores[:, index, 0].isnan(), index]
        intervals.append(_rounded(mean_intervals(with_class)))
    return {
        "classes": list(classes),
        "images": metric.images.tolist(),
        "values": _rounded(metric.compute()),
        "interval": intervals,
        "summary": _summary(scores),
    }


def _summary(scores: Tensor) -> MatrixSummary:
    """Average over images and classes."""
    confidence = told_apart(scores)
    means = confidence.nanmean(0)
    ends = mean_intervals(confidence)
    none, own_mask, other_masks = _rounded(torch.cat([means[:, None], ends], 1))
    return {"none": none, "own": own_mask, "other": other_masks}


def told_apart(scores: Tensor) -> Tensor:
    """Average the confidence in an image's classes without a mask, with the class's mask, and with those of others.

    Args:
        scores: Scores (n, C, 1 + C) of `masking_scores`, C > 1 for the last of the three.

    Returns:
        Means (n, 3) over the classes that the image has; NaN of an image with none, and of what is not defined.

    Example:
        >>> told_apart(torch.tensor([[[0.5, 1.0, 0.25], [torch.nan] * 3]])).tolist()
        [[0.5, 1.0, 0.25]]
    """
    masked = scores[:, :, 1:]
    same_class = masked.diagonal(dim1=1, dim2=2)
    count = scores.shape[1]
    # of a single class there are no other masks
    other_classes = torch.full_like(same_class, torch.nan)
    if count > 1:
        other_classes = (masked.sum(2) - same_class) / (count - 1)
    unmasked = scores[:, :, 0]
    by_class = torch.stack([unmasked, same_class, other_classes], 2)
    return by_class.nanmean(1)


def _rounded(table: Tensor) -> list[list[float | None]]:
    """Round a table to 6 digits; JSON has no NaN."""
    rows: list[list[float | None]] = []
    for values in table.tolist():
        # NaN alone differs from itself
        rows.append([None if value != value else round(value, 6) for value in values])
    return rows
