"""The interface of every attribution method."""

from abc import ABC, abstractmethod

from torch import Tensor

from explainer.masking import min_max, target_mask
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
            (B, 1, H, W) in [0, 1]; 0 for an image without label, or where a class's map is constant.
        """
        maps = image.new_zeros(*labels.shape, *image.shape[-2:])
        pairs = labels.nonzero()
        for some in pairs.split(self.batch_size):
            owner, target = some[:, 0], some[:, 1]
            found = self(explanandum, image[owner], target)[:, 0].detach()
            maps[owner, target] = min_max(found.nan_to_num(0.0)).to(maps.dtype)
        return target_mask(maps, labels)


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
