"""Oracles: contents of a box that are made from what was in it, which no source that fills a hole may see.

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
        """What stands in a box, (1, 3, h, w), instead of what stood there."""

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
        """The contents of the boxes, changed; nothing is matched, so that the loss is NaN."""
        made = image.clone()
        for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
            made[number : number + 1, :, y0:y1, x0:x1] = self.content(image[number : number + 1, :, y0:y1, x0:x1])
            tick()
        return Patches(made[:, None], image.new_full((len(image), 1), torch.nan), keep)


class TrueContent(Oracle):
    """The box's own content, with no more pixels than a generator would give it.

    Args:
        side: Pixels of a side to which the content is shrunk before it is enlarged again. A side that has fewer stays.

    Raises:
        InputError: It is not positive.
    """

    def __init__(self, side: int = 64) -> None:
        super().__init__()
        if side < 1:
            raise InputError(f"variation TrueContent: side must be positive, got {side}")
        self.side = side

    def content(self, inside: Tensor) -> Tensor:
        """Shrunk and enlarged again."""
        height, width = inside.shape[-2:]
        size = (min(self.side, height), min(self.side, width))
        small = F.interpolate(inside, size, mode="bilinear", align_corners=False, antialias=True)
        return F.interpolate(small, (height, width), mode="bilinear", align_corners=False).clamp(0, 1)


class MirroredContent(Oracle):
    """The box's own content, left and right exchanged."""

    def content(self, inside: Tensor) -> Tensor:
        """Flipped."""
        return inside.flip(-1)
