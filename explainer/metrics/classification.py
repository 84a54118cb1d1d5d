"""How well a classifier does on images with several labels: means over the classes that occur.

torchmetrics counts a class of which no image is seen as 0, so that a perfect classifier on a small validation split
would not reach 1.
"""

import warnings

from torch import Tensor
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score
from torchmetrics.utilities import dim_zero_cat


def mean_over_occurring(values: Tensor, occurs: Tensor) -> Tensor:
    """Mean over the classes of which some image is seen.

    Args:
        values: (K,).
        occurs: (K,) bool.

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
        num_labels: K.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, average="none", validate_args=num_labels > 1)  # which knows no single label

    def compute(self) -> Tensor:  # type: ignore[override]
        """The mean; NaN when no image has a label."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says so of classes that do not occur
            return mean_over_occurring(super().compute(), dim_zero_cat(self.target).any(0))


class MeanF1(MultilabelF1Score):
    """F1 at probability 0.5, averaged over the classes that occur.

    Args:
        num_labels: K.
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, average="none", validate_args=num_labels > 1)

    def compute(self) -> Tensor:
        """The mean; NaN when no image has a label."""
        return mean_over_occurring(super().compute(), (dim_zero_cat(self.tp) + dim_zero_cat(self.fn)) > 0)
