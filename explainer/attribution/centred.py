"""A box in the middle: what photographers do."""

from torch import Tensor

from explainer.attribution.base import Reference
from explainer.errors import InputError


class CentredBox(Reference):
    """1 inside a centred box of the image's proportions, 0 outside.

    Args:
        area: Of the box, as a fraction of the image; about what the objects of VOC cover.
    """

    def __init__(self, area: float = 0.33) -> None:
        if not 0 < area <= 1:
            raise InputError(f"attribution CentredBox: area must lie in (0, 1], got {area}")
        self.area = area

    def mask(self, image: Tensor) -> Tensor:
        """(B, 1, H, W)."""
        height, width = image.shape[-2:]
        tall, wide = (max(1, round(side * self.area**0.5)) for side in (height, width))
        top, left = (height - tall) // 2, (width - wide) // 2
        mask = image.new_zeros(len(image), 1, height, width)
        mask[:, :, top : top + tall, left : left + wide] = 1
        return mask
