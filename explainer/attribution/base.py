"""The interface of every attribution method."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from explainer.attribution.targets import each_target
from explainer.errors import InputError
from explainer.functional.masking import min_max
from explainer.networks import Explanandum

_NOTED: ContextVar[list[tuple[Tensor, Tensor]] | None] = ContextVar("noted", default=None)


class Attribution(ABC):
    """(explanandum, image, target) → one map an image; hyperparameters only in the constructor.

    The explanandum is left as it was found: mode, gradients and hooks.
    """

    batch_size: int = 16
    """At most so many images go through the explanandum at once."""
    needs_target: bool = True
    """Whether the map depends on a class."""
    is_mask: bool = False
    """Whether maps are masks or probabilities in [0, 1]; of other maps only the order means something."""
    budget: str | None = None
    """The hyperparameter that says how long the method samples or searches, if one does."""

    def __call__(self, explanandum: Explanandum, image: Tensor, target: Any = None) -> Tensor:
        """Attribute a class score to pixels.

        Args:
            explanandum: The frozen classifier.
            image: (B, 3, H, W) in [0, 1].
            target: One class an image: (B,) whole numbers in a tensor, an array or a list, or one for all images; or
                (B, K) bool, any number of classes an image.

        Returns:
            (B, 1, H, W), raw and signed; higher is more important. With a bool matrix (N, 1, H, W), one map for each
            True of it, in row order.

        Raises:
            InputError: Shapes do not fit, the image has a NaN, its size is too small for the classifier, or a target is
                no class of it.
        """
        check_image(image)
        if target is None:
            if self.needs_target:
                raise InputError(
                    f"{type(self).__name__} needs a target: a class for each image, or a bool matrix (B, K)"
                )
            target = 0
        chosen = each_target(target, image, explanandum.num_classes)
        if chosen.dtype == torch.bool:
            return self.maps_of_classes(explanandum, image, chosen)
        with size_fits(image):
            return self.maps(explanandum, image, chosen)

    @abstractmethod
    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """What a method has to do; the arguments are checked, `target` is (B,) long."""

    def maps_of_classes(self, explanandum: Explanandum, image: Tensor, classes: Tensor) -> Tensor:
        """A map for each True of a bool matrix (B, K), in row order: (N, 1, H, W)."""
        owner, target = classes.nonzero().unbind(1)
        if not len(owner):
            return image.new_zeros(0, 1, *image.shape[-2:])
        return self(explanandum, image[owner], target)

    def target_mask(self, explanandum: Explanandum, image: Tensor, labels: Tensor, scaled: bool = True) -> Tensor:
        """One mask for all the classes present: each class's map min-max scaled, then the maximum over them.

        Args:
            explanandum: The frozen classifier.
            image: (B, 3, H, W) in [0, 1].
            labels: (B, K) multi-hot.
            scaled: Also scale maps that are masks already (`is_mask`).

        Returns:
            (B, 1, H, W) in [0, 1]; 0 for an image without label. A class's map that has a NaN or infinite pixel, or
            that is constant where it is scaled, counts as 0.
        """
        check_image(image)
        mask = torch.zeros_like(image[:, :1])
        pairs = labels.nonzero()
        for start in range(0, len(pairs), self.batch_size):  # not split(), which gives one empty part of no pairs
            owner, target = pairs[start : start + self.batch_size].unbind(1)
            with size_fits(image):
                found = self.maps(explanandum, image[owner], target).detach()
            found = zero_where_broken(found, owner)
            own = found.clamp(0, 1) if self.is_mask and not scaled else min_max(found)
            own = own.to(mask.dtype)
            # one map an image, not (B, K, H, W): with 1,000 classes that would not fit
            mask = mask.scatter_reduce(0, owner[:, None, None, None].expand_as(own), own, "amax")
        return mask


def zero_where_broken(maps: Tensor, owner: Tensor) -> Tensor:
    """A map that has a NaN or infinite pixel becomes 0, and `noting_broken` hears of it.

    Args:
        maps: (N, 1, H, W).
        owner: (N,), whose map each is.

    Returns:
        (N, 1, H, W), finite.

    Example:
        >>> zero_where_broken(torch.tensor([[1.0, torch.inf]])[None, None], torch.zeros(1)).sum().item()
        0.0
    """
    finite = maps.isfinite().flatten(1).all(1)
    noted = _NOTED.get()
    if noted is not None:
        noted.append((owner, finite))
    return torch.where(finite[:, None, None, None], maps, 0.0)


@contextmanager
def noting_broken() -> Iterator[list[tuple[Tensor, Tensor]]]:
    """While open, notes for each of `target_mask`'s maps whose it is and whether it was finite: (N,) both.

    Example:
        >>> with noting_broken() as noted: kept = zero_where_broken(torch.full((1, 1, 2, 2), torch.nan), torch.zeros(1))
        >>> noted[0][1].tolist()
        [False]
    """
    noted: list[tuple[Tensor, Tensor]] = []
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


class Reference(Attribution):
    """A map that looks at neither network nor class: what every method must beat."""

    @abstractmethod
    def mask(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) in [0, 1]."""

    needs_target, is_mask = False, True

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """The mask, whatever the target."""
        return self.mask(image)

    def target_mask(self, explanandum: Explanandum, image: Tensor, labels: Tensor, scaled: bool = True) -> Tensor:
        """The mask as it is, never scaled."""
        return self.mask(image)


def check_image(image: Tensor) -> None:
    """Refuse what is no batch of pictures.

    Args:
        image: (B, 3, H, W).

    Raises:
        InputError: Names the shape, or the image and the number of values that are NaN or infinite.

    Example:
        >>> check_image(torch.rand(2, 3, 8, 8))
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise InputError(f"images must be float (B, 3, H, W) in [0, 1], got {image.dtype} {tuple(image.shape)}")
    broken = (~image.isfinite()).flatten(1).sum(1)
    if bool(broken.any()):
        first = int(broken.nonzero()[0])
        raise InputError(f"image {first} of the batch has {int(broken[first])} values that are NaN or infinite")


@contextmanager
def size_fits(image: Tensor) -> Iterator[None]:
    """Say in one line that images are too small (or of another size) for the network, whatever layer complains.

    Args:
        image: (B, 3, H, W).

    Raises:
        InputError: Instead of the RuntimeError of a convolution, pooling or linear layer.

    Example:
        >>> with size_fits(torch.rand(1, 3, 8, 8)): pass
    """
    try:
        yield
    except RuntimeError as error:
        words = str(error).splitlines()[0]
        known = ("Output size is too small", "Kernel size can't be greater", "shapes cannot be multiplied", "too small")
        if not any(phrase in words for phrase in known):
            raise
        raise InputError(f"the classifier refuses images of {image.shape[-2]}×{image.shape[-1]}: {words}") from error
