"""Random fills.

P. Dabkowski, Y. Gal: Real Time Image Saliency for Black Box Classifiers, NeurIPS 2017. Colours are taken
here in [0, 1] around mid-grey. C.-H. Chang, E. Creager, A. Goldenberg, D. Duvenaud: Explaining
Image Classifiers by Counterfactual Generation, ICLR 2019 (a random colour with Gaussian noise).
"""

import torch
from torch import Tensor

from explainer.errors import check_range
from explainer.infill.base import Infill
from explainer.infill.blur import WIDEST, gaussian_blur


def device_of(image: Tensor, generator: torch.Generator | None) -> torch.device:
    """Return where random numbers are drawn: a generator draws on its own device only.

    Args:
        image: Images, on whose device PyTorch's own generator draws.
        generator: Generator of the numbers; None is PyTorch's own.

    Returns:
        Device of the draw.

    Example:
        >>> device_of(torch.zeros(1), torch.Generator())
        device(type='cpu')
    """
    return image.device if generator is None else generator.device


class RandomColour(Infill):
    """A random colour with Gaussian noise on it, one draw a call, shared by the images of the batch.

    Args:
        colour: Largest distance of the colour from 0.5, around which it is uniform, in [0, 0.5].
        noise: Standard deviation of the noise, at least 0.

    Raises:
        InputError: A number is out of its range.
    """

    stochastic = True

    def __init__(self, colour: float = 0.5, noise: float = 0.2) -> None:
        check_range(f"infill {type(self).__name__}: colour", colour, 0, 0.5)
        check_range(f"infill {type(self).__name__}: noise", noise, 0)
        self.colour = colour
        self.noise = noise

    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw a colour and its noise: (1, C, H, W)."""
        device = device_of(image, generator)
        # the colour is drawn first, also where it has no range, as in `Noise`: the order is part of what a seed means
        uniform = torch.rand(1, image.shape[1], 1, 1, generator=generator, device=device)
        shade = 0.5 + self.colour * (2 * uniform - 1)
        # one for the whole batch: an image's map does not depend on its place in it
        normal = torch.randn(1, *image.shape[1:], generator=generator, device=device)
        grain = self.noise * normal
        return (shade + grain).clamp(0, 1).to(image)


class Noise(RandomColour):
    """Gaussian noise around mid-grey, one draw a call, shared by the images of the batch.

    Args:
        noise: Standard deviation of the noise, at least 0.
    """

    def __init__(self, noise: float = 0.2) -> None:
        super().__init__(colour=0.0, noise=noise)


class BlurOrColour(Infill):
    """RTIS: with even chance a blur of the images or random colours with noise; the choice is drawn once a batch.

    The published code has images in [-1, 1], colours within ±0.33 of its 0, and noise of 0.11; in [0, 1] that is half.

    Args:
        sigma: Standard deviation of the blur in pixels, in (0, 1000].
        colour: Largest distance of the colour from 0.5, around which it is uniform, in [0, 0.5].
        noise: Standard deviation of the Gaussian noise on the colour, at least 0.
        shared: Whether the images of a batch share a colour and its noise, so that an image's map does not depend on
            the others; in training each image has its own, as in the published code.

    Raises:
        InputError: A number is out of its range.
    """

    stochastic = True

    def __init__(self, sigma: float = 10.0, colour: float = 0.165, noise: float = 0.055, shared: bool = True) -> None:
        check_range("infill BlurOrColour: sigma", sigma, 0, WIDEST, above=True)
        self.sigma = sigma
        self.colour = colour
        self.noise = noise
        self.shared = shared
        self.shade = RandomColour(colour, noise)

    def __call__(self, image: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Blur the images, or draw colours: (B, 3, H, W)."""
        coin = torch.rand((), generator=generator, device=device_of(image, generator))
        if coin < 0.5:
            return gaussian_blur(image, self.sigma)
        if self.shared:
            return self.shade(image, mask, generator).expand_as(image)
        shades = [self.shade(picture, None, generator) for picture in image.split(1)]
        return torch.cat(shades)
