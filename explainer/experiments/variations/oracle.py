"""Oracles: contents of a box that are made from what stood in it, which no source that fills a hole may see.

They bound what a generator can reach. S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of
Model Outcome, ICPR 2020, has a generator of 64×64 pixels, whose pictures are enlarged to 224×224 (section IV-F, Figure
5): `TrueContent` is the best that such a generator could draw. Its variations are "object rotation, or inversion"
(section I-A): `MirroredContent` is one that is surely as natural as the image.
"""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import InputError
from explainer.experiments.variations.base import Patches, Variation


class Oracle(Variation):
    """Base of sources with a single variation an image, which see what they replace."""

    def __init__(self) -> None:
        super().__init__(count=1, blend=False)

    @abstractmethod
    def content(self, inside: Tensor) -> Tensor:
        """Return what replaces the content of a box.

        Args:
            inside: Content of the box, (1, 3, h, w) in [0, 1].

        Returns:
            (1, 3, h, w) in [0, 1].
        """

    @torch.no_grad()
    def patches(
        self,
        image: Tensor,
        keep: Tensor,
        boxes: Tensor,
        target: Tensor | None,
        around: Tensor,
        tick: Callable[[], object],
    ) -> Patches:
        """Change the contents of the boxes; nothing is matched, so that the loss is NaN."""
        changed = image.clone()
        # one image after the other: their boxes differ in size
        for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
            only = slice(number, number + 1)
            inside = image[only, :, y0:y1, x0:x1]
            changed[only, :, y0:y1, x0:x1] = self.content(inside)
            tick()
        no_loss = image.new_full((len(image), 1), torch.nan)
        return Patches(changed[:, None], no_loss, keep)


class TrueContent(Oracle):
    """The box's own content, with no more pixels than a generator would give it.

    Args:
        side: Side in pixels to which the content is shrunk before it is enlarged again. A shorter side stays.

    Raises:
        InputError: `side` is not positive.
    """

    def __init__(self, side: int = 64) -> None:
        super().__init__()
        if side < 1:
            raise InputError(f"variation TrueContent: side must be positive, got {side}")
        self.side = side

    def content(self, inside: Tensor) -> Tensor:
        """Shrink the content and enlarge it again."""
        height, width = inside.shape[-2:]
        size = (min(self.side, height), min(self.side, width))
        small = F.interpolate(inside, size, mode="bilinear", align_corners=False, antialias=True)
        enlarged = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
        # clamped: with antialiasing, rounding takes values a little out of [0, 1]
        return enlarged.clamp(0, 1)


class MirroredContent(Oracle):
    """The box's own content, left and right exchanged."""

    def content(self, inside: Tensor) -> Tensor:
        """Flip the content."""
        return inside.flip(-1)
