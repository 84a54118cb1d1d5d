"""How evenly a map is spread over the pixels: its entropy.

U. Bhatt, A. Weller, J. M. F. Moura: Evaluating and Aggregating Feature-based Model Explanations, IJCAI 2020. The paper
takes absolute attributions, here it is the mask.
"""

import torch
from torch import Tensor

from explainer.metrics.base import ImageMetric, Judged, Measured


def entropy_of(maps: Tensor) -> Tensor:
    r"""Compute the entropy of the pixels' shares of a map, in nats.

    .. math:: -\sum_u p_u \ln p_u, \quad p_u = \frac{|v_u|}{\|v\|_1}

    A map of zeros says as much of every pixel as a constant one does, and counts as such.

    Args:
        maps: Maps (B, 1, H, W), of d pixels.

    Returns:
        Entropy (B,) in [0, ln d]; lower is more concise; NaN for a map that holds NaN.

    Example:
        >>> entropy_of(torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]], [[[0.5, 0.5, 0.5, 0.5]]]])).exp().round().tolist()
        [1.0, 4.0]
    """
    # in double precision: 50,000 small terms are summed
    size = maps.flatten(1).double().abs()
    total = size.sum(1, keepdim=True)
    # a map of zeros has no shares: it counts as a constant one
    even_share = 1 / size.shape[1]
    share = torch.where(total == 0, even_share, size / total)
    # entr() knows that a share of 0 adds nothing; its logarithm alone would make the sum NaN
    entropy = torch.special.entr(share).sum(1)
    return entropy.to(maps)


class Complexity(ImageMetric):
    """Mean of `entropy_of` over images: it says how concise a mask is, not whether it is right."""

    higher_is_better = False
    paper = "U. Bhatt et al., IJCAI 2020"
    meaning = "Entropy of the map: how many pixels share it, not whether they are the right ones."
    formula = r"-\sum p \ln p, p = m / \sum m"
    range = "[0, ln Z]"

    def measure(self, judged: Judged) -> Measured:
        """Compute `entropy_of` each mask; it is defined for every image."""
        return Measured(entropy_of(judged.clean.mask))
