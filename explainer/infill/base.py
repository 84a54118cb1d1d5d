"""What stands where the mask is 0: the interface."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class Infill(ABC):
    """From an image and a mask to the picture that shows through where the mask is 0."""

    sees_mask: bool = False
    """Whether the infill depends on the mask."""
    stochastic: bool = False
    """Whether two calls differ. A draw is shared by the images of a batch."""

    @abstractmethod
    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Make the infill.

        Args:
            image: (B, 3, H, W) in [0, 1].
            mask: (B, 1, H, W), 1 = keep; for infills that look at what stays visible.
            generator: Of stochastic infills; None takes PyTorch's own.

        Returns:
            In [0, 1], of a shape that broadcasts to `image`.
        """

    def check_classes(self, classes: Sequence[str]) -> None:  # noqa: B027  (most suit every classifier)
        """Refuse a classifier with which the infill makes no sense.

        Args:
            classes: Names of the classifier's classes, as far as it knows them.

        Raises:
            InputError: The infill was trained on another data set.
        """
