"""Soft intersection over union of a mask (S. Stalder et al., NeurIPS 2022, section 4.3)."""

import torch
from torch import Tensor

from explainer.metrics.agreement import TruthMetric


def soft_iou(mask: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    r"""Compute the overlap of mask and truth, without a threshold.

    .. math:: \frac{\sum_{i,j} \min(m, g)}{\sum_{i,j} \max(m, g)}

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        truth: Truth (B, 1, H, W) of 0 and 1.
        weight: Weights (B, 1, H, W), 0 where a pixel does not count.

    Returns:
        Overlap (B,) in [0, 1]; higher is better; NaN for an image without weight or without object, where even a mask
        of one pixel would score 0, and an empty mask 1.

    Example:
        >>> soft_iou(torch.tensor([[[[0.5, 1.0]]]]), torch.tensor([[[[0.0, 1.0]]]]), torch.ones(1, 1, 1, 2)).item()
        0.6666666865348816
    """
    both = (torch.minimum(mask, truth) * weight).sum((1, 2, 3))
    either = (torch.maximum(mask, truth) * weight).sum((1, 2, 3))
    # without an object the ratio would say nothing of the mask but whether it is empty
    without_object = (truth * weight).sum((1, 2, 3)) == 0
    overlap = both / either.clamp_min(1e-12)
    return overlap.masked_fill(without_object, torch.nan)


class SoftIoU(TruthMetric):
    """Mean of `soft_iou` over images with a segmentation.

    Args:
        void: Weight of void pixels: "ignore" gives them none, "object" counts them as object.
        objects: Objects of the truth: the "labelled" ones, or "all" that are segmented.
    """

    label = "IoU"
    higher_is_better = True
    meaning = "Overlap of the mask with the annotated object, without a threshold."
    formula = r"\frac{\sum \min(m, g)}{\sum \max(m, g)}"

    def compare(self, mask: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Compute `soft_iou`: (B,)."""
        return soft_iou(mask, truth, weight)
