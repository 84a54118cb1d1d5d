"""Baselines: masks that look at no evidence, which every method must beat.

`Constant` gives the columns 0, 0.5 and 1 of the Explainer paper's Table 2. The centred ones know only what
photographers do: they put the object in the middle.
"""

import zlib

import torch
from torch import Tensor

from explainer.attribution.base import Reference
from explainer.errors import InputError, check_seed


class Constant(Reference):
    """The same value at every pixel.

    Args:
        value: Value of the mask in [0, 1].

    Raises:
        InputError: The value is out of its range.
    """

    def __init__(self, value: float = 0.5) -> None:
        if not 0 <= value <= 1:
            raise InputError(f"attribution Constant: value must lie in [0, 1], got {value}")
        self.value = value

    def mask(self, image: Tensor) -> Tensor:
        """Return the constant mask: (B, 1, H, W) in [0, 1]."""
        return image.new_full((len(image), 1, *image.shape[-2:]), self.value)


class Random(Reference):
    """Uniform noise: different for different images, always the same for the same image.

    Args:
        seed: Seed of the noise.

    Raises:
        InputError: The seed is out of its range.
    """

    def __init__(self, seed: int = 0) -> None:
        check_seed(f"attribution {type(self).__name__}: seed", seed)
        self.seed = seed

    def mask(self, image: Tensor) -> Tensor:
        """Draw the noise: (B, 1, H, W) in [0, 1)."""
        maps = []
        # the pixels seed the draw, so that an image has the same map in every batch and every run
        for picture in image.detach().cpu():
            checksum = zlib.crc32(picture.float().contiguous().numpy().tobytes())
            # the factor spreads neighbouring seeds over all 32 bits, which are all that the generator takes
            seed = (checksum + self.seed * 0x9E3779B1) % 2**32
            generator = torch.Generator().manual_seed(seed)
            maps.append(torch.rand(1, *picture.shape[-2:], generator=generator))
        return torch.stack(maps).to(image)


class CentredBox(Reference):
    """1 inside a centred box of the image's proportions, 0 outside.

    Args:
        area: Area of the box as a fraction of the image, in (0, 1]; the default is about what the objects of VOC cover.

    Raises:
        InputError: The area is out of its range.
    """

    def __init__(self, area: float = 0.33) -> None:
        if not 0 < area <= 1:
            raise InputError(f"attribution CentredBox: area must lie in (0, 1], got {area}")
        self.area = area

    def mask(self, image: Tensor) -> Tensor:
        """Draw the box: (B, 1, H, W) of 0 and 1."""
        height, width = image.shape[-2:]
        scale = self.area**0.5
        # at least a pixel: a mask of zeros would be no box
        tall = max(1, round(height * scale))
        wide = max(1, round(width * scale))
        top = (height - tall) // 2
        left = (width - wide) // 2
        mask = image.new_zeros(len(image), 1, height, width)
        mask[:, :, top : top + tall, left : left + wide] = 1
        return mask


class CentredGaussian(Reference):
    """A Gaussian around the middle of the image, 1 at its top.

    Args:
        deviation: Standard deviation as a fraction of each side, above 0.

    Raises:
        InputError: The deviation is not positive.
    """

    def __init__(self, deviation: float = 0.25) -> None:
        if deviation <= 0:
            raise InputError(f"attribution CentredGaussian: deviation must be positive, got {deviation}")
        self.deviation = deviation

    def mask(self, image: Tensor) -> Tensor:
        """Draw the Gaussian: (B, 1, H, W) in [0, 1]."""
        height, width = image.shape[-2:]
        blob = torch.outer(self._profile(height), self._profile(width))
        return blob.to(image).expand(len(image), 1, -1, -1).clone()

    def _profile(self, length: int) -> Tensor:
        """Return the Gaussian along one side of the image: (length,)."""
        place = (torch.arange(length) + 0.5) / length - 0.5
        return torch.exp(-0.5 * place.square() / self.deviation**2)
