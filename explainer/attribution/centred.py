"""A box or a blob in the middle: what photographers do."""

import torch
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


class CentredGaussian(Reference):
    """A Gaussian around the middle, 1 at its top.

    Args:
        deviation: As a fraction of each side.
    """

    def __init__(self, deviation: float = 0.25) -> None:
        if deviation <= 0:
            raise InputError(f"attribution CentredGaussian: deviation must be positive, got {deviation}")
        self.deviation = deviation

    def mask(self, image: Tensor) -> Tensor:
        """(B, 1, H, W)."""
        axes = [
            torch.exp(-0.5 * ((torch.arange(side) + 0.5) / side - 0.5).square() / self.deviation**2)
            for side in image.shape[-2:]
        ]
        return torch.outer(*axes).to(image).expand(len(image), 1, -1, -1).clone()
