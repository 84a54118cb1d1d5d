"""Soft intersection over union of a mask (S. Stalder et al., NeurIPS 2022, section 4.3)."""

import torch
from torch import Tensor

from explainer.metrics.base import MeanOverImages
from explainer.metrics.segmentation import Objects, TruthRule, Void, truth_and_weight


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
    return (both / either.clamp_min(1e-12)).masked_fill(without_object, torch.nan)


class SoftIoU(MeanOverImages):
    """Mean of `soft_iou` over images.

    Args:
        void: Weight of void pixels: "ignore" gives them none, "object" counts them as object.
        objects: Objects of the truth: the "labelled" ones, or "all" that are segmented.
    """

    higher_is_better = True
    percent = True
    paper = "S. Stalder et al., NeurIPS 2022"
    formula = r"\frac{\sum \min(m, g)}{\sum \max(m, g)}"
    range = "[0, 1]"

    def __init__(self, void: Void = "ignore", objects: Objects = "labelled") -> None:
        super().__init__()
        self.rule = TruthRule(void, objects)

    def update(self, mask: Tensor, segmentation: Tensor, labels: Tensor) -> None:
        """Add masks (B, 1, H, W) with their segmentations (B, K, H, W) and labels (B, K)."""
        truth, weight = truth_and_weight(segmentation, labels, self.rule)
        self.add(soft_iou(mask, truth, weight))
