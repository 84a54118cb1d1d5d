"""Soft pixel accuracy of a mask (S. Stalder et al., NeurIPS 2022, section 4.3)."""

from torch import Tensor

from explainer.metrics.agreement import TruthMetric


def soft_accuracy(mask: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    r"""Compute the share of the pixels that the mask gets right, without a threshold.

    .. math:: \frac{1}{Z} \sum_{i,j} m g + (1 - m)(1 - g)

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        truth: Truth (B, 1, H, W) of 0 and 1.
        weight: Weights (B, 1, H, W), 0 where a pixel does not count.

    Returns:
        Accuracy (B,) in [0, 1]; higher is better; NaN for an image without weight.

    Example:
        >>> import torch
        >>> soft_accuracy(torch.tensor([[[[0.5, 1.0]]]]), torch.tensor([[[[0.0, 1.0]]]]), torch.ones(1, 1, 1, 2)).item()
        0.75
    """
    right = mask * truth + (1 - mask) * (1 - truth)
    counted = (right * weight).sum((1, 2, 3))
    total = weight.sum((1, 2, 3))
    return counted / total


class SoftAccuracy(TruthMetric):
    """Mean of `soft_accuracy` over images with a segmentation.

    Args:
        void: Weight of void pixels: "ignore" gives them none, "object" counts them as object.
        objects: Objects of the truth: the "labelled" ones, or "all" that are segmented.
    """

    label = "Acc"
    higher_is_better = True
    meaning = "Share of the pixels that the mask gets right, without a threshold."
    formula = r"\frac{1}{Z} \sum m g + (1 - m)(1 - g)"

    def compare(self, mask: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Compute `soft_accuracy`: (B,)."""
        return soft_accuracy(mask, truth, weight)
