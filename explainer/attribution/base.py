"""The interface of every attribution method."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from explainer.masking import min_max
from explainer.networks import Explanandum


class Attribution(ABC):
    """(explanandum, image, target) → one map an image; hyperparameters only in the constructor.

    The explanandum is left as it was found: mode, gradients and hooks.
    """

    batch_size: int = 16
    """At most so many images go through the explanandum at once."""

    @abstractmethod
    def __call__(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Attribute a class score to pixels.

        Args:
            explanandum: The frozen classifier.
            image: (B, 3, H, W) in [0, 1].
            target: (B,) long, one class an image.

        Returns:
            (B, 1, H, W), raw and signed; higher is more important.
        """

    def target_mask(self, explanandum: Explanandum, image: Tensor, labels: Tensor) -> Tensor:
        """One mask for all the classes present: each class's map min-max scaled, then the maximum over them.

        Args:
            explanandum: The frozen classifier.
            image: (B, 3, H, W) in [0, 1].
            labels: (B, K) multi-hot.

        Returns:
            (B, 1, H, W) in [0, 1]; 0 for an image without label. A class's map that is constant, or that has a NaN or
            infinite pixel, counts as 0.
        """
        mask = torch.zeros_like(image[:, :1])
        pairs = labels.nonzero()
        for start in range(0, len(pairs), self.batch_size):  # not split(), which gives one empty part of no pairs
            owner, target = pairs[start : start + self.batch_size].unbind(1)
            found = self(explanandum, image[owner], target).detach()
            finite = found.isfinite().flatten(1).all(1)[:, None, None, None]
            scaled = min_max(torch.where(finite, found, 0.0)).to(mask.dtype)
            # one map an image, not (B, K, H, W): with 1,000 classes that would not fit
            mask = mask.scatter_reduce(0, owner[:, None, None, None].expand_as(scaled), scaled, "amax")
        return mask


class Reference(Attribution):
    """A map that looks at neither network nor class: what every method must beat."""

    @abstractmethod
    def mask(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1]."""

    def __call__(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """The mask, whatever the target."""
        return self.mask(image)

    def target_mask(self, explanandum: Explanandum, image: Tensor, labels: Tensor) -> Tensor:
        """The mask as it is, not scaled."""
        return self.mask(image)


def check_targets(target: Tensor, classes: int) -> None:
    """Refuse targets that are no classes.

    Args:
        target: (B,) long.
        classes: K.

    Raises:
        ValueError: Names the first such target.

    Example:
        >>> check_targets(torch.tensor([0, 2]), 3)
    """
    wrong = target[(target < 0) | (target >= classes)]
    if len(wrong):
        raise ValueError(f"target {int(wrong[0])} is out of range: the classifier has {classes} classes")
