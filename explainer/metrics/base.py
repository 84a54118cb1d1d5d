"""A mean over images that leaves out, and counts, those for which a value is not defined."""

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanOverImages(Metric):
    """Mean of one value an image; NaN values are left out and counted in `skipped`.

    `compute` is NaN when no image had a value.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor
    skipped: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("skipped", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Take the values of some images.

        Args:
            values: (B,), NaN where not defined.
        """
        defined = ~values.isnan()
        self.total += values[defined].sum().double()
        self.count += defined.sum()
        self.skipped += (~defined).sum()

    def compute(self) -> Tensor:
        """The mean over the images that had a value."""
        return (self.total / self.count).float()
