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
    """What a source made for the boxes.

    Attributes:
        images: (B, k, 3, H, W) in [0, 1], of the image's size; what is outside of the boxes does not matter.
        loss: (B, k), lower fits better; NaN of a source that searches for nothing.
        weight: (B, 1, H, W) in [0, 1]: which known pixels were matched, and how much.
    """

    images: Tensor
    loss: Tensor
    weight: Tensor


class Variation(ABC):
    """(image, box, class) → k images that differ in the box alone; hyperparameters only in the constructor.

    An image's variations do not depend on which others it was varied with: all start from the same random draws.

    Args:
        count: k, variations an image.
        blend: Move the patch's colours so that it joins the image without a seam.
        seed: Of what is random.
        batch_size: At most so many variations at once.

    Raises:
        InputError: A number that must be positive is not.
    """

    def __init__(self, count: int = 64, blend: bool = True, seed: int = 0, batch_size: int = 64) -> None:
        for name, value in (("count", count), ("batch_size", batch_size)):
            if value < 1:
                raise InputError(f"variation {type(self).__name__}: {name} must be positive, got {value}")
        check_seed(f"variation {type(self).__name__}: seed", seed)
        self.count, self.blend, self.seed, self.batch_size = count, blend, seed, batch_size

    @property
    def steps(self) -> int:
        """How often `tick` is called for one image: its share of a progress bar."""
        return 1

    def check(self, classes: Sequence[str]) -> None:  # noqa: B027  (most sources know no classes)
        """Refuse, before any work, a classifier with other classes than the source knows.

        Args:
            classes: Of the classifier.

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
            image: (B, 3, H, W) in [0, 1].
            boxes: (B, 4) long: x0, y0, x1, y1.
            target: (B,) long, the classes, for sources that need one.
            around: (B, 4) long, boxes whose surroundings a source that zooms looks at, so that smaller boxes within
                them are seen at the same scale; None takes `boxes`.
            tick: Called `steps` times an image.

        Returns:
            Images whose pixels outside of the boxes are the image's own to the bit, with losses and weights.

        Raises:
            InputError: Shapes do not fit, or a box is empty, out of the image, or all of it.
        """
        if image.ndim != 4 or image.shape[1] != 3 or boxes.shape != (len(image), 4):
            raise InputError(
                f"images {tuple(image.shape)} and boxes {tuple(boxes.shape)}: wants (B, 3, H, W) and (B, 4)"
            )
        size = (image.shape[-2], image.shape[-1])
        check_boxes(boxes, size)
        keep = outside(boxes, size).to(image)
        with torch.inference_mode(False):
            found = self.patches(
                image.clone(),
                keep.clone(),
                boxes,
                None if target is None else target.clone(),
                boxes if around is None else around,
                tick or (lambda: None),
            )
        if self.blend:
            joined = [seamless(i, p, tuple(b)) for i, p, b in zip(image, found.images, boxes.tolist(), strict=True)]
            found = found._replace(images=torch.stack(joined))
        return found._replace(images=paste(image, found.images, keep))

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
        """What a source has to do; the arguments are checked, `keep` (B, 1, H, W) is 0 in the boxes."""
