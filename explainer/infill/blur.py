"""The image itself, blurred."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from explainer.errors import check_range
from explainer.infill.base import Infill

WIDEST = 1000.0
"""Largest standard deviation in pixels: the kernel of a wider blur would need more memory than the images."""


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Convolve with a Gaussian, one axis after the other; the border is replicated.

    Args:
        image: Images (B, C, H, W).
        sigma: Standard deviation in pixels, above 0; the kernel reaches three of them.

    Returns:
        Blurred images (B, C, H, W).

    Example:
        >>> bool(torch.allclose(gaussian_blur(torch.ones(1, 3, 8, 8), 10.0), torch.ones(1, 3, 8, 8)))
        True
    """
    channels = image.shape[1]
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    deviations = offsets / sigma
    kernel = torch.exp(-0.5 * deviations**2)
    kernel = kernel / kernel.sum()  # what is cut off must not darken the image
    kernel = kernel.expand(channels, 1, -1)
    # replicated: zeros around the image would darken its border
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    blurred_down = F.conv2d(padded, kernel[..., None], groups=channels)
    return F.conv2d(blurred_down, kernel[..., None, :], groups=channels)


class Blur(Infill):
    """A Gaussian blur of the image.

    Args:
        sigma: Standard deviation in pixels (10 in the papers, at 224×224), in (0, 1000].

    Raises:
        InputError: `sigma` is out of its range.
    """

    def __init__(self, sigma: float = 10.0) -> None:
        check_range("infill Blur: sigma", sigma, 0, WIDEST, above=True)
        self.sigma = sigma

    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Blur the images: (B, 3, H, W)."""
        return gaussian_blur(image, self.sigma)
