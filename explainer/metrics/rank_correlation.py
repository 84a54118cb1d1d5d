"""Spearman's rank correlation of two maps (C. Spearman: The Proof and Measurement of Association, 1904).

As torchmetrics' `spearman_corrcoef`, but for a batch at once, undefined (not 0) for a constant map, and right for maps
of 256×256 pixels and more with many ties, where the sum of tied ranks exceeds 32 bits.
"""

import torch
from torch import Tensor

from explainer.metrics.base import MeanOverImages


def ranks(values: Tensor) -> Tensor:
    """Rank each value in its row, from 1; equal values share the mean of their ranks.

    Args:
        values: Values (B, N), finite.

    Returns:
        Ranks (B, N) float64.

    Example:
        >>> ranks(torch.tensor([[5.0, 1.0, 5.0]])).tolist()
        [[2.5, 1.0, 2.5]]
    """
    # searchsorted copies what is not contiguous at each call, and warns of it
    values = values.contiguous()
    ordered = values.sort(1).values
    # the places of equal values begin after those below, and end with the last that is not above
    below = torch.searchsorted(ordered, values, right=False)
    not_above = torch.searchsorted(ordered, values, right=True)
    return (below + not_above + 1).double() / 2


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    r"""Measure how alike the orders are in which two maps put the pixels.

    .. math:: \rho = \frac{\operatorname{cov}(R(a), R(b))}{\sigma_{R(a)} \sigma_{R(b)}}

    Args:
        maps: Maps (B, 1, H, W), or of any shape that begins with B.
        others: Maps of the same shape.

    Returns:
        Correlation (B,) in [-1, 1]; higher is more alike, 1 the same order, -1 the reverse; NaN where a map is constant
        or not finite.

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.1, 0.2, 9.0]])).item()
        1.0
    """
    first = maps.flatten(1)
    second = others.flatten(1)
    finite = (first.isfinite() & second.isfinite()).all(1)
    # ranks need finite values; the rows of others become NaN at the end
    a = ranks(first.nan_to_num())
    a = a - a.mean(1, keepdim=True)
    b = ranks(second.nan_to_num())
    b = b - b.mean(1, keepdim=True)
    squares_of_a = a.square().sum(1)
    squares_of_b = b.square().sum(1)
    norm = (squares_of_a * squares_of_b).sqrt()
    correlation = (a * b).sum(1) / norm  # 0 / 0, which is NaN, for a constant map
    return correlation.masked_fill(~finite, torch.nan).float()


class RankCorrelation(MeanOverImages):
    """Mean of `rank_correlation` over images."""

    higher_is_better = True
    paper = "C. Spearman, The Proof and Measurement of Association between Two Things, 1904"
    formula = "Pearson's correlation of the two maps' ranks, equal pixels sharing the mean of theirs"
    range = "−1 to 1; no value where a map is constant"

    def update(self, maps: Tensor, others: Tensor) -> None:
        """Add two maps of each image, (B, 1, H, W)."""
        self.add(rank_correlation(maps, others))
