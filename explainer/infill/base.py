"""What stands where the mask is 0: the interface."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from explainer.errors import InputError


class Infill(ABC):
    """From an image and a mask to the picture that shows through where the mask is 0."""

    sees_mask: bool = False
    """Whether the infill depends on the mask."""
    stochastic: bool = False
    """Whether two calls differ. The images of a batch share a draw."""

    @abstractmethod
    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Make the infill.

        Args:
            image: Images (B, 3, H, W) in [0, 1].
            mask: Masks (B, 1, H, W), 1 = keep, for infills that look at what stays visible.
            generator: Generator of stochastic infills; None takes PyTorch's own.

        Returns:
            Infill in [0, 1], of a shape that broadcasts to `image`.
        """

    def check_classes(self, classes: Sequence[str]) -> None:  # noqa: B027  (most suit every classifier)
        """Refuse a classifier with which the infill makes no sense.

        Args:
            classes: Names of the classifier's classes, as far as it knows them.

        Raises:
            InputError: The infill was trained on another data set.
        """


class ForeignInfill(Infill):
    """Base of in-painters that others have trained, and whose files run code.

    Args:
        source: File, folder or name that the in-painter comes from.
        batch_size: Largest number of images that are painted at once.
        allow: Whether the caller trusts the source, whose code runs.

    Raises:
        InputError: The source is not allowed, or `batch_size` is not positive.
    """

    sees_mask = True

    def __init__(self, source: str, batch_size: int, allow: bool) -> None:
        name = type(self).__name__
        if batch_size < 1:
            raise InputError(f"infill {name}: batch_size must be positive, got {batch_size}")
        if not allow:
            raise InputError(f"{source} runs code of its own: if you trust it, set allow of the infill {name} to true")
        self.batch_size = batch_size

    def completed(
        self,
        image: Tensor,
        mask: Tensor | None,
        paint: Callable[[Tensor, Tensor], Tensor],
        source: str,
    ) -> Tensor:
        """Fill the holes of a batch, part by part; what stands in a hole has no influence.

        Args:
            image: Images (B, 3, H, W) in [0, 1].
            mask: Masks (B, 1, H, W), 1 = keep, rounded; None keeps nothing.
            paint: Function from images (N, 3, H, W), mid-grey in the hole, and masks (N, 1, H, W), 1 = keep, to
                pictures (N, 3, H, W) in [0, 1].
            source: Name of the in-painter, for errors.

        Returns:
            Pictures (B, 3, H, W): the image, to the bit, where the mask is 1.

        Raises:
            InputError: A picture has another shape, or values that are none of an image in [0, 1]; or the images have
                not three channels.
        """
        if image.shape[1] != 3:
            raise InputError(f"{source} paints pictures of 3 channels, and the images have {image.shape[1]}")
        if mask is None:
            mask = torch.zeros_like(image[:, :1])
        known = (mask > 0.5).to(image)
        # grey in the hole: a painter that looked there would find the evidence that is to be imagined away
        visible = torch.where(known > 0, image, 0.5).float()
        images = visible.split(self.batch_size)
        masks = known.float().split(self.batch_size)
        pictures = [image[:0]]  # an empty batch has pictures of the right shape too
        for part, its_mask in zip(images, masks, strict=True):
            if not len(part):
                continue
            picture = paint(part, its_mask)
            if picture.shape != part.shape:
                shapes = f"{tuple(part.shape)} became {tuple(picture.shape)}"
                raise InputError(f"{source} gives no picture of the image's shape: {shapes}")
            # small overshoots are clipped; a picture in [-1, 1] or [0, 255] is a mistake
            low = float(picture.min())
            high = float(picture.max())
            if not -0.5 <= low <= high <= 1.5:
                raise InputError(f"{source} gives values from {low:.3g} to {high:.3g}, but a picture lies in [0, 1]")
            pictures.append(picture.clamp(0, 1).to(image))
        painted = torch.cat(pictures)
        # selected, not blended: what is known stays to the bit, whatever a model does to its input
        return torch.where(known > 0, image, painted)
