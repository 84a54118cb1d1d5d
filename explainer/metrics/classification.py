"""How well a classifier does on images with several labels: means over the classes that occur.

torchmetrics counts a class of which no image is seen as 0, so that a perfect classifier on a small validation split
would not reach 1.
"""

import warnings
from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score
from torchmetrics.utilities import dim_zero_cat


def mean_over_occurring(values: Tensor, occurs: Tensor) -> Tensor:
    """Average over the classes that occur in at least one image.

    Args:
        values: Values of the classes, (K,).
        occurs: Whether a class occurs, (K,) bool.

    Returns:
        A scalar; NaN when no class occurs.

    Example:
        >>> import torch
        >>> mean_over_occurring(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([False, True, True])).item()
        0.75
    """
    return values[occurs].mean()


class MeanAveragePrecision(MultilabelAveragePrecision):
    """mAP: the area under each class's precision-recall curve, averaged over the classes that occur.

    Args:
        num_labels: Number of classes, K.
    """

    def __init__(self, num_labels: int) -> None:
        # torchmetrics' validation refuses a single label, which its computation can handle
        super().__init__(num_labels, average="none", validate_args=num_labels > 1)

    def _sync_dist(self, *arguments: Any, **options: Any) -> None:
        """Bring the values of several processes together; one that has seen no image has none, in the same shape."""
        if not self.preds:
            self.preds = [torch.zeros(0, self.num_labels, device=self.device)]
            self.target = [torch.zeros(0, self.num_labels, dtype=torch.long, device=self.device)]
        super()._sync_dist(*arguments, **options)

    def compute(self) -> Tensor:  # type: ignore[override]
        """Return the mean; NaN when no image has a label."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchmetrics warns of classes that do not occur
            values = super().compute()
        return mean_over_occurring(values, dim_zero_cat(self.target).any(0))


class MeanF1(MultilabelF1Score):
    """F1 at probability 0.5, averaged over the classes that occur.

    Args:
        num_labels: Number of classes, K.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, average="none", validate_args=num_labels > 1)

    def compute(self) -> Tensor:
        """Return the mean; NaN when no image has a label."""
        # an image of the class is found or missed: the two counts together are those of the images that have it
        occurrences = dim_zero_cat(self.tp) + dim_zero_cat(self.fn)
        return mean_over_occurring(super().compute(), occurrences > 0)
