"""Mean absolute error of a mask (S. Stalder et al., NeurIPS 2022, section 4.3)."""

from torch import Tensor

from explainer.metrics.agreement import TruthMetric


def mean_absolute_error(mask: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    r"""Measure how far a mask is from the truth; with a binary truth it is exactly one minus the soft accuracy.

    .. math:: \frac{1}{Z} \sum_{i,j} |m - g|

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        truth: Truth (B, 1, H, W) of 0 and 1.
        weight: Weights (B, 1, H, W), 0 where a pixel does not count.

    Returns:
        Error (B,) in [0, 1]; lower is better; NaN for an image without weight.

    Example:
        >>> import torch
        >>> mean_absolute_error(torch.tensor([[[[0.5]]]]), torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).item()
        0.5
    """
    error = (mask - truth).abs()
    counted = (error * weight).sum((1, 2, 3))
    total = weight.sum((1, 2, 3))
    return counted / total


class MaskMAE(TruthMetric):
    """Mean of `mean_absolute_error` over images with a segmentation.

    Args:
        void: Weight of void pixels: "ignore" gives them none, "object" counts them as object.
        objects: Objects of the truth: the "labelled" ones, or "all" that are segmented.
    """

    label = "MAE"
    higher_is_better = False
    meaning = "Mean difference of the mask from the annotated object, over the pixels."
    formula = r"\frac{1}{Z} \sum |m - g|"

    def compare(self, mask: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Compute `mean_absolute_error`: (B,)."""
        return mean_absolute_error(mask, truth, weight)
