"""How few pixels hold a map: the Gini index.

P. Chalasani, J. Chen, A. R. Chowdhury, S. Jha, X. Wu: Concise Explanations of Neural Networks using Adversarial
Training, ICML 2020, after N. Hurley, S. Rickard: Comparing Measures of Sparsity, IEEE Transactions on
Information Theory 55, 2009. The papers take absolute attributions; here it is the mask, whose smallest value an
evaluation has mostly moved to 0, so the numbers of the two differ.
"""

import torch
from torch import Tensor

from explainer.metrics.base import ImageMetric, Judged, Measured


def gini(maps: Tensor) -> Tensor:
    r"""Compute the Gini index of the pixels' absolute values, in ascending order.

    .. math:: 1 - 2 \sum_{k=1}^{d} \frac{|v|_{(k)}}{\|v\|_1} \cdot \frac{d - k + 0.5}{d}

    Args:
        maps: Maps (B, 1, H, W), of d pixels.

    Returns:
        Gini index (B,) in [0, 1 - 1/d]: 0 for a constant map, the largest for a single pixel; higher is sparser; NaN
        for a map that holds NaN.

    Example:
        >>> gini(torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]], [[[0.5, 0.5, 0.5, 0.5]]]])).tolist()
        [0.75, 0.0]
    """
    ordered = maps.flatten(1).double().abs().sort(1).values
    total = ordered.sum(1)
    count = ordered.shape[1]
    place = torch.arange(1, count + 1, dtype=ordered.dtype, device=maps.device)
    weight = 2 * place - count - 1
    index = (ordered * weight).sum(1) / (count * total)
    # a map of zeros is constant
    return torch.where(total == 0, 0.0, index).to(maps)


class Sparseness(ImageMetric):
    """Mean of `gini` over images: it says how concise a mask is, not whether it is right.

    The classifier is not asked, nor is any ground truth: the best value has a mask of a single pixel, wherever it is.
    """

    higher_is_better = True
    paper = "P. Chalasani et al., ICML 2020"
    meaning = "Gini index: how few pixels hold the map, not whether they are the right ones."
    formula = r"1 - 2 \sum_k (m_{(k)} / \sum m) (Z - k + 0.5) / Z"
    range = "[0, 1 - 1/Z]"

    def measure(self, judged: Judged) -> Measured:
        """Compute `gini` of each mask; it is defined for every image."""
        return Measured(gini(judged.clean.mask))
