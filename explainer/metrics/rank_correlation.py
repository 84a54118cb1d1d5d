"""Spearman's rank correlation of two maps (C. Spearman: The Proof and Measurement of Association, 1904).

As torchmetrics' `spearman_corrcoef`, but for a batch at once, undefined (not 0) for a constant map, and right for maps
of 256×256 pixels and more with many ties, where the sum of tied ranks exceeds 32 bits.
"""

import torch
from torch import Tensor

from explainer.metrics.base import MeanOverImages


def ranks(values: Tensor) -> Tensor:
    """Place of each value in its row, from 1; equal values share the mean of their places.

    Args:
        values: (B, N), finite.

    Returns:
        (B, N) float64.

    Example:
        >>> ranks(torch.tensor([[5.0, 1.0, 5.0]])).tolist()
        [[2.5, 1.0, 2.5]]
    """
    values = values.contiguous()
    ordered = values.sort(1).values
    below, upto = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (below + upto + 1).double() / 2


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    r"""How alike the orders are in which two maps put the pixels.

    .. math:: \rho = \frac{\operatorname{cov}(R(a), R(b))}{\sigma_{R(a)} \sigma_{R(b)}}

    Args:
        one: (B, 1, H, W), or any shape that begins with B.
        other: Likewise.

    Returns:
        (B,) in [-1, 1]; higher is more alike, 1 the same order, -1 the reverse; NaN where a map is constant or not
        finite.

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.1, 0.2, 9.0]])).item()
        1.0
    """
    first, second = one.flatten(1), other.flatten(1)
    known = (first.isfinite() & second.isfinite()).all(1)
    a, b = (r - r.mean(1, keepdim=True) for r in (ranks(first.nan_to_num()), ranks(second.nan_to_num())))
    found = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
    return found.masked_fill(~known, torch.nan).float()


class RankCorrelation(MeanOverImages):
    """Mean of `rank_correlation` over images."""

    higher_is_better = True
    paper = "C. Spearman, The Proof and Measurement of Association between Two Things, 1904"
    formula = "Pearson's correlation of the two maps' ranks, equal pixels sharing the mean of theirs"
    range = "−1 to 1; no value where a map is constant"

    def update(self, one: Tensor, other: Tensor) -> None:
        """Two maps of each image, (B, 1, H, W)."""
        self.add(rank_correlation(one, other))
