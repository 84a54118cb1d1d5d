"""The interface of every source of variations."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from explainer.errors import InputError, check_seed
from explainer.experiments.variations.box import check_boxes, outside
from explainer.experiments.variations.pasting import paste, seamless


class Patches(NamedTuple):
    """What a source generated for the boxes.

    Attributes:
        images: Variations, (B, k, 3, H, W) in [0, 1]; what they hold outside of the boxes does not matter.
        loss: Loss of each variation, (B, k), lower fits better; NaN of a source that searches for nothing.
        weight: Weight with which each known pixel was matched, (B, 1, H, W) in [0, 1].
    """

    images: Tensor
    loss: Tensor
    weight: Tensor


class Variation(ABC):
    """(image, box, class) → k images that differ in the box alone; hyperparameters only in the constructor.

    An image's variations do not depend on the other images of the batch: all start from the same random draws.

    Args:
        count: Number k of variations of an image.
        blend: Whether the patch's colours are moved so that it joins the image without a seam.
        seed: Seed of the random draws.
        batch_size: Largest number of variations that are made at once.

    Raises:
        InputError: A number that must be positive is not.
    """

    def __init__(self, count: int = 64, blend: bool = True, seed: int = 0, batch_size: int = 64) -> None:
        for name, value in (("count", count), ("batch_size", batch_size)):
            if value < 1:
                raise InputError(f"variation {type(self).__name__}: {name} must be positive, got {value}")
        check_seed(f"variation {type(self).__name__}: seed", seed)
        self.count = count
        self.blend = blend
        self.seed = seed
        self.batch_size = batch_size

    @property
    def steps(self) -> int:
        """Number of calls of `tick` for one image: its share of a progress bar."""
        return 1

    def check(self, classes: Sequence[str]) -> None:  # noqa: B027  (most sources know no classes)
        """Refuse, before any work, a classifier with other classes than the source knows.

        Args:
            classes: Classes of the classifier.

        Raises:
            InputError: Names what does not fit.
        """

    def __call__(
        self,
        image: Tensor,
        boxes: Tensor,
        target: Tensor | None = None,
        around: Tensor | None = None,
        tick: Callable[[], object] | None = None,
    ) -> Patches:
        """Vary what is in the boxes.

        Args:
            image: Images, (B, 3, H, W) in [0, 1].
            boxes: Boxes, (B, 4) long: x0, y0, x1, y1.
            target: Classes, (B,) long, for sources that need them.
            around: Boxes at whose surroundings a source that zooms looks, (B, 4) long, so that smaller boxes within
                them are seen at the same scale; None takes `boxes`.
            tick: Function that is called `steps` times an image.

        Returns:
            Images with losses and weights; outside of the boxes the pixels are those of the image, to the bit.

        Raises:
            InputError: Shapes do not fit, or a box is empty, out of the image, or all of it.
        """
        are_images = image.ndim == 4 and image.shape[1] == 3
        if not are_images or boxes.shape != (len(image), 4):
            given = f"images {tuple(image.shape)} and boxes {tuple(boxes.shape)}"
            raise InputError(f"{given}: wants (B, 3, H, W) and (B, 4)")
        size = (image.shape[-2], image.shape[-1])
        check_boxes(boxes, size)
        keep = outside(boxes, size).to(image)
        # tensors made in inference mode take part in no gradient, which a search needs: clones made outside of it do
        with torch.inference_mode(False):
            if target is not None:
                target = target.clone()
            if around is None:
                around = boxes
            patches = self.patches(image.clone(), keep.clone(), boxes, target, around, tick or (lambda: None))
        if self.blend:
            # one image after the other: their boxes differ in size
            parts = zip(image, patches.images, boxes.tolist(), strict=True)
            joined = [seamless(whole, patch, tuple(box)) for whole, patch, box in parts]
            patches = patches._replace(images=torch.stack(joined))
        # a source may change what is known, by resizing it: the image's own pixels come back
        return patches._replace(images=paste(image, patches.images, keep))

    @abstractmethod
    def patches(
        self,
        image: Tensor,
        keep: Tensor,
        boxes: Tensor,
        target: Tensor | None,
        around: Tensor,
        tick: Callable[[], object],
    ) -> Patches:
        """Generate the contents of the boxes; the arguments are checked.

        Args:
            image: Images, (B, 3, H, W) in [0, 1].
            keep: Mask of what is known, (B, 1, H, W), 0 in the boxes.
            boxes: Boxes to fill, (B, 4) long.
            target: Classes, (B,) long, or None.
            around: Boxes at whose surroundings a source that zooms looks, (B, 4) long.
            tick: Function to call `steps` times an image.

        Returns:
            Variations of the whole images, with losses and weights.
        """
